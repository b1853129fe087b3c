"""Cutout: a grey square hides a part of the image. Off in all named recipes.

Source: DeVries and Taylor (2017), arXiv:1708.04552; SimCLR v1, Figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_images, as_seeds, gate
from simclr_tf.augment.operators.operator import Operator, frequency_text
from simclr_tf.augment.ranges import check_fraction, check_probability
from simclr_tf.config.schema import option
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")


@dataclass(frozen=True)
class CutoutOptions:
    """The options of cutout."""

    cutout_probability: float = option(0.0, "Probability of cutout.")
    cutout_size_fraction: float = option(
        0.5, "Side of cutout's square over the shorter side of a view."
    )
    cutout_fill: float = option(0.5, "Grey of cutout's square, in [0, 1].")

    def check(self):
        check_probability("cutout_probability", self.cutout_probability)
        check_fraction("cutout_size_fraction", self.cutout_size_fraction)
        check_probability("cutout_fill", self.cutout_fill)


class Cutout(Operator):
    """Paint a square of each image grey."""

    seed_id = 5
    Options = CutoutOptions
    switch = "cutout_probability"
    one_branch = "cutout"

    def sample(self, seeds, recipe, image_shape):
        return sample_cutout(
            seeds,
            image_shape[0],
            image_shape[1],
            probability=recipe.cutout_probability,
            size_fraction=recipe.cutout_size_fraction,
        )

    def apply(self, images, draw, recipe):
        return apply_cutout(images, draw, fill=recipe.cutout_fill)

    def strengths(self, images, recipe, large_images):
        (height, width), shown = images.shape[1:3], []
        for part in sorted({0.25, recipe.cutout_size_fraction, 0.75}):
            side = max(1, round(part * min(height, width)))
            box = [(height - side) // 2, (width - side) // 2, side, side]
            boxes = tf.tile([box], [len(images), 1])
            shown.append((f"{part:.0%} of the side", self.apply(images, boxes, recipe)))
        return [(f"cutout {frequency_text(recipe.cutout_probability)}", shown)]


def sample_cutout(
    seeds: TensorLike,
    height: int,
    width: int,
    *,
    probability: float = 1.0,
    size_fraction: float = 0.5,
) -> Tensor:
    """Draw a square for each image, centred on any of its pixels.

    Args:
      seeds: int32 `[B, 2]`.
      height, width: int, H and W.
      probability: float in [0, 1].
      size_fraction: float in (0, 1], side over the shorter of H and W.

    Returns:
      int32 tensor `[B, 4]`: (y, x, h, w); it may reach beyond the image (so that the
      borders are hidden as often as the middle), and is empty where not applied.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_cutout(tf.constant([[0, 1]]), 32, 32)[0, 2:].numpy().tolist()
      [16, 16]

    Source: DeVries and Taylor (2017), arXiv:1708.04552, section 3.2: half the side.
    """
    check_probability("probability", probability)
    check_fraction("size_fraction", size_fraction)
    side = max(1, round(size_fraction * min(height, width)))
    draws = seeding.uniform(as_seeds(seeds), (3,))
    sides = tf.where(gate(draws[:, 0], probability), side, 0)
    y = tf.cast(draws[:, 1] * height, tf.int32) - side // 2
    x = tf.cast(draws[:, 2] * width, tf.int32) - side // 2
    return tf.stack([y, x, sides, sides], axis=1)


def apply_cutout(images: TensorLike, boxes: TensorLike, *, fill: float = 0.5) -> Tensor:
    """Paint the boxes with one grey.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      boxes: int32 `[B, 4]`: (y, x, h, w).
      fill: float in [0, 1].

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: images or fill of another form.

    Example:
      >>> boxes = tf.constant([[0, 1, 1, 5]])
      >>> apply_cutout(tf.ones([1, 2, 3, 1]), boxes)[0, :, :, 0].numpy().tolist()
      [[1.0, 0.5, 0.5], [1.0, 1.0, 1.0]]
    """
    images = as_images(images)
    check_probability("fill", fill)
    y, x, h, w = (side[:, tf.newaxis] for side in tf.unstack(boxes, axis=1))
    rows, columns = tf.range(images.shape[1]), tf.range(images.shape[2])
    in_rows = (rows >= y) & (rows < y + h)  # [B, H]
    in_columns = (columns >= x) & (columns < x + w)  # [B, W]
    hidden = in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis, :]
    return tf.where(hidden[..., tf.newaxis], fill, images)
