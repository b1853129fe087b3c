"""Decoding of image files in a graph: pixels, channels, and fallbacks."""

from simclr_tf.lazy import np, tf


def decode_image(encoded, channels):
    """Decode one image to uint8 pixels; animations give their first frame.

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
    # TensorFlow's default JPEG transform is wrong by up to 10 levels, and not faster.
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
    """Return the result of the first attempt that does not fail, in a `Dataset.map`.

    TensorFlow's decoders raise on broken bytes; this turns the error of one image
    into a value without stopping the pipeline. Later attempts are made only if the
    earlier ones failed.

    Args:
      attempts: tf.data.Dataset, the arguments of `work`, in order of preference.
      work: graph function.
      otherwise: tf.data.Dataset of one element like `work`'s result.

    Returns:
      The result of `work`, or the element of `otherwise`.
    """
    work = tf.autograph.experimental.do_not_convert(work)
    results = attempts.map(work).ignore_errors().concatenate(otherwise)
    return results.take(1).get_single_element()


def blank_image(image_size_pixels, channels):
    """Return zeros as a placeholder for a crop that could not be made.

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
