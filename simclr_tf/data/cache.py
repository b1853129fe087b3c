"""Cache: images that are read in every epoch, kept in memory or on a local disk.

The cache changes only the speed: batches are bit-identical with any `--data.cache`.
Small images of one size are always decoded once and kept in memory; a cache on disk
keeps their pixels too, so that the next run need not decode them. Of all other files
the encoded bytes are kept.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from simclr_tf.array_types import StrPath
from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.corruption import NOT_DECODABLE, refuse_unreadable
from simclr_tf.data.left_out import report_left_out
from simclr_tf.data.pixels import READING, first_success
from simclr_tf.data.prefetching import prefetched
from simclr_tf.data.random_access import (
    EncodedSource,
    fits_in_batches,
    sample_images,
)
from simclr_tf.data.storage import (
    StoredContents,
    in_mebibytes,
    in_memory,
    kept_entry,
)
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.lazy import np, tf
from simclr_tf.machine import free_disk_bytes, free_memory_bytes, usable_cores

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source
    from simclr_tf.data.streams import StreamSource


# The rest is left for training and for checkpoints.
_USABLE = {"memory": 0.8, "disk": 0.9}
_CONTENT, _SIZES, _CHECKSUMS = "content", "sizes.npy", "checksums.npy"
_BATCH = 32
_GOOD, _BROKEN, _OTHER_SIZE = 0, 1, 2


class ImageCache:
    """Keep the images of sources in memory or on disk.

    Args:
      place: "none", "memory" or "disk".
      folder: path for "disk"; may be shared by runs, also at the same time.
      say: function that prints a line (str): for each source what is kept, and how
        much memory is free.

    Example:
      >>> source = ArraySource("mine", np.zeros([5, 8, 8, 3], np.uint8))
      >>> ImageCache("memory", say=print).keep(source) is source
      Cache       not needed: the images of mine are in memory
      True
    """

    def __init__(
        self,
        place: str = "none",
        folder: StrPath | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._place, self._folder, self._say = place, folder, say

    def keep(self, source: Source | StreamSource) -> Source | StreamSource:
        """Return the same images, cached if they would be read again in every epoch.

        Args:
          source: Source or StreamSource.

        Returns:
          A source with the same examples, names, labels and fingerprint.

        Raises:
          ConfigError: the images do not fit into the free space.
          DataError: an image changes while it is read, or the folder is unusable.
        """
        if self._place == "none":
            return source
        if not isinstance(source, EncodedSource):
            self._keep_array(source)
            return source
        size = int(source.encoded_bytes(np.arange(source.num_examples)).sum())
        if self._place == "disk":
            return CachedSource(source, self._on_disk("encoded", source, size))
        self._announce("memory", "encoded", source, size, free_memory_bytes())
        return CachedSource(source, in_memory(_contents_of(source), size))

    def decoded(self, source: EncodedSource, shape: tuple[int, ...]) -> StoredContents:
        """Decode the images of a source, or find them in the cache on disk.

        Args:
          source: EncodedSource.
          shape: (H, W, C), of every image.

        Returns:
          StoredContents: the pixels of each image as bytes; empty for a broken image.

        Raises:
          _OtherSize: an image has another shape.
        """
        size = source.num_examples * int(np.prod(shape))
        if self._place == "disk":  # Other TensorFlows may decode other pixels.
            details = {
                "shape": list(shape),
                "decoder": tf.__version__,
                "reading": READING,
                "background": list(source.background),
            }
            return self._on_disk("decoded", source, size, **details)
        return in_memory(_pixels_of(source, shape), size)

    def _keep_array(self, source):
        """Load an array that is in a file, or print why no cache is needed."""
        images = getattr(source, "images", None)
        if not isinstance(source, ArraySource):
            self._say(
                f"Cache       not possible: {source.name} is a stream; "
                "`dataset.cache()` keeps it"
            )
        elif not isinstance(images, np.memmap):
            self._say(
                f"Cache       not needed: the images of {source.name} are in memory"
            )
        elif self._place == "memory":
            free = free_memory_bytes()
            self._announce("memory", "decoded", source, images.nbytes, free)
            source.images = np.array(images)
        elif not self._is_ours(images.filename):
            self._say(f"Cache       not needed: {source.name} is one file already")

    def _is_ours(self, path):
        folder = pathlib.Path(self._folder).expanduser().absolute()
        return folder in pathlib.Path(path).parents

    def _on_disk(self, kind, source, size, **details):
        """Find the contents of an entry on disk; fill the entry if needed."""
        identity = {
            "kind": kind,
            "images": source.state_of_files(),
            "name": source.name,
            "split": source.split,
            **details,
        }
        key = json.dumps([identity["images"], *details.values()])
        name = f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

        entry = pathlib.Path(self._folder).expanduser() / name

        def pieces_of(source):
            if kind == "decoded":
                return _pixels_of(source, details["shape"])
            return _contents_of(source)

        def fill(folder):
            self._announce(entry, kind, source, size, free_disk_bytes(folder))
            with (folder / _CONTENT).open("wb") as file:
                rows = [
                    (file.write(piece), zlib.crc32(piece))
                    for piece in pieces_of(source)
                ]
            sizes, checksums = zip(*rows, strict=True)
            np.save(folder / _SIZES, np.array(sizes, np.int64))
            np.save(folder / _CHECKSUMS, np.array(checksums, np.uint32))

        def is_usable():
            """Tell whether what could not be read then cannot be read now either."""
            missing = np.flatnonzero(np.load(entry / _SIZES) == 0)
            return not len(missing) or not any(pieces_of(source.subset(missing)))

        def waiting():
            self._say(
                f"Cache       another process is reading {source.name} into "
                f"{self._folder}: waiting for it"
            )

        try:
            _, is_new = kept_entry(
                self._folder, name, identity, fill, is_usable, waiting=waiting
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
        sizes, checksums = (np.load(entry / name) for name in (_SIZES, _CHECKSUMS))
        return StoredContents(entry / _CONTENT, sizes, checksums)

    def _announce(self, where, kind, source, size, free):
        """Print what will be cached, or refuse what does not fit."""
        part = _USABLE[self._place]
        if size > part * free:
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


class _OtherSize(Exception):
    """An image has another size than the others."""


def decode_into_memory(source, memory_limit_bytes, cache):
    """Turn an EncodedSource into an ArraySource, if its images have one size and fit.

    Images in memory are augmented in batches on the device, which is much faster for
    small images than one by one; large ones are not (see `fits_in_batches`). A sample
    of 16 images decides whether to try; the first image of another size ends the
    attempt.

    Args:
      source: EncodedSource.
      memory_limit_bytes: int, limit for the pixels; 0: never decode into memory.
      cache: ImageCache; a cache on disk keeps the pixels for later runs.

    Returns:
      ArraySource with the names, labels and fingerprint of `source`, without broken
      images; or `source` itself.

    Raises:
      DataError: if too many images are broken.
    """
    shapes = {tuple(image.shape[:2]) for image in sample_images(source)}
    source.largest_pixels = max((h * w for h, w in shapes), default=0)
    if len(shapes) != 1 or not fits_in_batches(*shapes):
        return source
    shape = (*shapes.pop(), source.channels)
    if source.num_examples * int(np.prod(shape)) > memory_limit_bytes:
        return source
    try:
        pixels = cache.decoded(source, shape)
    except _OtherSize:
        return source
    names = [source.example_name(n) for n in np.flatnonzero(pixels.sizes == 0)]
    corrupt, broken = [*source.corrupt, *names], dict.fromkeys(names, NOT_DECODABLE)
    left_out = {**source.left_out, **broken}
    report_left_out(broken, source.num_examples - len(names), source.name)
    total, allowed = (
        source.num_dropped + source.num_examples,
        source.max_corrupt_fraction,
    )
    refuse_unreadable(corrupt, total, allowed, source.name, left_out)
    whole = source.subset(np.flatnonzero(pixels.sizes)) if names else source
    return ArraySource(
        source.name,
        pixels.as_array().reshape(-1, *shape),
        whole.labels,
        origin=whole,
        classes=source.classes,
        split=source.split,
        corrupt=corrupt,
        left_out=left_out,
        max_corrupt_fraction=source.max_corrupt_fraction,
    )


class CachedSource(EncodedSource):
    """The images of another source, with their bytes in the cache.

    Names, order, labels, fingerprint and pixels are the origin's. The bytes of a whole
    batch are fetched in one call, so that decoding never waits for Python.

    Args:
      origin: EncodedSource.
      contents: StoredContents of the origin's examples, in their order.
    """

    location_types = ("string",)

    def __init__(self, origin, contents):
        vars(self).update(vars(origin))
        self.corrupt, self.left_out = list(origin.corrupt), dict(origin.left_out)
        self._origin, self._contents = origin, contents
        # Subsets of this source use row numbers of the original source.
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

    def sampled_sizes(self):
        return self._origin.sampled_sizes()

    def encoded_bytes(self, ids):
        return self._origin.encoded_bytes(self._place(ids))

    def locations(self, ids):
        return (self._contents.read(self._place(ids)),)

    def read_encoded(self, content):
        return content

    def _hash_content(self, digest):
        self._origin._hash_content(digest)


def _contents_of(source):
    """Yield every image's bytes in order; b"" for one that cannot be read."""

    def read(*location):
        return source.read_encoded(*location), tf.constant(True)

    expected = source.encoded_bytes(np.arange(source.num_examples))
    for number, (content, is_read) in enumerate(_of_each(source, read, ("", False))):
        if is_read and len(content) != expected[number]:
            raise DataError(
                f"{source.example_name(number)} has changed since `{source.name}` was "
                f"opened ({expected[number]} bytes then, {len(content)} now): start "
                "again when no process changes the files."
            )
        yield content


def _pixels_of(source, shape):
    """Yield every image's pixels as bytes; b"" for one that cannot be decoded."""
    nothing = tf.zeros(shape, tf.uint8)

    def read(*location):
        image = source.read_image(*location)
        fits = tf.reduce_all(tf.shape(image) == shape)
        image = tf.cond(fits, lambda: image, lambda: nothing)
        return tf.ensure_shape(image, shape), tf.where(fits, _GOOD, _OTHER_SIZE)

    for image, state in _of_each(source, read, (nothing, _BROKEN)):
        if state == _OTHER_SIZE:
            raise _OtherSize
        yield image.tobytes() if state == _GOOD else b""


def _of_each(source, read, otherwise):
    """Yield the result of `read` for every location, in order, computed in parallel.

    Args:
      source: EncodedSource.
      read: graph function of a location to a pair of tensors.
      otherwise: pair for an image for which `read` fails.

    Yields:
      pairs of NumPy values.
    """

    def read_safely(*location):
        return first_success(
            tf.data.Dataset.from_tensors(location),
            read,
            tf.data.Dataset.from_tensors(otherwise),
        )

    locations = source.locations(np.arange(source.num_examples))
    results = tf.data.Dataset.from_tensor_slices(locations).map(
        read_safely, num_parallel_calls=usable_cores()
    )
    for batch in prefetched(results.batch(_BATCH), 1).as_numpy_iterator():
        yield from zip(*batch, strict=True)
