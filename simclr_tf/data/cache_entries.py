"""Files that took long to make, kept on disk: whole, or not there.

An entry is a folder. It is filled under another name, flushed, described by a
`manifest.json` (what it was made from, the sizes of its files), and renamed: a kill or
a full disk at any moment leaves nothing that looks like an entry. A lock, which the
system takes from a process that dies, lets one process fill while others wait for it.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil

MANIFEST = "manifest.json"
_WRITING, _LOCK = ".writing", ".lock"


def kept_entry(folder, name, identity, fill, *, waiting=lambda: None):
    """The folder of an entry, filled before if it is not there whole.

    Args:
      folder: path of all entries; made if need be.
      name: str, the entry's.
      identity: dict, ready for JSON, of what the entry is made from; one that was made
        from anything else is filled again.
      fill: function of an empty folder that writes the entry's files there.
      waiting: called once if another process is filling the entry.

    Returns:
      (pathlib.Path, bool): the entry, and whether it was filled now.

    Raises:
      OSError: the folder cannot be read or written, or the disk is full.
    """
    folder = pathlib.Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    entry, writing = folder / name, folder / f"{name}{_WRITING}"
    with _locked(folder / f"{name}{_LOCK}", waiting):
        if _is_whole(entry, identity):
            return entry, False
        for left in (entry, writing):  # Of a killed process, or made from others.
            shutil.rmtree(left, ignore_errors=True)
        writing.mkdir()
        try:
            fill(writing)
            sizes = {path.name: _flushed_bytes(path) for path in writing.iterdir()}
            with (writing / MANIFEST).open("w", encoding="utf-8") as file:
                json.dump({"identity": identity, "bytes": sizes}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(writing, entry)
        finally:
            shutil.rmtree(writing, ignore_errors=True)
    return entry, True


@contextlib.contextmanager
def _locked(path, waiting):
    """Hold the lock of a file, which no other process can hold at the same time."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_whole(entry, identity):
    try:
        manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
        return manifest["identity"] == identity and all(
            (entry / name).stat().st_size == size
            for name, size in manifest["bytes"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _flushed_bytes(path):
    """The size of a file that is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size
