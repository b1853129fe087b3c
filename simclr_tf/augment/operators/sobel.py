"""Sobel filtering: the image's edges instead of the image. Off in all named recipes.

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
from simclr_tf.config.schema import option
from simclr_tf.errors import require
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")


@dataclass(frozen=True)
class SobelOptions:
    """The options of Sobel filtering."""

    sobel_probability: float = option(
        0.0, "Probability of showing the gradient's magnitude instead of the image."
    )

    def check(self):
        check_probability("sobel_probability", self.sobel_probability)


class Sobel(Operator):
    """Show the edges instead of the image."""

    seed_id = 8
    Options = SobelOptions
    switch = "sobel_probability"
    one_branch = "sobel"
    question = TransformQuestion("sobel", "original or Sobel", (0.5, 0.5), 0.5)

    def sample(self, seeds, recipe, image_shape):
        return sample_sobel(seeds, probability=recipe.sobel_probability)

    def apply(self, images, draw, recipe):
        return apply_sobel(images, draw)

    def draw_of_answers(self, answers, seeds, image_shape):
        return answers > 0

    def strengths(self, images, recipe, large_images):
        edges = apply_sobel(images, tf.fill([len(images)], True))
        return [
            (f"sobel {frequency_text(recipe.sobel_probability)}", [("edges", edges)])
        ]


def sample_sobel(seeds: TensorLike, *, probability: float = 1.0) -> Tensor:
    """Draw whether each image is replaced by its edges.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      bool tensor `[B]`.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_sobel(tf.constant([[0, 1]])).numpy().tolist()
      [True]
    """
    check_probability("probability", probability)
    return gate(seeding.uniform(as_seeds(seeds)), probability)


def apply_sobel(images: TensorLike, sobel: TensorLike) -> Tensor:
    """Replace the chosen images by their gradient's magnitude, per channel.

    Gy = [1 2 1]^T [-1 0 1] smoothing one axis and differentiating the other, Gx its
    transpose; sqrt(Gx^2 + Gy^2) / 4, clipped to [0, 1], so that a full step from
    black to white along one axis is 1. Borders are reflected.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`, H and W >= 2.
      sobel: bool `[B]`.

    Returns:
      float32 tensor `[B, H, W, C]` in [0, 1].

    Raises:
      ConfigError: images of another form, or of one pixel's height or width.

    Example:
      >>> step = tf.reshape([0.0, 0.0, 1.0, 1.0] * 4, [1, 4, 4, 1])
      >>> apply_sobel(step, tf.constant([True]))[0, 1, :, 0].numpy().tolist()
      [0.0, 1.0, 1.0, 0.0]

    Source: SimCLR v1, Figure 4; gradients as `tf.image.sobel_edges`.
    """
    images = as_images(images)
    _, height, width, _ = images.shape
    require(
        height >= 2 and width >= 2,
        "Sobel filtering needs images of at least 2 x 2 pixels.",
        height=height,
        width=width,
    )
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
    rows = [padded[:, i : i + height] for i in range(3)]  # 3 x [B, H, W + 2, C]
    smooth, differ = rows[0] + 2.0 * rows[1] + rows[2], rows[2] - rows[0]
    along_x = smooth[:, :, 2:] - smooth[:, :, :-2]
    along_y = differ[:, :, :-2] + 2.0 * differ[:, :, 1:-1] + differ[:, :, 2:]
    magnitude = tf.sqrt(along_x * along_x + along_y * along_y) / 4.0
    return tf.where(per_image(sobel), tf.minimum(magnitude, 1.0), images)
