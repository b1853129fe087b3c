"""Grayscale: removes the colour. Images without colour are not changed.

Source: SimCLR v1 (arXiv:2002.05709), Appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.colors import has_color
from simclr_tf.augment.operators.operator import (
    Operator,
    TransformQuestion,
    frequency_text,
)
from simclr_tf.augment.ranges import check_probability
from simclr_tf.config.schema import option
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")

_GRAY_WEIGHTS = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class GrayscaleOptions:
    """The options of grayscale."""

    grayscale_probability: float = option(0.2, "Probability of dropping all colour.")

    def check(self):
        check_probability("grayscale_probability", self.grayscale_probability)


class Grayscale(Operator):
    """Drop all colour; with the colour jitter in the study of Figure 5."""

    seed_id = 3
    Options = GrayscaleOptions
    switch = "grayscale_probability"
    one_branch, one_branch_always = "color", False
    question = TransformQuestion("color", "colour or grey", (0.8, 0.2))

    def sample(self, seeds, recipe, image_shape):
        return sample_grayscale(seeds, probability=recipe.grayscale_probability)

    def apply(self, images, draw, recipe):
        return apply_grayscale(images, draw)

    def chosen(self, seeds, recipe):
        return self.sample(seeds, recipe, None)

    def draw_of_answers(self, answers, seeds, image_shape):
        return answers > 0

    def strengths(self, images, recipe, large_images):
        if images.shape[3] != 3:
            return []
        grey = apply_grayscale(images, tf.fill([len(images)], True))
        return [
            (
                f"grayscale {frequency_text(recipe.grayscale_probability)}",
                [("grey", grey)],
            )
        ]


def sample_grayscale(seeds: TensorLike, *, probability: float = 0.2) -> Tensor:
    """Draw whether each image loses its colour.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      bool tensor `[B]`.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_grayscale(tf.constant([[0, 1]]), probability=0.0).numpy().tolist()
      [False]
    """
    check_probability("probability", probability)
    return gate(seeding.uniform(as_seeds(seeds)), probability)


def apply_grayscale(images: TensorLike, grayscale: TensorLike) -> Tensor:
    """Write 0.2989 R + 0.587 G + 0.114 B to all three channels of the chosen images.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      grayscale: bool `[B]`.

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: images of another form.

    Example:
      >>> red = tf.constant([1.0, 0.0, 0.0], shape=[1, 1, 1, 3])
      >>> gray = apply_grayscale(red, tf.constant([True]))
      >>> [round(float(v), 4) for v in gray[0, 0, 0]]
      [0.2989, 0.2989, 0.2989]

    Source: ITU-R BT.601 luma, as `tf.image.rgb_to_grayscale`.
    """
    images = as_images(images)
    if not has_color(images, True, "grayscale"):
        return images
    red, green, blue = (
        weight * plane
        for weight, plane in zip(_GRAY_WEIGHTS, tf.unstack(images, axis=3), strict=True)
    )
    luma = (red + green + blue)[..., tf.newaxis]
    return tf.where(per_image(grayscale), luma, images)
