"""Partial decoding of JPEG files: only the part that a crop needs."""

import tensorflow as tf

from simclr_tf.augment.upright import stored_box, turn_upright

# If a JPEG stores colour at half resolution, a decoded pixel depends on the colour of
# its neighbours: with this margin around a box, its pixels are those of the full image.
_MARGIN_PIXELS = 2


def decode_boxes(contents, boxes, height, width, *, orientation=None, channels=3):
    """Decode a JPEG once for several boxes of it.

    Decodes the smallest box that contains all boxes, with the fused kernel, which stops
    at its last row and skips the inverse transform outside. For the whole image it
    costs as much as `tf.io.decode_jpeg`, so there is no second path. The pixels are
    those of the fully decoded image (with the accurate integer transform).

    Args:
      contents: string scalar tensor, the file's bytes.
      boxes: list of int32 `[4]`: (y, x, h, w), inside the upright image.
      height, width: int32 scalars: the upright image's size.
      orientation: int32 scalar, 1 to 8, see `orientation_of_jpeg`; None: upright.
      channels: 1 or 3.

    Returns:
      (image, boxes): uint8 `[h, w, channels]`, the decoded part, upright, and the boxes
      relative to it.

    Example:
      >>> contents = tf.io.encode_jpeg(tf.zeros([64, 64, 3], tf.uint8))
      >>> image, boxes = decode_boxes(contents, [tf.constant([8, 8, 16, 20])], 64, 64)
      >>> image.shape.as_list(), boxes[0].numpy().tolist()
      ([20, 24, 3], [2, 2, 16, 20])
    """
    starts = tf.reduce_min([box[:2] for box in boxes], axis=0) - _MARGIN_PIXELS
    ends = tf.reduce_max([box[:2] + box[2:] for box in boxes], axis=0) + _MARGIN_PIXELS
    starts = tf.maximum(starts, 0)
    ends = tf.minimum(ends, tf.stack([height, width]))
    window = tf.concat([starts, ends - starts], axis=0)
    is_turned = orientation is not None
    stored = stored_box(window, height, width, orientation) if is_turned else window
    image = tf.image.decode_and_crop_jpeg(
        contents, stored, channels=channels, dct_method="INTEGER_ACCURATE"
    )
    image = turn_upright(image, orientation) if is_turned else image
    shift = tf.concat([starts, [0, 0]], axis=0)
    return image, [box - shift for box in boxes]
