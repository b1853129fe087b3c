"""Cheap checks of image files: their format, and whether they are complete.

A few bytes at both ends of a file show whether it is empty, renamed or truncated. A
file whose end looks wrong (some cameras append data of their own) is decoded to be
sure. Damage in the middle shows only when an image is decoded.
"""

import concurrent.futures
import os
import zlib

from simclr_tf.data.pillow_images import format_of, is_upright
from simclr_tf.data.pixels import decode_image
from simclr_tf.lazy import tf

_HEAD_BYTES, _TAIL_BYTES = 32, 64
_THREADS = 16
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
# Kinds of PNG that TensorFlow decodes to what they show: grey and colour, 8 bits.
_PLAIN_PNG = ((1, 0), (2, 0), (4, 0), (8, 0), (8, 2))
# Where a PNG notes transparency, or an orientation.
_PNG_NOTES = (b"tRNS", b"eXIf", b"iTXt", b"zTXt", b"tEXt")
_JFIF = b"\xff\xd8\xff\xe0\0\x10JFIF"
_TABLE = b"\xff\xdb"


def image_format(head):
    """Recognise the format of a file from its first bytes.

    Args:
      head: bytes, at least the first 12 of the file.

    Returns:
      `jpeg`, `png`, `gif`, `bmp`, `webp`, or None: another one, or no image.

    Example:
      >>> image_format(b"GIF89a......")
      'gif'
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(_PNG_START):
        return "png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"BM"):
        return "bmp"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return None


def has_end(kind, head, tail, size):
    """Tell whether the last bytes of a file are what its format ends with.

    Args:
      kind: str, see `image_format`.
      head, tail: bytes, the first 32 and the last 64 of the file.
      size: int, bytes in the file.

    Returns:
      bool; False is a suspicion, not a verdict.
    """
    if kind == "jpeg":
        return b"\xff\xd9" in tail
    if kind == "png":
        return _PNG_END in tail
    if kind == "gif":
        return tail.rstrip(b"\0").endswith(b";")
    if kind == "bmp":
        return int.from_bytes(head[2:6], "little") == size
    if kind == "webp":
        return int.from_bytes(head[4:8], "little") + 8 == size
    return True  # Others end as they like.


def inspect_files(paths):
    """Check many files, in threads.

    Args:
      paths: list of bytes or str.

    Returns:
      (reasons, formats, checksums): dict of position in `paths` -> why that file cannot
      be read; the set of formats of the others: `jpeg` and `png` where TensorFlow's
      decoder shows what a person sees, else `other`; and of every file the CRC-32 of
      its first 32 and last 64 bytes, which hold the checksum or the end of the code of
      PNG and JPEG: other pixels hardly ever leave them as they were.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        chunk = max(1, min(256, len(paths) // _THREADS))
        verdicts = list(pool.map(_inspect_file, paths, chunksize=chunk))
    reasons = {
        place: verdict[1] for place, verdict in enumerate(verdicts) if verdict[1]
    }
    formats = {kind for kind, reason, _ in verdicts if not reason}
    return reasons, formats, [checksum for _, _, checksum in verdicts]


def _inspect_file(path):
    """Inspect a file: its format or None, why it is unreadable or None, a CRC."""
    checksum = 0
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            head = stream.read(_HEAD_BYTES)
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read(_TAIL_BYTES)
            checksum = zlib.crc32(head + tail)
            if not head:
                return None, "the file is empty", checksum
            kind = image_format(head) or format_of(stream)
            if kind is None:
                return None, "it is not an image", checksum
            if has_end(kind, head, tail, size):
                return _decoder(kind, head, stream), None, checksum
            stream.seek(0)
            content = stream.read()
    except OSError as error:
        return None, f"the file cannot be read ({error.strerror or error})", checksum
    try:
        decode_image(content)
    except (tf.errors.OpError, ValueError):
        return kind, "it is truncated or damaged", checksum
    return "other", None, checksum


def _decoder(kind, head, stream):
    """Return `jpeg` or `png` where TensorFlow decodes what is seen, else `other`."""
    if kind == "jpeg":
        # Most files of data sets: no notes before the first table.
        plain = head[2:4] == _TABLE or (
            head.startswith(_JFIF) and head[20:22] == _TABLE
        )
        return "jpeg" if plain or is_upright(stream) else "other"
    if kind == "png" and (head[24], head[25]) in _PLAIN_PNG:
        return "other" if _has_chunk(stream, _PNG_NOTES) else "png"
    return "other"


def _has_chunk(stream, names):
    """Tell whether a PNG file has one of these chunks."""
    place = len(_PNG_START)
    while True:
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8 or head[4:] in names:
            return len(head) == 8
        place += 12 + int.from_bytes(head[:4], "big")
