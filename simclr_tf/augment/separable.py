"""Linear maps along the rows and the columns of a batch of images."""

from simclr_tf.lazy import tf


def apply_separable(images, row_maps, column_maps, then=lambda values: values):
    """Multiply each image by two matrices, one for each axis.

    out[b, i, j, c] = sum over y, x of rows[b, i, y] columns[b, j, x] in[b, y, x, c]

    Resizing, cropping and blurring are of this form. Two batched matrix products
    compute the whole batch at once, on the fastest unit of a device. (An accelerator
    may multiply with fewer bits, as in every other layer: TPUs with bfloat16, an error
    of about half a step of an 8-bit image.)

    Args:
      images: uint8 or floating `[B, H, W, C]`, H, W and C known.
      row_maps: float32 `[B, T, H]`.
      column_maps: float32 `[B, S, W]`.
      then: elementwise function, applied to the result before its last transpose: XLA
        cancels this transpose against the next one, so no data is moved.

    Returns:
      float32 tensor `[B, T, S, C]`.

    Example:
      >>> images = tf.reshape(tf.range(4.0), [1, 2, 2, 1])
      >>> swap = tf.constant([[[0.0, 1.0], [1.0, 0.0]]])
      >>> apply_separable(images, swap, swap)[0, :, :, 0].numpy().tolist()
      [[3.0, 2.0], [1.0, 0.0]]
    """
    _, height, width, channels = images.shape
    rows, columns = row_maps.shape[1], column_maps.shape[1]
    # [B, H, C, W]: x last for the first product, y first for the second, so that no
    # other transposition is needed; the input is moved while it is still uint8.
    planes = tf.cast(tf.transpose(images, [0, 1, 3, 2]), tf.float32)
    planes = tf.reshape(planes, [-1, height * channels, width])
    planes = tf.matmul(planes, column_maps, transpose_b=True)  # [B, H C, S]
    planes = tf.reshape(planes, [-1, height, channels * columns])
    planes = tf.matmul(row_maps, planes)  # [B, T, C S]
    planes = tf.reshape(planes, [-1, rows, channels, columns])
    return tf.transpose(then(planes), [0, 1, 3, 2])
