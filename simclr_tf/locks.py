"""Locks: one process writes a folder, and every other is refused or waits.

A lock ends with its process, however the process ends; a lock file that is left behind
means nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import functools
import json
import logging
import os
import pathlib
import socket
import struct
from collections.abc import Callable, Container, Iterator

from simclr_tf.array_types import StrPath
from simclr_tf.errors import InUseError, WorkdirError
from simclr_tf.limits import parse_json

LOG = logging.getLogger("simclr_tf")
_LOCK = ".lock"
_HELD: set[int] = set()  # Descriptors of the locks that this process holds.


@contextlib.contextmanager
def locked(
    path: StrPath, waiting: Callable[[], object] | None = None
) -> Iterator[bool | None]:
    """Hold the lock of a file or folder; it ends with the process, and outlives a name.

    A file gets a POSIX lock of the open file: machines that share a folder over NFS
    see it, and it stays when the process closes another descriptor of the same file,
    unlike a lock of `lockf`. A folder gets a lock of `flock`, which NFS refuses.

    Args:
      path: path of a file or folder that is there.
      waiting: called once if another process holds the lock, which is then waited
        for; None does not wait.

    Yields:
      bool: False if another process, or another `with`, holds the lock; None if the
      file system has no locks.

    Raises:
      OSError: the file cannot be opened.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> with locked(folder) as first, locked(folder) as second:
      ...     first, second
      (True, False)
    """
    kind = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR
    with _opened(path, kind) as descriptor:
        is_ours = _lock(descriptor)
        if is_ours is False and waiting is not None:
            waiting()
            is_ours = _lock(descriptor, wait=True)
        yield is_ours


def lock_of(path: pathlib.Path, *, inside: bool = False) -> pathlib.Path:
    """Name the lock file of what is at a path.

    Args:
      path: pathlib.Path.
      inside: bool, in the folder `path`; else beside it.

    Returns:
      pathlib.Path.

    Example:
      >>> path = pathlib.Path("runs/a")
      >>> str(lock_of(path)), str(lock_of(path, inside=True))
      ('runs/.a.lock', 'runs/a/.lock')
    """
    return path / _LOCK if inside else path.with_name(f".{path.name}{_LOCK}")


def holds_files(folder: pathlib.Path, besides: Container[str] = ()) -> bool:
    """Tell whether a folder holds anything besides lock files.

    Args:
      folder: pathlib.Path of a folder that is there.
      besides: names of files that do not count either.

    Returns:
      bool.
    """
    return any(
        not (path.name.startswith(".") and path.name.endswith(_LOCK))
        and path.name not in besides
        for path in folder.iterdir()
    )


@contextlib.contextmanager
def sole_writer(lock: pathlib.Path, place: str) -> Iterator[None]:
    """Hold a lock file while something is written; refuse every other process.

    The file names the host, the process and the time, and is removed at the end. One
    that a killed process left behind is no obstacle. Folders that are made for it are
    removed again if nothing else is written there.

    Args:
      lock: pathlib.Path of the lock file.
      place: str, what it guards, in the words of the user: "--workdir=runs/a".

    Raises:
      InUseError: another process, or another `with`, holds it.
      WorkdirError: the file cannot be written.

    Example:
      >>> import tempfile
      >>> lock = lock_of(pathlib.Path(tempfile.mkdtemp()) / "run", inside=True)
      >>> with sole_writer(lock, "--workdir=run"):
      ...     lock.exists()
      True
      >>> lock.parent.exists()
      False
    """
    made: list[pathlib.Path] = []
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            made += _make_folders(lock.parent)
            descriptor = stack.enter_context(_lock_file(lock, place))
        except OSError as error:
            raise WorkdirError(
                f"Cannot write to {place}: {error.strerror} ({error.filename or lock})."
            ) from error
        try:
            yield
        finally:
            # Removed while it is held: a process that opens it now tries again.
            if descriptor in _HELD and _is_at(descriptor, lock):
                with contextlib.suppress(OSError):
                    lock.unlink()


@contextlib.contextmanager
def _lock_file(lock, place):
    """Open and lock the file that has the name; yield its descriptor."""
    with contextlib.ExitStack() as stack:
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            descriptor = stack.enter_context(_opened(lock, flags))
            is_ours = _lock(descriptor)
            if is_ours is False:
                raise InUseError(
                    f"{place} is being written by {_holder(descriptor)}. Wait until it "
                    "ends, end it, or choose another folder."
                )
            if is_ours is None:
                _warn_of_no_locks()
            if _is_at(descriptor, lock):
                break
            stack.close()  # Its holder has just removed it.
        with contextlib.suppress(OSError):  # A full disk: the lock holds without.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _self_description(), 0)
        yield descriptor


@contextlib.contextmanager
def _opened(path, flags):
    """Open a file to lock it, and close it at the end."""
    descriptor = os.open(path, flags, 0o666)
    _HELD.add(descriptor)
    try:
        yield descriptor
    finally:
        if descriptor in _HELD:
            _HELD.remove(descriptor)
            os.close(descriptor)


def _lock(descriptor, *, wait=False):
    """Lock an open file or folder: True, False if it is taken, None without locks."""
    writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_RDWR
    try:
        if writable and hasattr(fcntl, "F_OFD_SETLK"):
            request = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
            fcntl.fcntl(descriptor, command, request)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except OSError as error:
        # A taken lock, by either name that POSIX allows; or there are none.
        return False if error.errno in (errno.EAGAIN, errno.EACCES) else None


def _is_at(descriptor, path):
    """Tell whether a path leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _self_description():
    now = datetime.datetime.now(datetime.timezone.utc)
    record = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": f"{now:%Y-%m-%d %H:%M:%S} UTC",
    }
    return json.dumps(record).encode() + b"\n"


def _holder(descriptor):
    """Describe in words who holds a lock file."""
    try:
        record = parse_json(os.pread(descriptor, 2**12, 0))
        return (
            f"process {int(record['process'])} on {str(record['host'])[:100]!r} since "
            f"{str(record['since'])[:40]}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # It has not written its name yet.


@functools.cache
def _warn_of_no_locks():
    """Warn once a process."""
    LOG.warning(
        "The file system has no locks: take care that only one process writes a folder."
    )


def _make_folders(folder):
    """Make a folder and those above it; return those that were missing, inner first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders):
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _let_go_in_child():
    """Close what a forked process has inherited: a lock ends with its own process."""
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
