"""Storage of the cache: bytes in memory or in a file, entries on disk.

An entry is a folder. It is filled under another name, flushed, described by a
`manifest.json` (its origin, the sizes of its files), and renamed: an entry is complete
or absent, whenever a process is killed or a disk is full. One process fills an entry
while others wait for its lock; the system releases the lock of a process that dies.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import zlib

from simclr_tf.errors import DataError
from simclr_tf.files import sha256_of, whole_folder
from simclr_tf.lazy import np
from simclr_tf.limits import read_json
from simclr_tf.locks import locked

_THREADS = 16
MANIFEST = "manifest.json"
_LOCK = ".lock"


class StoredContents:
    """Byte strings stored one after the other, in memory or in a file.

    Args:
      store: uint8 NumPy array, or path of a file.
      sizes: int64 `[n]`, their lengths; 0 for an image that could not be read.
      checksums: uint32 `[n]`, their CRC-32; None if they are not checked.
    """

    def __init__(self, store, sizes, checksums=None):
        self._checksums = checksums
        self.sizes = np.asarray(sizes, np.int64)
        self._ends = np.cumsum(self.sizes)
        self._store = store
        self._pool = self._descriptor = None
        if not isinstance(store, np.ndarray):
            self._descriptor = os.open(store, os.O_RDONLY)
            # The reads of one batch wait for the disk in parallel.
            self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS)

    def __del__(self):
        if self._descriptor is not None:
            os.close(self._descriptor)

    def as_array(self):
        """Return all bytes as uint8, memory-mapped if they are in a file.

        Raises:
          DataError: the file is damaged; all of it is read for this.
        """
        if self._descriptor is None:
            return self._store
        for place in range(0 if self._checksums is None else len(self.sizes)):
            self._piece(place)
        return np.memmap(self._store, np.uint8, mode="r")

    def read(self, places):
        """Read some of the strings.

        Args:
          places: int64 array `[B]`.

        Returns:
          NumPy array `[B]` of bytes objects, empty where nothing can be read.

        Raises:
          DataError: the file is damaged.
        """
        contents = np.empty(len(places), object)  # Not "S": that drops final zeros.
        read_all = map if self._pool is None else self._pool.map
        contents[:] = list(read_all(self._piece, places))
        return contents

    def _piece(self, place):
        size = int(self.sizes[place])
        start = int(self._ends[place]) - size
        if self._descriptor is None:
            return self._store[start : start + size].tobytes()
        try:
            content = os.pread(self._descriptor, size, start)
        except OSError:
            return b""  # Treated like an unreadable file: reported and replaced.
        if (
            self._checksums is not None
            and zlib.crc32(content) != self._checksums[place]
        ):
            folder = pathlib.Path(self._store).parent
            raise DataError(
                f"The cache is damaged, not the images: delete {folder}, and the next "
                "start reads them again."
            )
        return content


def in_memory(pieces, size):
    """Store byte strings in memory.

    Args:
      pieces: iterable of bytes.
      size: int, upper limit of their total size in bytes.

    Returns:
      StoredContents.
    """
    store, sizes, done = np.empty(size, np.uint8), [], 0
    for piece in pieces:
        end = done + len(piece)
        store[done:end] = np.frombuffer(piece, np.uint8)
        sizes.append(len(piece))
        done = end
    return StoredContents(store[:done], sizes)


def kept_entry(
    folder, name, identity, fill, is_usable=lambda: True, *, waiting=lambda: None
):
    """Find an entry; fill it first if it is missing, incomplete or no longer usable.

    Args:
      folder: path of all entries; made if needed.
      name: str, the entry's.
      identity: dict, ready for JSON, that describes the origin of the entry; an entry
        of another origin is filled again.
      fill: function of an empty folder that writes the entry's files there.
      is_usable: function that tells whether a complete entry can be used.
      waiting: called once if another process is filling the entry.

    Returns:
      (pathlib.Path, bool): the entry, and whether it was filled now.

    Raises:
      OSError: the folder cannot be read or written, or the disk is full.
    """
    folder = pathlib.Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    entry = folder / name
    lock = folder / f"{name}{_LOCK}"
    lock.touch()
    with locked(lock, waiting):
        if _is_whole(entry, identity) and is_usable():
            return entry, False
        # Of other images, or incomplete: left by a killed process of version 0.1.0.
        for left in (entry, folder / f"{name}.writing"):
            shutil.rmtree(left, ignore_errors=True)
        with whole_folder(entry) as writing:
            fill(writing)
            sizes = {path.name: path.stat().st_size for path in writing.iterdir()}
            record = {
                "identity": identity,
                "bytes": sizes,
                # The large file has a checksum for each of its pieces.
                "sha256": {
                    path.name: sha256_of(path) for path in writing.glob("*.npy")
                },
            }
            text = json.dumps(record, indent=1)
            (writing / MANIFEST).write_text(text, encoding="utf-8")
    return entry, True


def _is_whole(entry, identity):
    try:
        manifest = read_json(entry / MANIFEST)
        return (
            manifest["identity"] == identity
            and all(
                (entry / name).stat().st_size == size
                for name, size in manifest["bytes"].items()
            )
            and all(
                sha256_of(entry / name) == digest
                for name, digest in manifest["sha256"].items()
            )
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def in_mebibytes(number):
    """Write a number of bytes for a message: `1,234 MiB`.

    Example:
      >>> in_mebibytes(1_234_567_890), in_mebibytes(50_000)
      ('1,177 MiB', '0.048 MiB')
    """
    amount = number / 2**20
    return f"{amount:,.0f} MiB" if amount >= 10 else f"{amount:.2g} MiB"
