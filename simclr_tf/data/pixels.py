"""Pixels as they come out of files and arrays: decoding, channels, checks."""

import numpy as np
import tensorflow as tf

from simclr_tf.errors import DataError, received_text

CAN_DECODE_WEBP = hasattr(tf.raw_ops, "DecodeWebP")
_CHUNK_BYTES = 1 << 25


def decode_image(encoded, channels):
    """One encoded image -> uint8 pixels; animations give their first frame.

    Transparency is dropped, CMYK becomes RGB, and 16-bit PNG is reduced to 8 bits.

    Args:
      encoded: scalar string tensor, a JPEG, PNG, GIF, BMP or (where TensorFlow can)
        WebP file.
      channels: 1 or 3.

    Returns:
      uint8 `[H, W, channels]`.

    Raises:
      tf.errors.InvalidArgumentError: if the bytes cannot be decoded.
    """
    # TensorFlow's default transform for JPEG is up to 10 levels off, and no faster.
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, expand_animations=False),
    )
    image.set_shape([None, None, None])
    return to_channels(image, channels)


def to_channels(image, channels):
    """Convert the channels of one decoded image, `[H, W, 1..4]` of unknown C.

    Args:
      image: uint8 tensor: grey, grey with alpha, RGB or RGB with alpha.
      channels: 1 or 3.

    Returns:
      uint8 `[H, W, channels]`; grey is `(299 R + 587 G + 114 B) / 1000`, rounded.
    """
    in_colour = tf.shape(image)[-1] >= 3
    if channels == 3:
        image = tf.cond(
            in_colour,
            lambda: image[..., :3],
            lambda: tf.repeat(image[..., :1], 3, axis=-1),
        )
    else:
        image = tf.cond(in_colour, lambda: _luma(image), lambda: image[..., :1])
    image.set_shape([None, None, channels])
    return image


def _luma(image):
    weighted = tf.cast(image[..., :3], tf.int32) * tf.constant([299, 587, 114])
    total = tf.reduce_sum(weighted, axis=-1, keepdims=True)
    return tf.cast((total + 500) // 1000, tf.uint8)


def first_success(attempts, work, otherwise):
    """The first attempt on which `work` does not fail, inside a `Dataset.map`.

    TensorFlow's decoders raise on broken bytes; this turns the error of one image
    into a value without stopping the pipeline. Later attempts are made only if the
    earlier ones failed.

    Args:
      attempts: tf.data.Dataset, the arguments of `work`, in order of preference.
      work: graph function.
      otherwise: tf.data.Dataset of one element like `work`'s result.

    Returns:
      What `work` returned, or the element of `otherwise`.
    """
    work = tf.autograph.experimental.do_not_convert(work)
    results = attempts.map(work).ignore_errors().concatenate(otherwise)
    return results.take(1).get_single_element()


def blank_image(image_size_pixels, channels):
    """Zeros in the place of a crop that could not be made.

    Args:
      image_size_pixels: int or (height, width).
      channels: int.

    Returns:
      float32 `[height, width, channels]`.

    Example:
      >>> blank_image(8, 3).shape, blank_image((4, 6), 1).shape
      (TensorShape([8, 8, 3]), TensorShape([4, 6, 1]))
    """
    height, width = np.broadcast_to(image_size_pixels, 2).tolist()
    return tf.zeros([height, width, channels])


def array_to_channels(images, channels):
    """`to_channels` for a NumPy batch `[B, H, W, C]` of uint8 or float32 in [0, 1].

    Example:
      >>> white = np.full([1, 2, 2, 3], 255, np.uint8)
      >>> array_to_channels(white, 1).ravel()
      array([255, 255, 255, 255], dtype=uint8)
    """
    have = images.shape[-1]
    if have == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    if images.dtype == np.uint8:
        weighted = images.astype(np.int32) * np.array([299, 587, 114], np.int32)
        total = weighted.sum(-1, keepdims=True)
        return ((total + 500) // 1000).astype(np.uint8)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.minimum((images * weights).sum(-1, keepdims=True), np.float32(1))


def check_pixels(images, name):
    """Refuse an image array that training could not use.

    Float arrays are read through once, in pieces, so that a memory-mapped file stays
    on disk.

    Args:
      images: NumPy array `[n, H, W, C]` or `[n, H, W]`.
      name: str, the data set, for messages.

    Raises:
      DataError: for another rank or type, empty images, NaN, or floats outside [0, 1].
    """
    if images.ndim not in (3, 4):
        raise DataError(
            f"Images of `{name}` must have shape [n, H, W, C] or [n, H, W]. "
            + received_text(shape=images.shape)
        )
    if 0 in images.shape[1:]:
        raise DataError(
            f"Images of `{name}` are empty. " + received_text(shape=images.shape)
        )
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(
            f"Images of `{name}` must be uint8, or floats in [0, 1]; convert them, "
            "e.g. with `.astype('uint8')` if they hold 0 to 255. "
            + received_text(dtype=str(images.dtype))
        )
    low, high = np.inf, -np.inf
    rows = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        chunk = images[start : start + rows]
        smallest, largest = float(chunk.min()), float(chunk.max())
        if np.isnan(smallest):
            bad = np.isnan(chunk).any(axis=tuple(range(1, chunk.ndim)))
            raise DataError(
                f"Images of `{name}` hold NaN pixels. "
                + received_text(first_image_with_nan=start + int(bad.argmax()))
            )
        low, high = min(low, smallest), max(high, largest)
    if low < 0 or high > 1:
        raise DataError(
            f"Float images of `{name}` must lie in [0, 1]; divide 0 to 255 by 255, or "
            "pass uint8. " + received_text(smallest=low, largest=high)
        )
