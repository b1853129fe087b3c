"""Cheap checks of image files: their format, and whether they are complete.

A few bytes at both ends of a file show whether it is empty, renamed or truncated. A
file with an unusual end is decoded to be sure, unless it is a JPEG with its end marker
before data that a camera appended. Damage in the middle is found only when an image is
decoded.
"""

import concurrent.futures
import os
import stat
import zlib

from simclr_tf.data.pillow_images import format_of, is_upright, suffixes
from simclr_tf.data.pixels import decode_image
from simclr_tf.lazy import tf
from simclr_tf.limits import MOST_PIXELS

_HEAD_BYTES, _TAIL_BYTES = 32, 64
_THREADS = 16
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
# Kinds of PNG that TensorFlow decodes to what they show: grey and colour, 8 bits.
_PLAIN_PNG = ((1, 0), (2, 0), (4, 0), (8, 0), (8, 2))
# Where a PNG notes transparency, or an orientation.
_PNG_NOTES = (b"tRNS", b"eXIf", b"iTXt", b"zTXt", b"tEXt")
_JFIF = b"\xff\xd8\xff\xe0\0\x10JFIF"
_TABLE, _SCAN, _JPEG_END = b"\xff\xdb", b"\xff\xda", b"\xff\xd9"
# Kinds of HEIF, the container of HEIC, behind the word `ftyp`.
_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_TOO_LARGE = f"claiming more than {MOST_PIXELS:,} pixels"


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
    """Tell whether the last bytes of a file are the end that its format requires.

    Args:
      kind: str, see `image_format`.
      head, tail: bytes, the first 32 and the last 64 of the file.
      size: int, bytes in the file.

    Returns:
      bool; a file with False may still be valid.
    """
    if kind == "jpeg":
        return _JPEG_END in tail
    if kind == "png":
        return _PNG_END in tail
    if kind == "gif":
        return tail.rstrip(b"\0").endswith(b";")
    if kind == "bmp":
        return int.from_bytes(head[2:6], "little") == size
    if kind == "webp":
        return int.from_bytes(head[4:8], "little") + 8 == size
    return True  # Others end as they like.


def pixels_claimed(kind, head):
    """Read from the first bytes how many pixels an image claims to have.

    Args:
      kind: str, see `image_format`.
      head: bytes, the first 32 of the file.

    Returns:
      int; 0 for JPEG, whose size stands further on: TensorFlow's decoder compares it.

    Example:
      >>> pixels_claimed("gif", b"GIF89a" + bytes([4, 0, 2, 1]))
      1032
    """
    places = {"png": (16, 4, "big"), "gif": (6, 2, "little"), "bmp": (18, 4, "little")}
    extra = 0
    if kind == "webp" and head[12:16] == b"VP8X":
        place, length, order, extra = 24, 3, "little", 1
    elif kind in places:
        place, length, order = places[kind]
    else:  # The other forms of WebP have at most 2^28 pixels, 14 bits a side.
        return 0
    width, height = (
        int.from_bytes(head[start : start + length], order, signed=kind == "bmp")
        for start in (place, place + length)
    )
    return abs(width + extra) * abs(height + extra)


def inspect_files(paths):
    """Check many files, in threads.

    Args:
      paths: list of bytes or str.

    Returns:
      (reasons, formats, checksums): dict of position in `paths` -> why that file cannot
      be read; the set of formats of the others: `jpeg` and `png` where TensorFlow's
      decoder shows what a person sees, else `other`; and for every file the CRC-32 of
      its first 32 and last 64 bytes, which change with almost every change of the
      pixels.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        chunk = max(1, min(256, len(paths) // _THREADS))
        verdicts = list(pool.map(_inspect_file, paths, chunksize=chunk))
    reasons = {
        place: verdict[1] for place, verdict in enumerate(verdicts) if verdict[1]
    }
    formats = {kind for kind, reason, _ in verdicts if not reason}
    return reasons, formats, [checksum for _, _, checksum in verdicts]


def _what_instead_of_a_file(mode):
    """Name what a path leads to, by its `st_mode`; None for a file."""
    kinds = {
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISDIR: "a folder",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), None)


def _what_instead_of_an_image(head):
    """Name a file that Pillow does not open, by its first bytes."""
    is_heif = head[4:8] == b"ftyp" and head[8:12] in _HEIF
    if is_heif and ".heic" not in suffixes():
        return "HEIC, for which pip install pillow-heif"
    return "not an image"


def _ends_before_more(content):
    """Tell whether a JPEG has its end marker behind its pixels, wherever that is."""
    place = 2
    while (marker := content[place : place + 2])[:1] == b"\xff" and marker != _SCAN:
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return marker == _SCAN and content.find(_JPEG_END, place) > 0


def _inspect_file(path):
    """Inspect a file: return its format, why it is unreadable (or None), and a CRC."""
    checksum = 0
    try:
        what = _what_instead_of_a_file(os.stat(path).st_mode)
        if what is not None:  # To open a pipe would wait for its writer.
            return None, f"{what}, not a file", checksum
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            head = stream.read(_HEAD_BYTES)
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read(_TAIL_BYTES)
            checksum = zlib.crc32(head + tail)
            if not head:
                return None, "empty", checksum
            try:
                kind = image_format(head) or format_of(stream)
            except ValueError:
                return None, _TOO_LARGE, checksum
            if kind is None:
                return None, _what_instead_of_an_image(head), checksum
            if pixels_claimed(kind, head) > MOST_PIXELS:
                return kind, _TOO_LARGE, checksum
            if has_end(kind, head, tail, size):
                return _decoder(kind, head, stream), None, checksum
            stream.seek(0)
            content = stream.read()
            if kind == "jpeg" and _ends_before_more(content):
                return _decoder(kind, head, stream), None, checksum
    except OSError as error:
        return None, f"not readable ({error.strerror or error})", checksum
    try:
        decode_image(content)
    except (tf.errors.OpError, ValueError):
        return kind, "truncated or damaged", checksum
    return "other", None, checksum


def _decoder(kind, head, stream):
    """Return `jpeg` or `png` where TensorFlow decodes what is seen, else `other`."""
    if kind == "jpeg":
        # Most files of data sets: no notes before the first table.
        plain = head[2:4] == _TABLE or (
            head.startswith(_JFIF) and head[20:22] == _TABLE
        )
        return "jpeg" if plain or is_upright(stream) else "other"
    if kind == "png" and tuple(head[24:26]) in _PLAIN_PNG:
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
