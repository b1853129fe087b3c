"""Files that are whole and on the disk, or not there; and whether they still are."""

import hashlib
import os
import re
import uuid

from simclr_tf.errors import WorkdirError


def write_atomically(path, text):
    """Write a text file so that a reader sees the old one or the whole new one.

    Raises:
      WorkdirError: if it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        write_flushed(temporary, text)
        os.replace(temporary, path)
        flush_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WorkdirError(f"Cannot write {path}: {error.strerror}.") from error


def write_flushed(path, text):
    """Write a text file and wait until it is on the disk.

    Args:
      path: pathlib.Path.
      text: str.

    Raises:
      OSError: it cannot be written.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder):
    """Wait until the names in a folder are on the disk: a rename is safe only then.

    Args:
      folder: path.

    Raises:
      OSError: it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder, names):
    """Remove what `write_atomically` left of these files when it was killed.

    Args:
      folder: pathlib.Path; need not exist.
      names: iterable of file names.
    """
    for name in names:
        for path in folder.glob(f".{name}-*"):
            path.unlink(missing_ok=True)


def plain_reason(error):
    """What went wrong with a file, in one line without a full stop.

    Args:
      error: OSError, tf.errors.OpError or another.

    Returns:
      str, without what TensorFlow says about its own graph.

    Example:
      >>> plain_reason(ValueError("{{function_node x}} a.tmp; No space left [Op:W]."))
      'a.tmp; No space left'
    """
    text = re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\]", "", str(error)).strip()
    return text.splitlines()[0].rstrip(".") if text else repr(error)


def sha256_of(path):
    """SHA-256 of a file's content, read in blocks.

    Args:
      path: pathlib.Path.

    Returns:
      str, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
