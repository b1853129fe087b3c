"""Decoding of image files in a graph: the pixels that a person sees.

Photographs are turned upright, transparency shows the background, 16 bits become 8
without losing the range. JPEG and PNG are decoded by TensorFlow, everything else by
Pillow (simclr_tf/data/pillow_images.py).
"""

from simclr_tf.data.host_calls import on_host
from simclr_tf.data.pillow_images import decode_with_pillow, png_orientation_by_pillow
from simclr_tf.lazy import module, np, tf

upright = module("simclr_tf.augment.upright")

# Counts the rules by which files become pixels: kept pixels of another rule are made
# again. 2: as people see them (0.2.0).
READING = 2
# Files of these, as `inspect_files` names them, look the same by every rule.
PLAIN_FORMATS = frozenset({"jpeg", "png"})
WHITE = (255, 255, 255)
# Kinds of PNG: grey, palette, and what has an alpha channel; with 16 bits or fewer.
_GREY, _PALETTE, _ALPHA = 0, 3, 4
# Parts of a PNG file in which transparency and orientation are noted.
_TRANSPARENCY = (b"tRNS",)
_NOTES = (b"eXIf", b"iTXt", b"zTXt", b"tEXt")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode_image(encoded, channels=None, background=WHITE, plain=False):
    """Decode one image to the pixels that a person sees; animations: the first frame.

    Args:
      encoded: scalar string tensor, a file of any format that Pillow opens.
      channels: 1, 3, or None: 1 for a grey image and 3 for another.
      background: (R, G, B), 0 to 255, shown where an image is transparent.
      plain: bool, whether it is known to be a JPEG or PNG file that TensorFlow decodes
        to what it shows: saves looking for transparency and notes.

    Returns:
      uint8 `[H, W, channels]`.

    Raises:
      tf.errors.OpError: or, outside a graph, ValueError: undecodable bytes.
    """

    # A tensor: NumPy would cut zeros off the end of bytes.
    encoded = tf.convert_to_tensor(encoded)

    def from_others():
        image = on_host(
            lambda content: decode_with_pillow(_bytes(content), background),
            [encoded],
            tf.uint8,
        )
        return tf.ensure_shape(image, [None, None, None])

    def noted():
        orientation = on_host(
            lambda content: png_orientation_by_pillow(_bytes(content)),
            [encoded],
            tf.int32,
        )
        return tf.ensure_shape(orientation, [])

    if plain:
        image = tf.cond(
            tf.io.is_jpeg(encoded),
            lambda: _decode_jpeg(encoded),
            lambda: tf.io.decode_png(encoded),
        )
        image.set_shape([None, None, None])
    else:
        image = _decode(encoded, background, noted, from_others)
    return image if channels is None else to_channels(image, channels)


def decode_in_graph(encoded, channels, background=WHITE):
    """Decode one image as `decode_image`, by TensorFlow alone: for an export.

    Args:
      encoded: scalar string tensor: a JPEG or PNG file, an opaque GIF (first frame), or
        a BMP of 24 bits.
      channels, background: see `decode_image`.

    Returns:
      uint8 `[H, W, channels]`.

    Raises:
      tf.errors.InvalidArgumentError: bytes of another kind, or damaged ones.
    """

    def from_others():
        head = tf.strings.substr(encoded, 0, 3)
        is_gif = head == b"GIF"
        is_bmp = tf.strings.substr(head, 0, 2) == b"BM"
        depth = tf.strings.substr(tf.strings.join([encoded, b"\0" * 34]), 28, 6)
        is_plain = is_bmp & (depth == b"\x18\0\0\0\0\0")
        # The extension that precedes a frame: bit 0 of its flags is transparency.
        shows_through = tf.strings.regex_full_match(
            encoded, r"\A\C*!\C\x04[\x01\x05\x09\x0d]\C*\z"
        )
        check = tf.debugging.Assert(
            is_plain | (is_gif & ~shows_through),
            [
                "Only JPEG and PNG files, opaque GIF files and BMP files of 24 bits "
                "can be decoded here; convert others, e.g. with Pillow."
            ],
        )
        with tf.control_dependencies([] if check is None else [check]):
            image = tf.raw_ops.DecodeImage(
                contents=tf.identity(encoded), expand_animations=False
            )
        return tf.ensure_shape(image, [None, None, None])

    def noted():
        return upright.orientation_of_png(encoded)

    return to_channels(_decode(encoded, background, noted, from_others), channels)


def _bytes(content):
    """Take the bytes out of the array in which they come outside a graph."""
    return content.item() if isinstance(content, np.ndarray) else content


def _decode(encoded, background, noted, from_others):
    def from_jpeg():
        orientation = upright.orientation_of_jpeg(encoded)
        return upright.turn_upright(_decode_jpeg(encoded), orientation)

    def others():
        is_png = tf.strings.substr(encoded, 0, 8) == _PNG_SIGNATURE
        return tf.cond(
            is_png, lambda: _decode_png(encoded, background, noted), from_others
        )

    image = tf.cond(tf.io.is_jpeg(encoded), from_jpeg, others)
    image.set_shape([None, None, None])
    return image


def _decode_jpeg(encoded):
    # TensorFlow's default transform is up to 10 levels off, and no faster.
    return tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")


def _decode_png(encoded, background, noted):
    """Decode a PNG file to uint8 `[H, W, 1 or 3]`; `noted` reads its orientation."""
    head = tf.io.decode_raw(tf.strings.substr(encoded, 24, 2), tf.uint8)
    head = tf.pad(head, [[0, 2 - tf.size(head)]])
    is_deep, kind = head[0] == 16, head[1]
    has_key, has_notes = _find_words(encoded, (_TRANSPARENCY, _NOTES))
    is_opaque = (kind != _PALETTE) & (kind < _ALPHA) & ~has_key
    is_grey = ((kind == _GREY) | (kind == _ALPHA)) & (len(set(background)) == 1)

    def opaque():
        return tf.cond(
            is_deep,
            lambda: to_eight_bits(tf.io.decode_png(encoded, dtype=tf.uint16)),
            lambda: tf.io.decode_png(encoded),
        )

    def composed():
        image, alpha = tf.cond(
            is_deep,
            lambda: _deep_parts(tf.io.decode_png(encoded, 4, tf.uint16)),
            lambda: _parts(tf.io.decode_png(encoded, 4)),
        )
        image = tf.cond(is_grey, lambda: image[..., :1], lambda: image)
        behind = tf.constant(background, tf.uint8)[: tf.shape(image)[-1]]
        return compose(image, alpha, behind)

    image = tf.cond(is_opaque, opaque, composed)
    image.set_shape([None, None, None])
    return tf.cond(
        has_notes,
        lambda: upright.turn_upright(image, noted()),
        lambda: image,
    )


def _parts(image):
    return image[..., :3], image[..., 3:]


def _deep_parts(image):
    alpha = tf.cast(
        (tf.cast(image[..., 3:], tf.int32) * 255 + 32767) // 65535, tf.uint8
    )
    return to_eight_bits(image[..., :3]), alpha


def compose(image, alpha, background):
    """Put a transparent image before a background.

    Args:
      image: uint8 `[H, W, C]`.
      alpha: uint8 `[H, W, 1]`, 0: transparent.
      background: uint8 `[C]`.

    Returns:
      uint8 `[H, W, C]`, rounded.
    """
    image, alpha, background = (
        tf.cast(part, tf.int32) for part in (image, alpha, background)
    )
    total = image * alpha + background * (255 - alpha)
    return tf.cast((total + 127) // 255, tf.uint8)


def to_eight_bits(image):
    """Reduce 16 bits to 8, by the range that an image uses.

    A camera or scanner of 12 bits leaves the upper four empty. The largest value of the
    image tells how many bits there are (8 to 16); all of them become 0 to 255.

    Args:
      image: uint16 `[H, W, C]`.

    Returns:
      uint8 `[H, W, C]`.

    Example:
      >>> to_eight_bits(tf.constant([[[0], [2048], [4095]]], tf.uint16)).numpy().ravel()
      array([  0, 128, 255], dtype=uint8)
    """
    image = tf.cast(image, tf.int32)
    limits = tf.constant([2**bits - 1 for bits in range(8, 17)])
    largest = tf.reduce_max(image)
    limit = limits[tf.reduce_sum(tf.cast(largest > limits, tf.int32))]
    return tf.cast((image * 255 + limit // 2) // limit, tf.uint8)


def _find_words(content, groups):
    """Tell for groups of four-byte words whether one of each is anywhere in a file.

    Args:
      content: string scalar tensor.
      groups: tuple of lists of bytes.

    Returns:
      list of bool scalars.
    """
    count = tf.strings.length(content)
    # Four bytes a number, from each of the four alignments: faster than a search.
    views = [
        tf.io.decode_raw(
            tf.strings.substr(content, start, (count - start) // 4 * 4), tf.int32
        )
        for start in range(4)
    ]
    words = tf.concat(views, axis=0)
    return [
        tf.reduce_any(
            [tf.reduce_any(words == int.from_bytes(word, "little")) for word in group]
        )
        for group in groups
    ]


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
