"""Thumbnails for a page, and images as PNG bytes."""

import numpy as np
import tensorflow as tf

from simclr_tf.errors import DataError


def thumbnails(images, side_pixels):
    """Shrink images to uint8, the longer side at most `side_pixels` (area averaging).

    Args:
      images: `[N, H, W, C]`, uint8 or float in [0, 1].
      side_pixels: int >= 1; smaller images stay as they are.

    Returns:
      uint8 NumPy array `[N, h, w, C]`, C being 1 or 3: the first three channels, or
      the first.

    Example:
      >>> thumbnails(np.ones([2, 8, 4, 3], np.float32), 4)[0, 0, 0].tolist()
      [255, 255, 255]
    """
    images = np.asarray(images)
    images = images[..., :3] if images.shape[-1] >= 3 else images[..., :1]
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    longer = max(images.shape[1:3])
    if longer > side_pixels:
        size = [
            max(1, round(side * side_pixels / longer)) for side in images.shape[1:3]
        ]
        images = tf.image.resize(images, size, "area").numpy()
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def png_bytes(image):
    """Encode an image as PNG.

    Args:
      image: `[H, W, C]`, uint8 or float in [0, 1].

    Returns:
      bytes.

    Raises:
      DataError: another number of dimensions.

    Example:
      >>> png_bytes(np.zeros([2, 2, 1], np.uint8))[1:4]
      b'PNG'
    """
    image = np.asarray(image)
    if image.ndim != 3:
        raise DataError(f"An image has the shape [H, W, C], not {image.shape}.")
    return tf.io.encode_png(thumbnails(image[np.newaxis], max(image.shape))[0]).numpy()


def sprite_sheet(images):
    """Put many thumbnails into one image, row by row.

    Args:
      images: uint8 `[n, h, w, C]`.

    Returns:
      (uint8 `[rows h, columns w, C]`, columns).

    Example:
      >>> sheet, columns = sprite_sheet(np.zeros([5, 2, 2, 1], np.uint8))
      >>> sheet.shape, columns
      ((4, 6, 1), 3)
    """
    number, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(number)))
    rows = -(-number // columns)
    sheet = np.zeros([rows * columns, height, width, channels], np.uint8)
    sheet[:number] = images
    sheet = sheet.reshape(rows, columns, height, width, channels)
    return sheet.swapaxes(1, 2).reshape(
        rows * height, columns * width, channels
    ), columns
