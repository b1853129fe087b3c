"""Atomic and flushed writing of files and folders.

Each is filled under a hidden name beside its own, flushed, and renamed: a kill or a
full disk at any moment leaves the file or folder of before, or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import unicodedata
import uuid
from collections.abc import Iterator

from simclr_tf.array_types import StrPath
from simclr_tf.errors import WorkdirError
from simclr_tf.locks import locked

_OLDER = "-old"
_OF_PATTERNS = frozenset("*?[]\\")


def write_atomically(
    path: StrPath, content: str | bytes, *, make_folder: bool = False
) -> None:
    """Write a file so that a reader sees the old one or the whole new one.

    Args:
      path: path.
      content: str or bytes.
      make_folder: bool, make the folder of the file if need be.

    Raises:
      WorkdirError: the file cannot be written; nothing is left behind.

    Example:
      >>> import tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "figures" / "a.png"
      >>> write_atomically(path, b"pixels", make_folder=True)
      >>> path.read_bytes(), len(list(path.parent.iterdir()))
      (b'pixels', 1)
    """
    if isinstance(content, str):
        # Names of files may hold bytes that are no text.
        content = content.encode("utf-8", "backslashreplace")
    with whole_file(path, make_folder=make_folder) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def whole_file(path: StrPath, *, make_folder: bool = False) -> Iterator[pathlib.Path]:
    """Write a file under another name; rename it when it is on the disk.

    Args:
      path: path.
      make_folder: bool, make the folder of the file if need be.

    Yields:
      pathlib.Path to write to; its name ends as that of `path` does.

    Raises:
      WorkdirError: the file cannot be written; nothing is left behind.
    """
    path = pathlib.Path(path)
    temporary = temporary_name(path)
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)  # A rename is safe only then.
    except OSError as error:
        raise WorkdirError(
            f"Cannot write {path}: {error.strerror or plain_reason(error)}."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Fill a folder under another name; rename it when all of it is on the disk.

    An existing `path` is replaced then, and only then. Leftovers of killed processes
    are removed first.

    Args:
      path: pathlib.Path of the folder; the folders above it are made if need be.

    Yields:
      pathlib.Path of an empty folder to fill.

    Raises:
      OSError: the folder cannot be written; nothing is left behind.
    """
    temporary = temporary_name(path)
    try:
        remove_leftovers(path)
        temporary.mkdir(parents=True)
        with locked(temporary):
            yield temporary
            for inner in temporary.rglob("*"):
                flush(inner)
            flush(temporary)
            _publish(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_writable(folder: StrPath) -> pathlib.Path:
    """Check that files can be written into a folder, before the work for them is done.

    A folder that does not exist is not made: the nearest one above it is tried.

    Args:
      folder: path; need not exist yet.

    Returns:
      pathlib.Path of the folder, `~` expanded.

    Raises:
      WorkdirError: nothing can be written there; nothing is left behind.

    Example:
      >>> import tempfile
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> require_writable(folder / "results") == folder / "results"
      True
      >>> list(folder.iterdir())
      []
    """
    path = pathlib.Path(folder).expanduser()
    try:
        nearest = path.absolute()
        while not nearest.exists():
            nearest = nearest.parent
        probe = temporary_name(nearest / "writable")
        probe.touch()
        with contextlib.suppress(OSError):
            probe.unlink()
    except OSError as error:
        raise WorkdirError(
            f"Cannot write to {folder}: {error.strerror or error}. Choose another "
            "folder, or make it writable."
        ) from error
    return path


def temporary_name(path: pathlib.Path) -> pathlib.Path:
    """Name a file or folder that is not whole yet: hidden, and beside `path`.

    Args:
      path: pathlib.Path.

    Returns:
      pathlib.Path, another one at every call.
    """
    return path.with_name(f".{path.name}-{uuid.uuid4().hex}{path.suffix}")


def is_temporary(name: str) -> bool:
    """Tell whether a name is one of `temporary_name`, of any file or folder.

    Args:
      name: str, without the folder.

    Returns:
      bool.

    Example:
      >>> is_temporary(temporary_name(pathlib.Path("runs/a.json")).name)
      True
      >>> is_temporary(".a.json")
      False
    """
    return re.fullmatch(r"\..+-[0-9a-f]{32}(\..+)?", name) is not None


def remove_leftovers(path: pathlib.Path) -> None:
    """Remove what killed processes left beside a file or folder.

    A folder that was to be replaced, and whose successor never came, gets its name
    back. Folders that a living process fills stay.

    Args:
      path: pathlib.Path of the file or folder; need not exist.

    Raises:
      OSError: the folder around it cannot be read.
    """
    name, suffix = re.escape(path.name), re.escape(path.suffix)
    pattern = re.compile(rf"\.{name}-[0-9a-f]{{32}}({suffix}|{_OLDER})?")
    if not path.parent.is_dir():
        return
    for left in sorted(path.parent.iterdir()):
        if not pattern.fullmatch(left.name):
            continue
        if not left.is_dir():
            left.unlink(missing_ok=True)
            continue
        with locked(left) as is_ours:
            if is_ours and left.name.endswith(_OLDER) and not path.exists():
                os.rename(left, path)
            elif is_ours:
                shutil.rmtree(left, ignore_errors=True)


def _publish(temporary, path):
    """Rename; an older folder goes only after the new one is in its place."""
    if path.exists():
        older = path.with_name(f".{path.name}-{uuid.uuid4().hex}{_OLDER}")
        with locked(path):
            os.rename(path, older)
            try:
                os.rename(temporary, path)
            except OSError:
                os.rename(older, path)
                raise
        shutil.rmtree(older, ignore_errors=True)
    else:
        os.rename(temporary, path)
    flush(path.parent)


def may_be_a_pattern(path: StrPath) -> bool:
    """Tell whether TensorFlow may take a path for a pattern of several names.

    Example:
      >>> may_be_a_pattern("runs/lr[0.1]"), may_be_a_pattern("runs/lr 0.1")
      (True, False)
    """
    return not _OF_PATTERNS.isdisjoint(os.fspath(path))


@contextlib.contextmanager
def plain_path(folder: StrPath) -> Iterator[pathlib.Path]:
    """Give TensorFlow a path of a folder that it does not take for a pattern.

    TensorFlow writes `lr[0.1]/ckpt`, and reads the files that match it: none. A
    temporary link with a plain name leads there.

    Args:
      folder: path of a folder that is there.

    Yields:
      pathlib.Path: `folder` itself, unless its name may be a pattern.
    """
    if not may_be_a_pattern(folder):
        yield pathlib.Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="simclr_tf-") as around:
        link = pathlib.Path(around, "link")
        link.symlink_to(pathlib.Path(folder).absolute())
        yield link


def printable(name: str) -> str:
    r"""Escape what no screen and no text file shows as it is, in the name of a file.

    Args:
      name: str, as `os.fsdecode` returns it.

    Returns:
      str, without control characters, and valid UTF-8.

    Example:
      >>> print(printable("new\nline"), printable(os.fsdecode(b"caf\xe9")))
      new\x0aline caf\xe9
    """
    if name.isprintable():
        return name
    return "".join(
        _escaped(c) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c
        for c in name
    )


def _escaped(character):
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # A byte that is no UTF-8.
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def flush(path: StrPath) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain_reason(error: BaseException) -> str:
    """Describe what went wrong with a file, in one line without a full stop.

    Args:
      error: OSError, tf.errors.OpError or another.

    Returns:
      str, at most 200 characters, without what TensorFlow adds about its own graph.

    Example:
      >>> plain_reason(ValueError("{{function_node x}} a.tmp; No space left [Op:W]."))
      'a.tmp; No space left'
    """
    text = re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\]", "", str(error)).strip()
    return (text.splitlines()[0] if text else repr(error))[:200].rstrip(".")


def sha256_of(path: pathlib.Path) -> str:
    """Compute the SHA-256 of a file's content, read in blocks.

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
