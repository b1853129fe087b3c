"""Rotation by 90, 180 or 270 degrees. Off in all named recipes.

Source: SimCLR v1 (arXiv:2002.05709), Figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.operators.operator import (
    Operator,
    TransformQuestion,
    frequency_text,
)
from simclr_tf.augment.ranges import check_probability
from simclr_tf.augment.separable import apply_separable
from simclr_tf.config.schema import option
from simclr_tf.errors import require
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")


@dataclass(frozen=True)
class RotateOptions:
    """The options of the rotation."""

    rotate_probability: float = option(
        0.0, "Probability of a rotation by 90, 180 or 270 degrees."
    )

    def check(self):
        check_probability("rotate_probability", self.rotate_probability)


class Rotate(Operator):
    """Turn by 90, 180 or 270 degrees."""

    seed_id = 6
    Options = RotateOptions
    switch = "rotate_probability"
    one_branch = "rotate"
    question = TransformQuestion("rotation", "rotation", (0.25,) * 4, 0.75)

    def sample(self, seeds, recipe, image_shape):
        return sample_rotate(seeds, probability=recipe.rotate_probability)

    def apply(self, images, draw, recipe):
        return apply_rotate(images, draw)

    def draw_of_answers(self, answers, seeds, image_shape):
        return answers

    def strengths(self, images, recipe, large_images):
        if images.shape[1] != images.shape[2]:
            return []
        shown = [
            (f"{90 * turns}°", apply_rotate(images, tf.fill([len(images)], turns)))
            for turns in (1, 2, 3)
        ]
        return [(f"rotate {frequency_text(recipe.rotate_probability)}", shown)]


def sample_rotate(seeds: TensorLike, *, probability: float = 1.0) -> Tensor:
    """Draw quarter turns for each image: 1, 2 or 3, equally likely.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      int32 tensor `[B]` in 0..3; 0 where not applied.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> int(sample_rotate(tf.constant([[0, 1]]))[0]) in (1, 2, 3)
      True

    Source: SimCLR v1, Figure 4: rotate {90, 180, 270}.
    """
    check_probability("probability", probability)
    draws = seeding.uniform(as_seeds(seeds), (2,))
    turns = 1 + tf.minimum(tf.cast(draws[:, 1] * 3.0, tf.int32), 2)
    return tf.where(gate(draws[:, 0], probability), turns, 0)


def apply_rotate(images: TensorLike, quarter_turns: TensorLike) -> Tensor:
    """Rotate each image counter-clockwise by its quarter turns.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, H, C]`: square.
      quarter_turns: int32 `[B]` in 0..3.

    Returns:
      float32 tensor `[B, H, H, C]`.

    Raises:
      ConfigError: images that are not square, or of another form.

    Example:
      >>> images = tf.reshape([0.1, 0.2, 0.3, 0.4], [1, 2, 2, 1])
      >>> turned = apply_rotate(images, tf.constant([1]))
      >>> [round(float(v), 1) for v in tf.reshape(turned, [-1])]
      [0.2, 0.4, 0.1, 0.3]
    """
    images = as_images(images)
    _, height, width, _ = images.shape
    require(
        height == width,
        "Rotation by 90 or 270 degrees needs square images. Make the views square "
        "(image_size_pixels=...) or set rotate_probability=0.",
        height=height,
        width=width,
    )
    # Mirror, then transpose. The mirrors are matrix products: XLA would fuse selections
    # of mirrored copies with the operations before, and repeat these for each copy and
    # pixel (75 times the time of a whole recipe).
    mirrored = apply_separable(
        images,
        _maybe_reversed(quarter_turns >= 2, height),
        _maybe_reversed((quarter_turns == 1) | (quarter_turns == 2), width),
    )
    is_odd = per_image(quarter_turns % 2 == 1)
    return tf.where(is_odd, tf.transpose(mirrored, [0, 2, 1, 3]), mirrored)


def _maybe_reversed(reversed_, size):
    """Return `[B, size, size]`: the identity, or the matrix that reverses an axis."""
    identity = tf.eye(size)
    return tf.where(reversed_[:, tf.newaxis, tf.newaxis], identity[::-1], identity)
