"""`--data.cache`: images that are read once, and kept in memory or on a local disk.

What is kept decides nothing but speed: batches are bit-identical with any cache.
Files whose images have one size and fit are decoded into memory anyway; on disk, their
pixels are kept too, so that the next run need not decode them. Of all others the
encoded bytes are kept.
"""

import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf

from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.cache_entries import kept_entry
from simclr_tf.data.cached_source import CachedSource, StoredContents, contents_of
from simclr_tf.data.free_space import free_disk_bytes, free_memory_bytes, in_mebibytes
from simclr_tf.data.random_access import EncodedSource
from simclr_tf.errors import ConfigError, DataError

PLACES = ("none", "memory", "disk")
# The rest is for training itself, and for checkpoints.
_USABLE = {"memory": 0.8, "disk": 0.9}
_CONTENT, _SIZES, _PIXELS, _STATES = "content", "sizes.npy", "pixels.npy", "states.npy"


class ImageCache:
    """Keeps the images of sources in one place.

    Args:
      place: "none", "memory" or "disk".
      folder: path for "disk"; may be shared by runs, also at the same time.
      say: function of a str, for one line a source: what is kept, and what is free.

    Example:
      >>> source = ArraySource("mine", np.zeros([5, 8, 8, 3], np.uint8))
      >>> ImageCache("memory", say=print).keep(source) is source
      Cache       not needed: the images of mine are in memory
      True
    """

    def __init__(self, place="none", folder=None, say=lambda line: None):
        self._place, self._folder, self._say = place, folder, say

    def keep(self, source):
        """The same images, from the cache where they would be read again and again.

        Args:
          source: Source or StreamSource.

        Returns:
          Source with the same examples, names, labels and fingerprint.

        Raises:
          ConfigError: they do not fit into what is free.
          DataError: an image changes while it is read, or the folder is unusable.
        """
        if self._place == "none":
            return source
        if isinstance(source, EncodedSource):
            return CachedSource(source, self._contents(source))
        self._keep_array(source)
        return source

    def pixels(self, source, shape, decoded):
        """The decoded images of a source: from disk, or decoded now.

        Args:
          source: EncodedSource.
          shape: (H, W, C) of all images.
          decoded: function to an iterable of (states, images) batches, int32 `[B]` and
            uint8 `[B, H, W, C]`.

        Returns:
          (states, images): int32 `[n]`, uint8 `[n, H, W, C]`; memory-mapped from disk.
        """
        number = source.num_examples
        if self._place != "disk":
            states, images = (
                np.empty(number, np.int32),
                np.empty((number, *shape), np.uint8),
            )
            done = 0
            for state, batch in decoded():
                end = done + len(batch)
                states[done:end], images[done:end], done = state, batch, end
            return states, images
        size = number * int(np.prod(shape))

        def fill(folder):
            states = []
            with (folder / _PIXELS).open("wb") as file:
                np.lib.format.write_array_header_1_0(
                    file,
                    {"descr": "|u1", "fortran_order": False, "shape": (number, *shape)},
                )
                for state, batch in decoded():
                    states.append(state)
                    file.write(batch.tobytes())
            np.save(folder / _STATES, np.concatenate(states))

        # Other versions may decode other pixels.
        entry = self._entry("pixels", source, size, fill, decoder=tf.__version__)
        return np.load(entry / _STATES), np.load(entry / _PIXELS, mmap_mode="r")

    def _contents(self, source):
        size = int(source.encoded_bytes(np.arange(source.num_examples)).sum())
        if self._place == "memory":
            self._announce("memory", "encoded", source, size, free_memory_bytes())
            store, sizes, done = np.empty(size, np.uint8), [], 0
            for content in contents_of(source):
                end = done + len(content)
                store[done:end] = np.frombuffer(content, np.uint8)
                sizes.append(len(content))
                done = end
            return StoredContents(store, sizes)

        def fill(folder):
            sizes = []
            with (folder / _CONTENT).open("wb") as file:
                for content in contents_of(source):
                    sizes.append(file.write(content))
            np.save(folder / _SIZES, np.array(sizes, np.int64))

        entry = self._entry("encoded", source, size, fill)
        return StoredContents(entry / _CONTENT, np.load(entry / _SIZES))

    def _keep_array(self, source):
        """Say why nothing is to be done; or load an array that lies in a file."""
        images = getattr(source, "images", None)
        if not isinstance(source, ArraySource):
            self._say(
                f"Cache       not possible: {source.name} is read as it comes; "
                "`dataset.cache()` keeps it"
            )
        elif not isinstance(images, np.memmap):
            self._say(
                f"Cache       not needed: the images of {source.name} are in memory"
            )
        elif self._place == "memory":
            self._announce(
                "memory", "decoded", source, images.nbytes, free_memory_bytes()
            )
            source.images = np.array(images)
        elif not self._is_ours(images.filename):
            self._say(f"Cache       not needed: {source.name} is one file already")

    def _is_ours(self, path):
        folder = pathlib.Path(self._folder).expanduser().absolute()
        return folder in pathlib.Path(path).parents

    def _entry(self, kind, source, size, fill, **details):
        """The folder of an entry of the cache on disk, filled if need be."""
        identity = {
            "kind": kind,
            "images": source.fingerprint(),
            "name": source.name,
            "split": source.split,
            **details,
        }
        key = [identity["images"], *details.values()]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()

        def checked_fill(folder):
            self._announce(
                folder.with_suffix(""), kind, source, size, free_disk_bytes(folder)
            )
            fill(folder)

        try:
            entry, is_new = kept_entry(
                self._folder,
                f"{kind}-{digest[:24]}",
                identity,
                checked_fill,
                waiting=lambda: self._say(
                    f"Cache       another process is reading {source.name} into "
                    f"{self._folder}: waiting for it"
                ),
            )
        except OSError as error:
            raise DataError(
                f"Cannot keep images in --data.cache_dir={self._folder}: "
                f"{error.strerror or error}. Use another folder, or "
                "--data.cache=memory or none."
            ) from error
        if not is_new:
            self._say(
                f"Cache       {entry}: {source.num_examples:,} {kind} images, "
                f"{in_mebibytes(size)}, read before"
            )
        return entry

    def _announce(self, where, kind, source, size, free):
        """Say what is about to be kept, or refuse it."""
        part = _USABLE[self._place]
        if free is not None and size > part * free:
            other = (
                "--data.cache=disk with --data.cache_dir on a fast disk"
                if self._place == "memory"
                else "another --data.cache_dir"
            )
            raise ConfigError(
                f"--data.cache={self._place} needs {in_mebibytes(size)} for the "
                f"{source.num_examples:,} {kind} images of {source.name}, and may take "
                f"{part:.0%} of the {in_mebibytes(free)} that are free. Use {other}, "
                "or --data.cache=none."
            )
        self._say(
            f"Cache       {where}: {source.num_examples:,} {kind} images, "
            f"{in_mebibytes(size)} ({in_mebibytes(free)} free)"
        )
