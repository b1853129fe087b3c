"""Colour jitter, in a random order per image.

Brightness and contrast are defined for any number of channels. Saturation and hue need
3
channels: for other images they are skipped, and a warning is logged once.

Source: SimCLR v1 (arXiv:2002.05709), Appendix A and its pseudo-code.
"""

from __future__ import annotations

import itertools
import math
import typing
from dataclasses import dataclass
from typing import Literal, NamedTuple

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.colors import change_hue_and_saturation, has_color, per_pixel
from simclr_tf.augment.operators.operator import Operator, frequency_text
from simclr_tf.augment.ranges import check_at_least, check_choice, check_probability
from simclr_tf.config.schema import option
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")

BrightnessMode = Literal["additive", "multiplicative"]
# The four operators; an order of the jitter is a permutation of them.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
_ORDERS = tuple(itertools.permutations(range(4)))  # 24 of them
_STEPS = (
    -1.0,
    -0.5,
    0.5,
    1.0,
)  # Multiples of the half-width, from one end of the range to the other.


@dataclass(frozen=True)
class ColorJitterOptions:
    """The options of the colour jitter."""

    jitter_probability: float = option(
        0.8, "Probability of the colour jitter: four changes in random order."
    )
    color_strength: float = option(
        1.0,
        "Strength s that multiplies the ranges of brightness, contrast, saturation and "
        "hue (paper: 1; CIFAR: 0.5).",
    )
    brightness: float = option(
        0.8,
        "Half-width of the range of the brightness, around 1 (around 0 where it is "
        "added), at strength 1. Factors are never below 0.",
    )
    contrast: float = option(
        0.8, "Half-width of the range of the contrast around 1, at strength 1."
    )
    saturation: float = option(
        0.8, "Half-width of the range of the saturation around 1, at strength 1."
    )
    hue: float = option(
        0.2,
        "Half-width of the range of the hue in turns, at strength 1; from 0.5 on, all "
        "hues.",
    )
    brightness_mode: BrightnessMode = option(
        "multiplicative", "additive (SimCLR v1) or multiplicative (v2)."
    )

    def check(self):
        check_probability("jitter_probability", self.jitter_probability)
        for name in ("color_strength", "brightness", "contrast", "saturation", "hue"):
            check_at_least(name, getattr(self, name), 0.0)
        check_choice(
            "brightness_mode", self.brightness_mode, typing.get_args(BrightnessMode)
        )


class ColorJitter(NamedTuple):
    """The jitter of each image of a batch; all but two fields are float32 `[B]`.

    Attributes:
      applied: bool `[B]`; images without jitter are not changed.
      order: int32 `[B, 4]`, a permutation of BRIGHTNESS, CONTRAST, SATURATION, HUE:
        the first column is applied first.
      brightness_scale, brightness_offset: x -> scale x + offset.
      contrast: factor of the distance from the channel's mean.
      saturation: factor of the saturation, or None if it is never changed.
      hue: rotation of the hue in turns, or None if it is never changed.
    """

    applied: tf.Tensor
    order: tf.Tensor
    brightness_scale: tf.Tensor
    brightness_offset: tf.Tensor
    contrast: tf.Tensor
    saturation: tf.Tensor | None
    hue: tf.Tensor | None


class ColorJitterOperator(Operator):
    """Change brightness, contrast, saturation and hue."""

    seed_id = 2
    Options = ColorJitterOptions
    switch = "jitter_probability"
    one_branch, one_branch_always = "color", False

    def sample(self, seeds, recipe, image_shape):
        return sample_color_jitter(
            seeds,
            probability=recipe.jitter_probability,
            strength=recipe.color_strength,
            brightness=recipe.brightness,
            contrast=recipe.contrast,
            saturation=recipe.saturation,
            hue=recipe.hue,
            brightness_mode=recipe.brightness_mode,
        )

    def apply(self, images, draw, recipe):
        return apply_color_jitter(images, draw)

    def chosen(self, seeds, recipe):
        return self.sample(seeds, recipe, None).applied

    def strengths(self, images, recipe, large_images):
        rows = []
        if recipe.brightness_mode == "multiplicative":
            rows.append(_factor_row(images, recipe, "brightness", "brightness_scale"))
        else:
            rows.append(_offset_row(images, recipe, "brightness", "brightness_offset"))
        rows.append(_factor_row(images, recipe, "contrast", "contrast"))
        if images.shape[3] == 3:
            rows.append(_factor_row(images, recipe, "saturation", "saturation"))
            rows.append(_offset_row(images, recipe, "hue", "hue", 0.5, " turns"))
        return rows


def _factor_row(images, recipe, name, part):
    """Return a row of `strengths` for a factor; if unused, with its default range."""
    half, is_used = _half_width(recipe, name)
    factors = [max(0.0, 1 + step * half) for step in _STEPS]
    low, high = (factors[0], factors[-1]) if is_used else (1.0, 1.0)
    return (
        f"{name} ×{low:.2g} to ×{high:.2g} {_often(recipe, is_used)}",
        [
            (f"×{factor:.2g}", _jittered(images, **{part: factor}))
            for factor in dict.fromkeys(factors)
        ],
    )


def _offset_row(images, recipe, name, part, most=math.inf, unit=""):
    """Return a row of `strengths` for a summand; if unused, with its default range."""
    half, is_used = _half_width(recipe, name)
    half = min(half, most)
    title = f"{name}," + unit if unit else name
    return (
        f"{title} {-half * is_used:.2g} to {half * is_used:.2g} "
        f"{_often(recipe, is_used)}",
        [
            (f"{step * half:+.2g}{unit}", _jittered(images, **{part: step * half}))
            for step in _STEPS
        ],
    )


def _half_width(recipe, name):
    value = getattr(recipe, name) * recipe.color_strength
    return value or getattr(ColorJitterOptions, name), bool(value)


def _often(recipe, is_used):
    return frequency_text(recipe.jitter_probability * is_used)


def _jittered(images, **changes):
    """Apply one of the four colour operators with one strength to all images."""
    number = len(images)
    neutral = {"brightness_scale": 1.0, "brightness_offset": 0.0, "contrast": 1.0}
    values = {
        name: tf.fill([number], float(value))
        for name, value in {**neutral, **changes}.items()
    }
    values = {"saturation": None, "hue": None, **values}
    jitter = ColorJitter(
        applied=tf.fill([number], True),
        order=tf.tile([[0, 1, 2, 3]], [number, 1]),
        **values,
    )
    return apply_color_jitter(images, jitter)


def sample_color_jitter(
    seeds: TensorLike,
    *,
    probability: float = 0.8,
    strength: float = 1.0,
    brightness: float = 0.8,
    contrast: float = 0.8,
    saturation: float = 0.8,
    hue: float = 0.2,
    brightness_mode: str = "multiplicative",
) -> ColorJitter:
    """Draw the colour jitter of each image.

    With s the strength, factors are uniform in [max(0, 1 - value s), 1 + value s],
    the hue turns by U(-value s, value s), and additive brightness adds
    U(-value s, value s). All 24 orders are equally likely.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1], of jitter in an image.
      strength: float >= 0.
      brightness, contrast, saturation, hue: float >= 0.
      brightness_mode: "additive" (SimCLR v1) or "multiplicative" (v2).

    Returns:
      ColorJitter.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> jitter = sample_color_jitter(tf.constant([[0, 1]]), strength=0.5)
      >>> sorted(jitter.order[0].numpy().tolist())
      [0, 1, 2, 3]
      >>> 0.6 <= float(jitter.contrast[0]) <= 1.4
      True

    Source: SimCLR v1, Appendix A; brightness as a factor: SimCLR v2's code.
    """
    seeds = as_seeds(seeds)
    check_probability("probability", probability)
    check_choice("brightness_mode", brightness_mode, typing.get_args(BrightnessMode))
    for name, value in (
        ("strength", strength),
        ("brightness", brightness),
        ("contrast", contrast),
        ("saturation", saturation),
        ("hue", hue),
    ):
        check_at_least(name, value, 0.0)
    draws = tf.unstack(seeding.uniform(seeds, (6,)), axis=1)

    def around(center, value, draw, lowest=0.0):
        low = max(center - value * strength, lowest)
        return low + draw * (center + value * strength - low)

    scale, offset = around(1.0, brightness, draws[2]), tf.zeros_like(draws[2])
    if brightness_mode == "additive":
        scale, offset = (
            offset + 1.0,
            around(0.0, brightness, draws[2], lowest=-math.inf),
        )
    turns = min(hue * strength, 0.5)  # half a turn either way is every hue
    index = tf.minimum(tf.cast(draws[1] * len(_ORDERS), tf.int32), len(_ORDERS) - 1)
    return ColorJitter(
        applied=gate(draws[0], probability),
        order=tf.gather(_ORDERS, index),
        brightness_scale=scale,
        brightness_offset=offset,
        contrast=around(1.0, contrast, draws[3]),
        saturation=around(1.0, saturation, draws[4]) if saturation * strength else None,
        hue=(2.0 * draws[5] - 1.0) * turns if turns else None,
    )


def apply_color_jitter(images: TensorLike, jitter: ColorJitter) -> Tensor:
    """Apply the four operators in each image's own order, each clipped to [0, 1].

    brightness: x -> scale x + offset · contrast: x -> m + factor (x - m) with m the
    channel's mean over the image · saturation: S -> min(1, factor S) and hue:
    H -> H + turns, in HSV. Changes of saturation and hue commute and stay inside [0,
    1]. So each of the 24 orders is three passes through HSV around two affine maps,

        HSV · (brightness or contrast) · HSV · (the other one) · HSV,

    where the image's order decides in which of the three passes its saturation is
    changed, and in which its hue. This needs no branch and no loop over images.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      jitter: ColorJitter of B images.

    Returns:
      float32 tensor `[B, H, W, C]` in [0, 1].

    Raises:
      ConfigError: images of another form.

    Example:
      >>> images = tf.random.stateless_uniform([1, 4, 4, 3], (0, 0))
      >>> jitter = sample_color_jitter(tf.constant([[0, 1]]))
      >>> apply_color_jitter(images, jitter).shape.as_list()
      [1, 4, 4, 3]

    Source: SimCLR v1, Appendix A, `color_distortion`; order and clips as in SimCLR v2.
    """
    images = as_images(images)
    colored = has_color(
        images, jitter.saturation is not None or jitter.hue is not None, "color jitter"
    )
    brightness, contrast, saturation, hue = (
        tf.reduce_sum(tf.where(jitter.order == operator, range(4), 0), axis=1)
        for operator in (BRIGHTNESS, CONTRAST, SATURATION, HUE)
    )  # [B]: the position of each operator
    first, second = tf.minimum(brightness, contrast), tf.maximum(brightness, contrast)

    def change_hsv(planes, after, before):
        """Change saturation and hue of the images that have them at these positions."""
        if not colored:
            return planes
        here = [(after < place) & (place < before) for place in (saturation, hue)]

        def changed():
            return change_hue_and_saturation(
                planes,
                None
                if jitter.saturation is None
                else tf.where(here[0], jitter.saturation, 1.0),
                None if jitter.hue is None else tf.where(here[1], jitter.hue, 0.0),
            )

        if planes[0].shape[0] != 1:
            return changed()
        # A single image needs only half of the passes.
        return tf.cond(
            here[0][0] | here[1][0],
            changed,
            lambda: [tf.identity(plane) for plane in planes],
        )

    def scale_and_clip(planes, place):
        return [_scale_and_clip(plane, jitter, brightness == place) for plane in planes]

    # Planes [B, H, W]: XLA fuses a pass over three separate planes into one loop, but
    # not a pass that stacks and unstacks them (5 times slower on CPU). XLA cancels this
    # transpose against the one at the end of a crop: no pixel is moved.
    planes = [images]
    if colored:
        planes = tf.unstack(tf.transpose(images, [0, 1, 3, 2]), axis=2)
    planes = change_hsv(planes, -1, first)
    planes = scale_and_clip(planes, first)
    planes = change_hsv(planes, first, second)
    planes = scale_and_clip(planes, second)
    planes = change_hsv(planes, second, 4)
    outputs = tf.stack(planes, axis=3) if colored else planes[0]
    return tf.where(per_image(jitter.applied), outputs, images)


def _scale_and_clip(plane, jitter, is_brightness):
    """Change brightness where `is_brightness` [B], else contrast; `[B, H, W, ...]`."""
    mean = tf.reduce_mean(plane, axis=[1, 2], keepdims=True)
    scale = tf.where(is_brightness, jitter.brightness_scale, jitter.contrast)
    offset = tf.where(
        per_pixel(plane, is_brightness),
        per_pixel(plane, jitter.brightness_offset),
        per_pixel(plane, 1.0 - jitter.contrast) * mean,
    )
    return tf.clip_by_value(plane * per_pixel(plane, scale) + offset, 0.0, 1.0)
