"""Sources: the interface of every data set with random access.

`simclr_tf.seeding.epoch_order` gives the order of a run, so a source only has to fetch
example i. Pixels come from memory (`ArraySource`, simclr_tf/data/arrays.py) or are
decoded from files (`EncodedSource`, here; folders and records).
"""

from __future__ import annotations

import abc
import copy
import hashlib
import math
from collections.abc import Sequence
from typing import Any

from simclr_tf.array_types import Array, Tensor
from simclr_tf.data.host_calls import on_host
from simclr_tf.data.pixels import decode_image
from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import np, tf

MOST_CLASSES = 2**20
_SAMPLE = 16
# Views of larger images are cut out one by one: a batch of 128 of these takes 100 MB as
# stored, and several times that as floats.
_MOST_PIXELS_IN_BATCHES = 512 * 512


class Source(abc.ABC):
    """Images that can be fetched by number, with labels or without.

    Attributes:
      name: str, the data set as the user wrote it (`folder:photos`).
      split: str, e.g. `train` or `test[:10%]`.
      num_examples: int, readable images; ids run from 0 to num_examples - 1.
      labels: int64 NumPy `[num_examples]`, -1 where unlabelled, or None.
      classes: tuple of str, the name of each label, or None.
      channels: int, what images are converted to when they are read.
      image_shape: (H, W, C) if all images have one size known beforehand, else None.
      largest_pixels: int, height times width of the largest image seen at the opening.
      corrupt: list of str, the images found unreadable so far.
      num_dropped: int, unreadable images left out when the source was opened.
      max_corrupt_fraction: float in [0, 1], limit above which a run stops.
    """

    def __init__(
        self,
        name: str,
        num_examples: int,
        *,
        channels: int,
        labels: Any = None,
        classes: Sequence[str] | None = None,
        split: str = "train",
        image_shape: tuple[int, int, int] | None = None,
        corrupt: Sequence[str] = (),
        max_corrupt_fraction: float = 0.01,
    ) -> None:
        if num_examples < 2:
            raise DataError(
                f"`{name}` must hold at least 2 readable images: contrastive learning "
                "compares images with each other. "
                + received_text(num_examples=num_examples, corrupt=len(corrupt))
            )
        self.name = name
        self.split = split
        self.num_examples = int(num_examples)
        self.labels = class_labels(labels, self.num_examples, name)
        self.classes = None if classes is None else tuple(str(c) for c in classes)
        self.channels = int(channels)
        self.image_shape = image_shape
        self.largest_pixels = 0 if image_shape is None else math.prod(image_shape[:2])
        self.corrupt = list(corrupt)
        self.num_dropped = len(self.corrupt)
        self.max_corrupt_fraction = max_corrupt_fraction
        self._rows: Array | None = None

    def __repr__(self):
        labelled = "unlabelled" if self.labels is None else "labelled"
        return (
            f"{type(self).__name__}({self.name!r}, split={self.split!r}, "
            f"{self.num_examples} {labelled} images, channels={self.channels})"
        )

    @property
    def has_labels(self) -> bool:
        """Whether any example has a label, or could have one."""
        return self.labels is not None

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None without labels."""
        if self.labels is None:
            return None
        return max(len(self.classes or ()), int(self.labels.max()) + 1)

    def without_labels(self) -> None:
        """Drop the labels and the names of the classes."""
        self.labels, self.classes = None, None

    def keep_labels(self, ids: Array) -> None:
        """Drop the labels of all other examples.

        Args:
          ids: int array, ids of this source.
        """
        labels = np.full_like(self.labels, -1)
        labels[ids] = self.labels[ids]
        self.labels = labels

    def subset(self, indices: Array, split: str | None = None) -> Source:
        """Return the same data set, restricted to some examples and renumbered from 0.

        Args:
          indices: int array `[m]`, ids of this source, in the wanted order.
          split: str, the name of the part; this source's split by default.

        Returns:
          Source with `num_examples` m.

        Raises:
          DataError: if fewer than 2 examples are left.
        """
        indices = np.asarray(indices, np.int64)
        if len(indices) < 2:
            raise DataError(
                f"A part of `{self.name}` must hold at least 2 images. "
                + received_text(split=split or self.split, num_examples=len(indices))
            )
        part = copy.copy(self)
        part._rows = self.rows(indices)
        part.num_examples = len(indices)
        part.labels = None if self.labels is None else self.labels[indices]
        part.split = split or self.split
        part.corrupt, part.num_dropped = [], 0
        return part

    def rows(self, ids: Array) -> Array:
        """Map ids of this source to rows of the data set that was opened."""
        return ids if self._rows is None else self._rows[ids]

    def example_name(self, example: int) -> str:
        """Name an example for a message: its file, or its row."""
        return f"{self.name}#{int(self.rows(np.int64(example)))}"

    def files(self) -> list[tuple[str, int, int]] | None:
        """List the files of the images in their order, if each image is a file.

        Returns:
          list of (name, bytes, CRC-32 of both ends), or None.
        """
        return None

    def fingerprint(self) -> str:
        """Compute the SHA-256 (hex) of what defines content and order of this source.

        Equal for two sources that give the same images and labels for the same ids.
        Files are represented by their names, sizes and both ends (not by their dates,
        so a copy of a folder has the same fingerprint; a change in the middle of a file
        that keeps its size and its ends is not noticed), arrays by their bytes (above
        64
        MiB: by 1,024 evenly spaced images), prepared data sets by version, shard names
          and
        sizes. The path of the data set does not matter.

        Returns:
          str of 64 hexadecimal digits.
        """
        digest = hashlib.sha256()
        self._hash_content(digest)
        for part in (self.channels, self.classes, self.num_examples):
            digest.update(repr(part).encode())
        for array in (self._rows, self.labels):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @abc.abstractmethod
    def _hash_content(self, digest):
        """Feed `digest` with the identity of the stored images."""


class EncodedSource(Source):
    """Images in encoded files (JPEG, PNG, ...), decoded on demand.

    A subclass returns the location of an example (`locations`, on the host, for a batch
    of ids) and reads its bytes (`read_encoded`, a graph function).

    Attributes:
      location_types: tuple of str, the dtype of each array of `locations`.
      formats: set of str, the image formats that occur, or None if that is not known:
        `jpeg` and `png` for files that TensorFlow decodes to what they show, `other`.
    """

    location_types: tuple[str, ...] = ()
    formats = None

    @abc.abstractmethod
    def locations(self, ids: Array) -> tuple[Array, ...]:
        """Locate examples: int64 ids `[B]` to a tuple of NumPy arrays `[B]`."""

    @abc.abstractmethod
    def encoded_bytes(self, ids: Array) -> Array:
        """Return the bytes of examples' files: int64 ids `[B]` to int64 `[B]`."""

    @abc.abstractmethod
    def read_encoded(self, *location: Tensor) -> Tensor:
        """Read the file content, a scalar string, at one location (scalar tensors)."""

    def read_image(self, *location: Tensor) -> Tensor:
        """Read uint8 `[H, W, channels]` at one location (scalar tensors)."""
        encoded = self.read_encoded(*location)
        return decode_image(encoded, self.channels, plain=self.is_plain)

    @property
    def is_plain(self) -> bool:
        """Whether TensorFlow is known to decode every file to what it shows."""
        return self.formats is not None and set(self.formats) <= {"jpeg", "png"}

    def location_tensors(self, example: Tensor) -> tuple[Tensor, ...]:
        """Return the location of one example, `example` an int64 scalar tensor."""

        def locate(number):
            return [column[0] for column in self.locations(number[np.newaxis])]

        tensors = on_host(locate, [example], list(self.location_types))
        for tensor in tensors:
            tensor.set_shape([])
        return tuple(tensors)


def sample_images(source):
    """Decode up to 16 images spread over a source, with their own channels.

    Args:
      source: EncodedSource.

    Yields:
      uint8 tensors `[H, W, C]`, of the readable ones.
    """
    ids = np.unique(np.linspace(0, source.num_examples - 1, _SAMPLE).astype(np.int64))
    for location in zip(*source.locations(ids), strict=True):
        try:
            encoded = source.read_encoded(*location)
            yield decode_image(encoded, plain=source.is_plain)
        except (tf.errors.OpError, ValueError):
            continue  # Unreadable: reported when training reads it.


def fits_in_batches(shape):
    """Tell whether images are small enough to be kept and cropped in batches.

    Args:
      shape: (H, W) or (H, W, C).

    Example:
      >>> fits_in_batches((224, 224, 3)), fits_in_batches((6000, 8000))
      (True, False)
    """
    return math.prod(shape[:2]) <= _MOST_PIXELS_IN_BATCHES


def grey_or_colour(source):
    """Return 1 if a sample of an EncodedSource's images is grey throughout, else 3."""
    depths = [image.shape[-1] for image in sample_images(source)]
    return 1 if depths and max(depths) == 1 else 3


def class_labels(labels, num_examples, name):
    """Check and convert labels from users.

    Args:
      labels: None, or integers `[n]` or `[n, 1]`, each in [-1, MOST_CLASSES), -1 for
        unlabelled.
      num_examples: int, n.
      name: str, the data set, for messages.

    Returns:
      int64 NumPy array `[n]`, or None.

    Raises:
      DataError: for another shape, count or type, or a label below -1 or too large.

    Example:
      >>> class_labels([[2], [0]], 2, "mine")
      array([2, 0])
    """
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"Labels of `{name}` must be integers of shape [n]; for one-hot rows use "
            "`labels.argmax(axis=1)`. " + received_text(shape=labels.shape)
        )
    if len(labels) != num_examples:
        raise DataError(
            f"`{name}` must have one label for each image. "
            + received_text(images=num_examples, labels=len(labels))
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"Labels of `{name}` must be integers; use `labels.astype(int)`. "
            + received_text(dtype=str(labels.dtype))
        )
    if labels.size and labels.min() < -1:
        raise DataError(
            f"Labels of `{name}` must be >= 0, or -1 for unlabelled. "
            + received_text(smallest=int(labels.min()))
        )
    if labels.size and labels.max() >= MOST_CLASSES:
        raise DataError(
            f"Labels of `{name}` must be below {MOST_CLASSES:,}: probes are as wide as "
            "the largest. Number the classes from 0, e.g. with "
            "`np.unique(labels, return_inverse=True)[1]`. "
            + received_text(largest=int(labels.max()))
        )
    return labels.astype(np.int64)
