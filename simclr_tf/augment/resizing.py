"""Bicubic resizing of boxes to one size, for a batch or for one image."""

from __future__ import annotations

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import check_images, unit_scale
from simclr_tf.augment.separable import apply_separable
from simclr_tf.config.image_size import as_size
from simclr_tf.errors import require
from simclr_tf.lazy import tf

# TensorFlow's bicubic kernel is a table with this many steps a pixel.
_TABLE_STEPS = 1024.0


def apply_crop(
    images: TensorLike,
    boxes: TensorLike,
    size: int | tuple[int, int],
    *,
    flips: TensorLike | None = None,
) -> Tensor:
    """Cut the boxes out and resize them, bicubic, to one size; mirror some.

    Keys' cubic kernel (a = -0.5), half-pixel centres, no antialiasing. Taps outside
    the box get no weight and the others are rescaled to sum to 1. This is
    `tf.image.resize(crop, size, "bicubic")`, table steps of 1/1024 pixel included,
    as two matrix products for the whole batch; XLA can compile it. Cubic
    interpolation overshoots at edges, so the result is clipped.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      boxes: int32 `[B, 4]`: (y, x, h, w), inside the image.
      size: int, or pair (height, width).
      flips: bool `[B]`, images to mirror left to right like `apply_flip`, at no cost:
        their columns are read in the other order. None: no image.

    Returns:
      float32 tensor `[B, height, width, C]` in [0, 1].

    Raises:
      ConfigError: images, boxes or size of another form.

    Example:
      >>> images = tf.random.stateless_uniform([1, 8, 8, 3], (0, 0))
      >>> whole = apply_crop(images, tf.constant([[0, 0, 8, 8]]), 8)
      >>> bool(tf.reduce_max(tf.abs(whole - images)) < 1e-6)
      True

    Source: Keys, Cubic convolution interpolation (1981), equation 15.
    """
    images = check_images(images)
    height, width = as_size(size)
    boxes = tf.convert_to_tensor(boxes)
    require(
        boxes.dtype == tf.int32 and boxes.shape.rank == 2 and boxes.shape[1] == 4,
        "`boxes` must be int32 [batch, 4]: (y, x, h, w).",
        dtype=boxes.dtype.name,
        shape=str(boxes.shape),
    )
    y, x, h, w = tf.unstack(boxes, axis=1)
    rows = _interpolation(y, h, images.shape[1], height)
    columns = _interpolation(x, w, images.shape[2], width, flips)
    return apply_separable(
        images,
        rows,
        columns,
        then=lambda crops: tf.clip_by_value(crops * unit_scale(images), 0.0, 1.0),
    )


def _interpolation(starts, lengths, source, target, flips=None):
    """Return `[B, target, source]`: weights of source pixels in each target pixel."""
    scale = tf.cast(lengths, tf.float32) / float(target)
    centers = tf.range(target, dtype=tf.float32)[tf.newaxis] + 0.5
    if flips is not None:  # Exactly the centres of the opposite pixels.
        centers = tf.where(flips[:, tf.newaxis], target - centers, centers)
    positions = centers * scale[:, tf.newaxis] - 0.5  # [B, target], in the box
    whole = tf.floor(positions)
    steps = tf.round((positions - whole) * _TABLE_STEPS)
    positions = whole + steps / _TABLE_STEPS
    pixels = tf.range(source) - starts[:, tf.newaxis]  # [B, source], in the box
    inside = (pixels >= 0) & (pixels < lengths[:, tf.newaxis])
    pixels = tf.cast(pixels, tf.float32)[:, tf.newaxis, :]
    weights = _cubic(tf.abs(pixels - positions[:, :, tf.newaxis]))
    weights = tf.where(inside[:, tf.newaxis, :], weights, 0.0)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


def _cubic(distance):
    """Evaluate Keys' kernel with a = -0.5 at distance >= 0 pixels."""
    d = distance
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return tf.where(d <= 1.0, near, tf.where(d < 2.0, far, 0.0))


def crop_one(image, box, size):
    """Cut the box out of one image and resize it, as `apply_crop` does for a batch.

    Args:
      image: uint8 or floating in [0, 1], `[H, W, C]`, H and W known or not.
      box: int32 `[4]`: (y, x, h, w), inside the image.
      size: pair (height, width).

    Returns:
      float32 tensor `[height, width, C]` in [0, 1].

    Example:
      >>> crop = crop_one(tf.ones([8, 9, 3]), tf.constant([2, 2, 4, 4]), (6, 6))
      >>> crop.shape.as_list()
      [6, 6, 3]
    """
    y, x, h, w = tf.unstack(box)
    resized = tf.image.resize(image[y : y + h, x : x + w], size, "bicubic")
    resized = tf.cast(resized, tf.float32) * unit_scale(image)
    return tf.clip_by_value(resized, 0.0, 1.0)
