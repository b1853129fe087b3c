"""Gaussian noise, its strength drawn for each image. Off in all named recipes.

Source: SimCLR v1 (arXiv:2002.05709), Figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.operators.operator import (
    Operator,
    TransformQuestion,
    evenly_spaced,
    frequency_text,
)
from simclr_tf.augment.ranges import check_interval, check_probability
from simclr_tf.config.schema import option
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")


@dataclass(frozen=True)
class NoiseOptions:
    """The options of the noise."""

    noise_probability: float = option(0.0, "Probability of Gaussian noise.")
    noise_stddev_min: float = option(
        0.05, "Smallest standard deviation of the noise, on the scale [0, 1]."
    )
    noise_stddev_max: float = option(
        0.2, "Largest standard deviation of the noise, on the scale [0, 1]."
    )

    def check(self):
        check_probability("noise_probability", self.noise_probability)
        check_interval(
            "noise_stddev_min",
            self.noise_stddev_min,
            "noise_stddev_max",
            self.noise_stddev_max,
            exclusive=False,
        )


class Noise(Operator):
    """Add Gaussian noise."""

    seed_id = 7
    Options = NoiseOptions
    switch = "noise_probability"
    one_branch = "noise"
    question = TransformQuestion("noise", "original or noise", (0.5, 0.5), 0.5)

    def sample(self, seeds, recipe, image_shape):
        return sample_noise(
            seeds,
            image_shape,
            probability=recipe.noise_probability,
            stddev_min=recipe.noise_stddev_min,
            stddev_max=recipe.noise_stddev_max,
        )

    def apply(self, images, draw, recipe):
        return apply_noise(images, draw)

    def draw_of_answers(self, answers, seeds, image_shape):
        return tf.where(per_image(answers > 0), sample_noise(seeds, image_shape), 0.0)

    def strengths(self, images, recipe, large_images):
        seeds, shown = tf.tile([[0, 1]], [len(images), 1]), []
        for stddev in evenly_spaced(
            recipe.noise_stddev_min, recipe.noise_stddev_max, 4
        ):
            noise = sample_noise(
                seeds, images.shape[1:], stddev_min=stddev, stddev_max=stddev
            )
            shown.append((f"σ {stddev:.2g}", apply_noise(images, noise)))
        return [(f"noise {frequency_text(recipe.noise_probability)}", shown)]


def sample_noise(
    seeds: TensorLike,
    shape: tuple[int, ...],
    *,
    probability: float = 1.0,
    stddev_min: float = 0.05,
    stddev_max: float = 0.2,
) -> Tensor:
    """Draw Gaussian noise for each image, with its own strength.

    Args:
      seeds: int32 `[B, 2]`.
      shape: tuple of ints, (H, W, C).
      probability: float in [0, 1].
      stddev_min, stddev_max: float, 0 <= min <= max, on the scale [0, 1].

    Returns:
      float32 tensor `[B, H, W, C]`; 0 where not applied.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_noise(tf.constant([[0, 1]]), (4, 4, 3)).shape.as_list()
      [1, 4, 4, 3]

    Source: SimCLR v1, Figure 4. The paper gives no strength; 0.05 to 0.2 is ours.
    """
    check_probability("probability", probability)
    check_interval("stddev_min", stddev_min, "stddev_max", stddev_max, exclusive=False)
    seeds = as_seeds(seeds)
    # Different draw numbers: draw 0 of `uniform` and of `normal` use the same bits.
    scalars = seeding.uniform(seeding.fold_in(seeds, 0), (2,))
    stddev = stddev_min + scalars[:, 1] * (stddev_max - stddev_min)
    stddev = tf.where(gate(scalars[:, 0], probability), stddev, 0.0)
    return per_image(stddev) * seeding.normal(seeding.fold_in(seeds, 1), tuple(shape))


def apply_noise(images: TensorLike, noise: TensorLike) -> Tensor:
    """Add the noise and clip to [0, 1].

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      noise: float32 `[B, H, W, C]`.

    Returns:
      float32 tensor `[B, H, W, C]` in [0, 1].

    Raises:
      ConfigError: images of another form.

    Example:
      >>> apply_noise(tf.ones([1, 1, 1, 1]), tf.fill([1, 1, 1, 1], 0.3)).numpy().item()
      1.0
    """
    return tf.clip_by_value(as_images(images) + noise, 0.0, 1.0)
