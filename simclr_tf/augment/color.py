"""Colour jitter, in a random order per image.

Brightness and contrast are defined for any number of channels. Saturation and hue are
about colour: on images that do not have 3 channels they are skipped, and the log says
so once.

Source: SimCLR v1 (arXiv:2002.05709), Appendix A and its pseudo-code.
"""

import itertools
import logging
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.ranges import check_at_least, check_choice, check_probability
from simclr_tf.augment.recipes import BRIGHTNESS_MODES
from simclr_tf.seeding import uniform

# The numbers that an order of the jitter is made of.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
_ORDERS = np.array(list(itertools.permutations(range(4))), np.int32)  # [24, 4]
_said = set()


class ColorJitter(NamedTuple):
    """What the jitter does to each image of a batch; all float32 `[B]` if not said.

    Attributes:
      applied: bool `[B]`; images without it stay as they are.
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


def sample_color_jitter(
    seeds,
    *,
    probability=0.8,
    strength=1.0,
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
    brightness_mode="multiplicative",
):
    """What the colour jitter does to each image.

    With s the strength, factors are uniform in [max(0, 1 - value s), 1 + value s],
    the hue turns by U(-value s, value s), and additive brightness adds
    U(-value s, value s). All 24 orders are equally likely.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1], of jittering an image at all.
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
    check_choice("brightness_mode", brightness_mode, BRIGHTNESS_MODES)
    for name, value in (
        ("strength", strength),
        ("brightness", brightness),
        ("contrast", contrast),
        ("saturation", saturation),
        ("hue", hue),
    ):
        check_at_least(name, value, 0.0)
    draws = tf.unstack(uniform(seeds, (6,)), axis=1)

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


def apply_color_jitter(images, jitter):
    """The four operators in each image's own order, clipped to [0, 1] after each.

    brightness: x -> scale x + offset · contrast: x -> m + factor (x - m) with m the
    channel's mean over the image · saturation: S -> min(1, factor S) and hue:
    H -> H + turns, in HSV. Saturation and hue are coordinates of their own: they
    commute, and stay inside [0, 1]. So any of the 24 orders is three passes through
    HSV around two affine maps,

        HSV · (brightness or contrast) · HSV · (the other one) · HSV,

    where each image's saturation and hue act in the pass its order puts them in and
    leave the others unchanged: no branch, no loop over images.

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
    )  # [B]: the place of each operator
    first, second = tf.minimum(brightness, contrast), tf.maximum(brightness, contrast)

    def change_hsv(planes, after, before):
        """Saturation and hue of the images that have them between these places."""
        if not colored:
            return planes
        here = [(after < place) & (place < before) for place in (saturation, hue)]

        def changed():
            return _change_hsv(
                planes,
                None
                if jitter.saturation is None
                else tf.where(here[0], jitter.saturation, 1.0),
                None if jitter.hue is None else tf.where(here[1], jitter.hue, 0.0),
            )

        if planes[0].shape[0] != 1:
            return changed()
        # One image alone needs half of the passes only.
        return tf.cond(
            here[0][0] | here[1][0],
            changed,
            lambda: [tf.identity(plane) for plane in planes],
        )

    def scale_and_clip(planes, place):
        return [_scale_and_clip(plane, jitter, brightness == place) for plane in planes]

    # Planes [B, H, W]: XLA fuses a pass over three planes into one loop, but not one
    # that puts them together and takes them apart again (5 times slower on CPU). It
    # undoes the transposition against that at the end of a crop: no pixel is moved.
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
    """Brightness where `is_brightness` [B], contrast elsewhere; `[B, H, W, ...]`."""
    mean = tf.reduce_mean(plane, axis=[1, 2], keepdims=True)
    scale = tf.where(is_brightness, jitter.brightness_scale, jitter.contrast)
    offset = tf.where(
        _against(plane, is_brightness),
        _against(plane, jitter.brightness_offset),
        _against(plane, 1.0 - jitter.contrast) * mean,
    )
    return tf.clip_by_value(plane * _against(plane, scale) + offset, 0.0, 1.0)


def _change_hsv(planes, saturation_factor, hue_turns):
    """Multiply the saturation, turn the hue; `[B]` each, or None for no change.

    With V the largest channel and chroma = V - smallest = S V, the channel c of a
    colour of hue H, in sixths of a turn, is V - chroma clip(2 - ||H - n_c| - 3|, 0, 1),
    n = 0, 2, 4 for red, green, blue. That holds for H in [-2, 6]: 3 - ||x| - 3| is the
    distance of x in [-6, 6] from the nearest whole turn.
    """
    red, green, blue = planes  # [B, H, W]
    value = tf.maximum(tf.maximum(red, green), blue)
    chroma = value - tf.minimum(tf.minimum(red, green), blue)
    hue = tf.where(
        value == red,
        green - blue,
        tf.where(
            value == green,
            2.0 * chroma + (blue - red),
            4.0 * chroma + (red - green),
        ),
    )
    # One division, at the end: XLA keeps what it divided instead of dividing again
    # for each channel. Gray: all differences are 0.
    hue /= tf.maximum(chroma, 1e-12)
    if hue_turns is not None:
        hue += 6.0 * _against(value, hue_turns)
        hue -= 6.0 * tf.floor((hue + 2.0) * (1.0 / 6.0))  # into [-2, 4)
    if saturation_factor is not None:
        chroma = tf.minimum(chroma * _against(value, saturation_factor), value)

    def channel(n):
        away = 2.0 - tf.abs(tf.abs(hue - n) - 3.0)
        return value - chroma * tf.clip_by_value(away, 0.0, 1.0)

    return [channel(0.0), channel(2.0), channel(4.0)]


def _against(plane, values):
    """`[B]` -> `[B, 1, 1, ...]` of the plane's rank."""
    return tf.reshape(values, [-1] + [1] * (plane.shape.rank - 1))


def has_color(images, wanted, operator):
    """Whether an operator on colour applies; says once a channel count if not.

    Args:
      images: `[B, H, W, C]`.
      wanted: bool, whether the operator would do anything.
      operator: str, its name for the log.

    Returns:
      bool.

    Example:
      >>> has_color(tf.zeros([1, 8, 8, 3]), True, "grayscale")
      True
    """
    channels = images.shape[3]
    if wanted and channels != 3 and channels not in _said:
        _said.add(channels)
        logging.getLogger("simclr_tf").warning(
            "Images have %d channel%s: hue, saturation and grayscale need 3 and are "
            "skipped (first met in: %s).",
            channels,
            "" if channels == 1 else "s",
            operator,
        )
    return wanted and channels == 3
