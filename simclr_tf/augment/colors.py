"""Colour: whether images have any, and changes of saturation and hue."""

import logging

from simclr_tf.lazy import tf

_warned = set()  # Numbers of channels with a warning already.


def has_color(images, wanted, operator):
    """Tell whether an operator on colour applies; log a warning once if not.

    Args:
      images: `[B, H, W, C]`.
      wanted: bool, whether the operator would have an effect.
      operator: str, its name for the log.

    Returns:
      bool.

    Example:
      >>> has_color(tf.zeros([1, 8, 8, 3]), True, "grayscale")
      True
    """
    channels = images.shape[3]
    if wanted and channels != 3 and channels not in _warned:
        _warned.add(channels)
        logging.getLogger("simclr_tf").warning(
            "Images have %d channel%s: hue, saturation and grayscale need 3 and are "
            "skipped (first operator: %s).",
            channels,
            "" if channels == 1 else "s",
            operator,
        )
    return wanted and channels == 3


def change_hue_and_saturation(planes, saturation_factor, hue_turns):
    """Multiply the saturation and turn the hue, in HSV.

    With V the largest channel and chroma = V - smallest = S V, the channel c of a
    colour of hue H, in sixths of a turn, is V - chroma clip(2 - ||H - n_c| - 3|, 0, 1),
    n = 0, 2, 4 for red, green, blue. That holds for H in [-2, 6]: 3 - ||x| - 3| is the
    distance of x in [-6, 6] from the nearest whole turn.

    Args:
      planes: red, green and blue, float32 `[B, H, W]` in [0, 1].
      saturation_factor, hue_turns: float32 `[B]`, or None for no change.

    Returns:
      list of the three planes.
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
        hue += 6.0 * per_pixel(value, hue_turns)
        hue -= 6.0 * tf.floor((hue + 2.0) * (1.0 / 6.0))  # into [-2, 4)
    if saturation_factor is not None:
        chroma = tf.minimum(chroma * per_pixel(value, saturation_factor), value)

    def channel(n):
        away = 2.0 - tf.abs(tf.abs(hue - n) - 3.0)
        return value - chroma * tf.clip_by_value(away, 0.0, 1.0)

    return [channel(0.0), channel(2.0), channel(4.0)]


def per_pixel(plane, values):
    """Reshape `[B]` to `[B, 1, 1, ...]` of the plane's rank."""
    return tf.reshape(values, [-1] + [1] * (plane.shape.rank - 1))
