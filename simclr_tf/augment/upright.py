"""Turning photographs upright: the orientation that a camera notes in its file.

A phone stores the sensor's pixels as they are and notes in the EXIF data how to turn
them: number 1 to 8, tag 0x0112. Some programs note it in XMP instead; EXIF goes first.
Everything here is a graph function, so that the signatures of an export can use it.
"""

from __future__ import annotations

import tensorflow as tf

from simclr_tf.array_types import Tensor

# EXIF: (is the image transposed, then flipped top to bottom, then left to right), from
# the stored image to the upright one.
_TURNS = (
    (False, False, False),
    (False, False, True),
    (False, True, True),
    (False, True, False),
    (True, False, False),
    (True, False, True),
    (True, True, True),
    (True, True, False),
)
_TAG, _LONG = 0x0112, 4
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
# \C is any byte: the files are no text.
_XMP_ORIENTATION = r'\A\C*tiff:Orientation(?:="|>)([1-8])\C*\z'
_JFIF_BYTES = 16


def orientation_of_jpeg(contents: Tensor) -> Tensor:
    """Read the orientation of a JPEG file.

    Args:
      contents: string scalar tensor, the file's bytes.

    Returns:
      int32 scalar, 1 (stored upright) to 8; 1 where nothing is noted.

    Example:
      >>> contents = tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8))
      >>> int(orientation_of_jpeg(contents))
      1
    """
    head = _bytes_at(contents, 0, 24)
    after_jfif = (_number(head, 2) == 0xFFE0) & (_number(head, 4) == _JFIF_BYTES)
    marker = tf.where(after_jfif, _number(head, 20), _number(head, 2))
    # A table follows: notes stand before all tables. So are most files of data sets.
    return tf.cond(
        marker == 0xFFDB,
        lambda: tf.constant(1),
        lambda: _search_segments(contents),
    )


def orientation_of_png(contents: Tensor) -> Tensor:
    """Read the orientation that a PNG file notes in its chunks eXIf or iTXt (XMP).

    Args:
      contents: string scalar tensor, the file's bytes.

    Returns:
      int32 scalar, 1 to 8; 1 where nothing is noted.

    Raises:
      tf.errors.InvalidArgumentError: a note in the compressed form of old ImageMagick.
    """
    hidden = tf.strings.regex_full_match(contents, r"\A\C*Raw profile type exif\C*\z")
    check = tf.debugging.Assert(
        ~hidden, ["A PNG file with a `Raw profile type exif` cannot be turned here."]
    )
    with tf.control_dependencies([] if check is None else [check]):
        contents = tf.identity(contents)
    exif = tf.strings.regex_replace(contents, r"\A\C*?eXIf(\C*)\z", r"\1")
    is_there = tf.strings.length(exif) < tf.strings.length(contents)
    noted = tf.cond(is_there, lambda: orientation_of_exif(exif), lambda: -1)
    return _upright_unless(noted, _orientation_of_xmp(contents))


def orientation_of_exif(exif: Tensor) -> Tensor:
    """Read the orientation from EXIF data (a TIFF file without its image).

    Args:
      exif: string scalar tensor.

    Returns:
      int32 scalar: what stands there, or -1 if nothing does, or nothing readable.
    """
    size = tf.strings.length(exif)
    return tf.cond(size >= 14, lambda: _first_directory(exif, size), lambda: -1)


def turn_upright(image: Tensor, orientation: Tensor) -> Tensor:
    """Turn the stored pixels as their orientation says.

    Args:
      image: tensor `[H, W, C]`, as stored.
      orientation: int32 scalar, 1 to 8.

    Returns:
      tensor `[H, W, C]`, or `[W, H, C]` for orientations above 4.

    Example:
      >>> stored = tf.reshape(tf.range(6), [2, 3, 1])
      >>> turn_upright(stored, tf.constant(6))[..., 0].numpy().tolist()
      [[3, 0], [4, 1], [5, 2]]
    """

    def turned():
        transposed, rows, columns = _turns(orientation)
        result = tf.cond(
            transposed, lambda: tf.transpose(image, [1, 0, 2]), lambda: image
        )
        result.set_shape([None, None, image.shape[-1]])
        return tf.reverse(result, tf.where([rows, columns])[:, 0])

    result = tf.cond(orientation == 1, lambda: image, turned)
    result.set_shape([None, None, image.shape[-1]])
    return result


def stored_box(
    box: Tensor, height: Tensor, width: Tensor, orientation: Tensor
) -> Tensor:
    """Find where a box of the upright image is in the stored one.

    Args:
      box: int32 `[4]`: (y, x, h, w), in the upright image.
      height, width: int32 scalars: the upright image's size.
      orientation: int32 scalar, 1 to 8.

    Returns:
      int32 `[4]`, in the stored image.

    Example:
      >>> stored_box(tf.constant([0, 1, 2, 1]), 3, 2, tf.constant(6)).numpy().tolist()
      [0, 0, 1, 2]
    """
    transposed, rows, columns = _turns(orientation)
    y, x, h, w = tf.unstack(box)
    y = tf.where(rows, height - y - h, y)
    x = tf.where(columns, width - x - w, x)
    return tf.where(transposed, tf.stack([x, y, w, h]), tf.stack([y, x, h, w]))


def is_transposed(orientation: Tensor) -> Tensor:
    """Tell whether height and width change places: bool scalar."""
    return orientation > 4


def _turns(orientation):
    """Return three bool scalars, see `_TURNS`."""
    return tf.unstack(tf.constant(_TURNS)[orientation - 1])


@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
def _search_segments(contents):
    """Go through the first segments of a JPEG file: notes, before any table.

    Traced once in a process, not once for each dataset: most of what decoding traces.
    """
    size = tf.strings.length(contents)

    def is_note(position, _exif, _xmp):
        marker = _number(_bytes_at(contents, position, 2), 0)
        is_one = ((marker >= 0xFFE0) & (marker <= 0xFFEF)) | (marker == 0xFFFE)
        return is_one & (position + 4 < size)

    def next_segment(position, exif, xmp):
        head = _bytes_at(contents, position, 4)
        length = tf.maximum(_number(head, 2), 2)
        is_app1 = _number(head, 0) == 0xFFE1
        return tf.cond(
            is_app1,
            lambda: (position + 2 + length, *_note(position, length, exif, xmp)),
            lambda: (position + 2 + length, exif, xmp),
        )

    def _note(position, length, exif, xmp):
        start = tf.minimum(position + 4, size)
        note = tf.strings.substr(contents, start, length - 2)
        exif = tf.cond(
            (exif == -1) & (_starts(note, _EXIF)),
            lambda: orientation_of_exif(tf.strings.substr(note, len(_EXIF), length)),
            lambda: exif,
        )
        xmp = tf.cond(
            (xmp == -1) & (_starts(note, _XMP)),
            lambda: _orientation_of_xmp(note),
            lambda: xmp,
        )
        return exif, xmp

    _, exif, xmp = tf.while_loop(
        is_note, next_segment, [tf.constant(2), tf.constant(-1), tf.constant(-1)]
    )
    return _upright_unless(exif, xmp)


def _orientation_of_xmp(text):
    found = tf.strings.regex_replace(text, _XMP_ORIENTATION, r"\1")
    is_digit = tf.strings.regex_full_match(found, "[1-8]")
    digit = tf.where(is_digit, found, "-1")
    return tf.strings.to_number(digit, tf.int32)


def _upright_unless(exif, xmp):
    """Combine both notes; -1: there is none. Numbers without a meaning turn nothing."""
    noted = tf.where(exif == -1, xmp, exif)
    return tf.where((noted >= 1) & (noted <= 8), noted, 1)


def _first_directory(exif, size):
    content = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    is_little = content[0] == ord("I")

    def numbers(columns):
        """Read unsigned integers, `[..., bytes]` to `[...]`."""
        ordered = tf.cond(is_little, lambda: tf.reverse(columns, [-1]), lambda: columns)
        powers = 256 ** tf.range(tf.shape(columns)[-1] - 1, -1, -1)
        return tf.reduce_sum(ordered * tf.cast(powers, tf.int64), axis=-1)

    size = tf.cast(size, tf.int64)
    start = numbers(content[4:8]) + 2
    is_inside = (start >= 10) & (start <= size)
    start = tf.where(is_inside, start, size)
    count = tf.where(is_inside, numbers(content[start - 2 : start]), 0)
    count = tf.minimum(count, (size - start) // 12)
    entries = tf.reshape(content[start : start + 12 * count], [-1, 12])
    is_long = numbers(entries[:, 2:4]) == _LONG
    values = tf.where(is_long, numbers(entries[:, 8:12]), numbers(entries[:, 8:10]))
    found = tf.boolean_mask(values, numbers(entries[:, :2]) == _TAG)
    first = tf.concat([found, [-1]], axis=0)[0]
    return tf.cast(tf.clip_by_value(first, -1, 9), tf.int32)


def _bytes_at(contents, position, count):
    """Return int32 `[count]`; zeros where the file has ended."""
    start = tf.minimum(position, tf.strings.length(contents))
    found = tf.io.decode_raw(tf.strings.substr(contents, start, count), tf.uint8)
    found = tf.pad(found, [[0, count - tf.size(found)]])
    return tf.cast(tf.ensure_shape(found, [count]), tf.int32)


def _number(content, place):
    """Return the two-byte number at `place`."""
    return content[place] * 256 + content[place + 1]


def _starts(text, start):
    return tf.strings.substr(text, 0, len(start)) == start
