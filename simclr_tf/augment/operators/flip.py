"""Horizontal flip."""

from __future__ import annotations

from dataclasses import dataclass

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.operators.operator import Operator, frequency_text
from simclr_tf.augment.ranges import check_probability
from simclr_tf.config.schema import option
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")


@dataclass(frozen=True)
class FlipOptions:
    """The options of the flip."""

    flip_probability: float = option(0.5, "Probability of a horizontal flip.")

    def check(self):
        check_probability("flip_probability", self.flip_probability)


class Flip(Operator):
    """Mirror left to right; with the crop in the study of Figure 5."""

    seed_id = 1
    Options = FlipOptions
    switch = "flip_probability"
    mirrors = True
    one_branch, one_branch_always = "crop", False

    def sample(self, seeds, recipe, image_shape):
        return sample_flip(seeds, probability=recipe.flip_probability)

    def apply(self, images, draw, recipe):
        return apply_flip(images, draw)

    def chosen(self, seeds, recipe):
        return self.sample(seeds, recipe, None)

    def strengths(self, images, recipe, large_images):
        mirrored = apply_flip(images, tf.fill([len(images)], True))
        return [
            (f"flip {frequency_text(recipe.flip_probability)}", [("flipped", mirrored)])
        ]


def sample_flip(seeds: TensorLike, *, probability: float = 0.5) -> Tensor:
    """Draw whether each image is mirrored.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      bool tensor `[B]`.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_flip(tf.constant([[0, 1]]), probability=1.0).numpy().tolist()
      [True]
    """
    check_probability("probability", probability)
    return gate(seeding.uniform(as_seeds(seeds)), probability)


def apply_flip(images: TensorLike, flips: TensorLike) -> Tensor:
    """Mirror the chosen images left to right.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      flips: bool `[B]`.

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: images of another form.

    Example:
      >>> images = tf.reshape([0.0, 1.0], [1, 1, 2, 1])
      >>> apply_flip(images, tf.constant([True])).numpy().ravel().tolist()
      [1.0, 0.0]
    """
    images = as_images(images)
    return tf.where(per_image(flips), tf.reverse(images, axis=[2]), images)
