"""Gaussian blur with a standard deviation per image.

Source: SimCLR v1 (arXiv:2002.05709), Appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_images, as_seeds, gate
from simclr_tf.augment.operators.operator import Operator, evenly_spaced, frequency_text
from simclr_tf.augment.ranges import check_fraction, check_interval, check_probability
from simclr_tf.config.schema import option
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")


@dataclass(frozen=True)
class BlurOptions:
    """The options of the blur."""

    blur_probability: float = option(0.5, "Probability of the Gaussian blur.")
    blur_sigma_min_pixels: float = option(
        0.1, "Smallest standard deviation of the blur, in pixels."
    )
    blur_sigma_max_pixels: float = option(
        2.0, "Largest standard deviation of the blur, in pixels."
    )
    blur_kernel_fraction: float = option(
        0.1, "Size of the blur's kernel over the height of a view."
    )

    def check(self):
        check_probability("blur_probability", self.blur_probability)
        check_interval(
            "blur_sigma_min_pixels",
            self.blur_sigma_min_pixels,
            "blur_sigma_max_pixels",
            self.blur_sigma_max_pixels,
        )
        check_fraction("blur_kernel_fraction", self.blur_kernel_fraction)


class Blur(Operator):
    """Blur with a standard deviation drawn for each image."""

    seed_id = 4
    Options = BlurOptions
    switch = "blur_probability"
    one_branch = "blur"

    def sample(self, seeds, recipe, image_shape):
        return sample_blur(
            seeds,
            probability=recipe.blur_probability,
            sigma_min_pixels=recipe.blur_sigma_min_pixels,
            sigma_max_pixels=recipe.blur_sigma_max_pixels,
        )

    def apply(self, images, draw, recipe):
        return apply_blur(images, draw, kernel_fraction=recipe.blur_kernel_fraction)

    def chosen(self, seeds, recipe):
        return self.sample(seeds, recipe, None) > 0.0

    def strengths(self, images, recipe, large_images):
        sigmas = evenly_spaced(
            recipe.blur_sigma_min_pixels, recipe.blur_sigma_max_pixels, 4
        )
        title = f"blur {frequency_text(recipe.blur_probability)}"
        if not kernel_radius(images.shape[1], recipe.blur_kernel_fraction):
            title += f": none at {images.shape[1]} px, its kernel is one pixel"
        return [
            (
                title,
                [
                    (
                        f"σ {sigma:.2g} px",
                        self.apply(images, tf.fill([len(images)], sigma), recipe),
                    )
                    for sigma in sigmas
                ],
            )
        ]


def sample_blur(
    seeds: TensorLike,
    *,
    probability: float = 0.5,
    sigma_min_pixels: float = 0.1,
    sigma_max_pixels: float = 2.0,
) -> Tensor:
    """Draw the standard deviation of each image's blur.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].
      sigma_min_pixels, sigma_max_pixels: float, 0 < min <= max.

    Returns:
      float32 tensor `[B]`: sigma in pixels, uniform in [min, max); 0 for images that
      are not blurred.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sigma = sample_blur(tf.constant([[0, 1]]), probability=1.0)
      >>> 0.1 <= float(sigma[0]) < 2.0
      True

    Source: SimCLR v1, Appendix A. The reference draws one sigma for a whole batch.
    """
    check_probability("probability", probability)
    check_interval(
        "sigma_min_pixels", sigma_min_pixels, "sigma_max_pixels", sigma_max_pixels
    )
    draws = seeding.uniform(as_seeds(seeds), (2,))
    sigma = sigma_min_pixels + draws[:, 1] * (sigma_max_pixels - sigma_min_pixels)
    return tf.where(gate(draws[:, 0], probability), sigma, 0.0)


def kernel_radius(height, kernel_fraction=0.1):
    """Return the radius of the kernel: its size is a tenth of the height, made odd.

    Args:
      height: int >= 1, of the view in pixels.
      kernel_fraction: float in (0, 1].

    Returns:
      int >= 0; the kernel has 2 radius + 1 taps. Below 20 pixels of height a tenth
      leaves one tap, that is no blur.

    Example:
      >>> [2 * kernel_radius(height) + 1 for height in (32, 96, 224)]
      [3, 9, 23]
    """
    return int(height * kernel_fraction + 1e-9) // 2


def apply_blur(
    images: TensorLike, sigmas: TensorLike, *, kernel_fraction: float = 0.1
) -> Tensor:
    """Blur each image with its own sigma.

    The kernel exp(-d^2 / 2 sigma^2), |d| <= radius, runs over the columns and the
    rows. At the borders it is cut and rescaled to sum to 1 over the pixels that
    exist: a constant image stays constant (with the reference's zero padding its
    corners fall to 0.36).

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      sigmas: float32 `[B]`, in pixels; 0 for no blur.
      kernel_fraction: float in (0, 1], kernel size over H.

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: images or fraction of another form.

    Example:
      >>> ones = apply_blur(tf.ones([1, 32, 32, 3]), tf.constant([2.0]))
      >>> bool(tf.reduce_max(tf.abs(ones - 1.0)) < 1e-6)
      True

    Source: SimCLR v1, Appendix A: kernel size 10 % of the image's height.
    """
    images = as_images(images)
    check_fraction("kernel_fraction", kernel_fraction)
    _, height, width, channels = images.shape
    radius = kernel_radius(height, kernel_fraction)
    distances = tf.range(-radius, radius + 1, dtype=tf.float32)
    # sigma 0 would divide 0 by 0; 1e-3 pixels is the identity: weights 0, 1, 0.
    widths = tf.maximum(sigmas, 1e-3)[:, tf.newaxis]
    weights = tf.exp(-0.5 * tf.square(distances / widths))  # [B, 2 radius + 1]
    lines = tf.reshape(images, [-1, height, width * channels])
    lines = _blur_axis(lines, weights, axis=1, step=1)
    lines = _blur_axis(lines, weights, axis=2, step=channels)
    return tf.reshape(lines, [-1, height, width, channels])


def _blur_axis(lines, weights, *, axis, step):
    """Average neighbours along one axis of `[B, H, W C]`, `step` numbers apart.

    A sum of shifted copies, which XLA computes in one pass; a product with the band
    matrix of the kernel would be ten times the arithmetic at 224 pixels. The division
    at the end keeps XLA from joining the passes of both axes into one, with the product
    of their work.

    Args:
      lines: float32 `[B, H, W C]`.
      weights: float32 `[B, T]`, of the T (odd) neighbours; T is known.
      axis: 1 or 2.
      step: int >= 1, numbers from one pixel to the next.

    Returns:
      float32 `[B, H, W C]`; at a border the mean over the pixels that exist.
    """
    size, taps = lines.shape[axis], weights.shape[1]
    margins = [[0, 0]] * 3
    margins[axis] = [taps // 2 * step] * 2
    padded = tf.pad(lines, margins)
    total = 0.0
    for tap in range(taps):
        part = slice(tap * step, tap * step + size)
        shifted = padded[:, part] if axis == 1 else padded[:, :, part]
        total += weights[:, tap, tf.newaxis, tf.newaxis] * shifted
    pixels = tf.range(size // step)
    places = tf.range(taps)[:, tf.newaxis] - taps // 2 + pixels
    there = tf.cast((places >= 0) & (places <= pixels[-1]), tf.float32)
    present = tf.reduce_sum(weights[:, :, tf.newaxis] * there, axis=1)
    present = tf.repeat(present, step, axis=1)  # [B, size]
    return total / tf.expand_dims(present, 3 - axis)
