"""Cheap checks of image files: their format, and whether they are complete.

A few bytes at both ends of a file show whether it is empty, renamed or truncated. A
file with an unusual end (some cameras append data) is decoded to be sure. Damage in the
middle is found only when an image is decoded.
"""

import concurrent.futures
import os
import stat
import zlib

from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import tf

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")

_HEAD_BYTES, _TAIL_BYTES = 32, 64
_THREADS = 16
_PNG_END = b"IEND\xaeB`\x82"


def can_decode_webp():
    """Tell whether this TensorFlow can decode WebP (2.20 and later)."""
    return hasattr(tf.raw_ops, "DecodeWebP")


def image_format(head):
    """Recognise the format of a file from its first bytes.

    Args:
      head: bytes, at least the first 12 of the file.

    Returns:
      `jpeg`, `png`, `gif`, `bmp`, `webp`, or None.

    Example:
      >>> image_format(b"GIF89a......")
      'gif'
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
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
        return b"\xff\xd9" in tail
    if kind == "png":
        return _PNG_END in tail
    if kind == "gif":
        return tail.rstrip(b"\0").endswith(b";")
    if kind == "bmp":
        return int.from_bytes(head[2:6], "little") == size
    return int.from_bytes(head[4:8], "little") + 8 == size


def inspect_files(paths):
    """Check many files, in threads.

    Args:
      paths: list of bytes or str.

    Returns:
      (reasons, formats, checksums): dict of position in `paths` -> why that file cannot
      be read; the set of formats of the other files, see `image_format`; and for every
      file the CRC-32 of its first 32 and last 64 bytes, which change with almost every
      change of the pixels.

    Raises:
      DataError: for WebP files where this TensorFlow cannot decode WebP.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        chunk = max(1, min(256, len(paths) // _THREADS))
        verdicts = list(pool.map(_inspect_file, paths, chunksize=chunk))
    webp = [place for place, verdict in enumerate(verdicts) if verdict[0] == "webp"]
    if webp and not can_decode_webp():
        raise DataError(
            f"TensorFlow {tf.__version__} cannot decode WebP; install TensorFlow 2.20 "
            "or later, or convert the files. "
            + received_text(webp_files=len(webp), first=os.fsdecode(paths[webp[0]]))
        )
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


def _inspect_file(path):
    """Inspect a file: return its format, why it is unreadable (or None), and a CRC."""
    checksum = 0
    try:
        what = _what_instead_of_a_file(os.stat(path).st_mode)
        if what is not None:  # To open a pipe would wait for its writer.
            return None, f"it is no file, but {what}", checksum
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            head = stream.read(_HEAD_BYTES)
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read(_TAIL_BYTES)
            checksum = zlib.crc32(head + tail)
            if not head:
                return None, "the file is empty", checksum
            kind = image_format(head)
            if kind is None:
                return None, "it is not an image", checksum
            if has_end(kind, head, tail, size):
                return kind, None, checksum
            stream.seek(0)
            content = stream.read()
    except OSError as error:
        return None, f"the file cannot be read ({error.strerror or error})", checksum
    if kind == "webp" and not can_decode_webp():
        return kind, None, checksum
    try:
        tf.io.decode_image(content, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        return kind, "it is truncated", checksum
    return kind, None, checksum
