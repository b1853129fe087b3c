"""Encoded images that were read once, and come from memory or one local file since."""

import concurrent.futures
import os

import numpy as np
import tensorflow as tf

from simclr_tf.data.pixels import first_success
from simclr_tf.data.random_access import EncodedSource
from simclr_tf.errors import DataError

_BATCH = 256
_THREADS = 16


class CachedSource(EncodedSource):
    """The images of another source, with their bytes at hand.

    Names, order, labels, fingerprint and pixels are the origin's. The bytes of a whole
    batch are fetched in one call, so that decoding never waits for Python.

    Args:
      origin: EncodedSource.
      contents: StoredContents of the origin's examples, in their order.
    """

    location_types = (tf.string,)

    def __init__(self, origin, contents):
        super().__init__(
            origin.name,
            origin.num_examples,
            channels=origin.channels,
            labels=origin.labels,
            classes=origin.classes,
            split=origin.split,
            corrupt=origin.corrupt,
            max_corrupt_fraction=origin.max_corrupt_fraction,
        )
        self.num_dropped, self.formats = origin.num_dropped, origin.formats
        self._origin, self._contents = origin, contents
        # Parts of this source go by the rows of what the origin was opened from.
        self._rows = origin._rows
        rows = origin.rows(np.arange(origin.num_examples))
        self._places = np.full(rows.max() + 1, -1, np.int64)
        self._places[rows] = np.arange(origin.num_examples)

    def _place(self, ids):
        return self._places[self.rows(ids)]

    def example_name(self, example):
        return self._origin.example_name(self._place(np.int64(example)))

    def files(self):
        files = self._origin.files()
        places = self._place(np.arange(self.num_examples)).tolist()
        return None if files is None else [files[place] for place in places]

    def encoded_bytes(self, ids):
        return self._origin.encoded_bytes(self._place(ids))

    def locations(self, ids):
        return (self._contents.read(self._place(ids)),)

    def read_encoded(self, content):
        return content

    def _hash_content(self, digest):
        self._origin._hash_content(digest)


class StoredContents:
    """Byte strings one behind the other, in memory or in a file.

    Args:
      store: uint8 NumPy array, or path of a file.
      sizes: int64 `[n]`, their lengths; 0 where there was nothing to read.
    """

    def __init__(self, store, sizes):
        self._ends = np.cumsum(sizes)
        self._sizes = np.asarray(sizes, np.int64)
        self._store = store
        self._pool = self._descriptor = None
        if not isinstance(store, np.ndarray):
            self._descriptor = os.open(store, os.O_RDONLY)
            # Seeks of one batch wait side by side.
            self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS)

    def __del__(self):
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self, places):
        """Some of the strings.

        Args:
          places: int64 array `[B]`.

        Returns:
          NumPy array `[B]` of bytes objects, empty where nothing can be read.
        """
        pieces = zip(
            self._ends[places] - self._sizes[places], self._sizes[places], strict=True
        )
        contents = np.empty(len(places), object)  # Not "S": that drops final zeros.
        read_all = map if self._pool is None else self._pool.map
        contents[:] = list(read_all(self._piece, pieces))
        return contents

    def _piece(self, piece):
        start, size = map(int, piece)
        if self._descriptor is None:
            return self._store[start : start + size].tobytes()
        try:
            return os.pread(self._descriptor, size, start)
        except OSError:
            return b""  # As a file that cannot be read: named, and replaced.


def contents_of(source):
    """Every image's bytes in order, read in parallel; b"" for one that cannot be read.

    Args:
      source: EncodedSource.

    Yields:
      bytes.

    Raises:
      DataError: an image has another length than when the source was opened.
    """

    def read(*location):
        return source.read_encoded(*location), tf.constant(True)

    def read_safely(*location):
        return first_success(
            tf.data.Dataset.from_tensors(location),
            read,
            tf.data.Dataset.from_tensors(("", False)),
        )

    ids = np.arange(source.num_examples)
    expected = source.encoded_bytes(ids)
    places = tf.data.Dataset.from_tensor_slices(source.locations(ids))
    contents = places.map(read_safely, num_parallel_calls=tf.data.AUTOTUNE)
    for number, (content, is_read) in enumerate(
        contents.prefetch(_BATCH).as_numpy_iterator()
    ):
        if is_read and len(content) != expected[number]:
            raise DataError(
                f"{source.example_name(number)} has changed since `{source.name}` was "
                f"opened ({expected[number]} bytes then, {len(content)} now): start "
                "again when nothing writes there."
            )
        yield content
