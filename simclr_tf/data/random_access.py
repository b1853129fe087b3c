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
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from simclr_tf.array_types import Array, Tensor
from simclr_tf.config.data import rgb_of
from simclr_tf.data.class_labels import class_labels
from simclr_tf.data.host_calls import on_host
from simclr_tf.data.pixels import PLAIN_FORMATS, WHITE, decode_image
from simclr_tf.errors import DataError, received_text
from simclr_tf.files import printable
from simclr_tf.lazy import np, tf

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
      background: (R, G, B), 0 to 255, what shows where an image file is transparent.
      left_out: dict of str to str: files that are not among the examples, and why;
        `corrupt` and files that are no images.
      max_corrupt_fraction: float in [0, 1], limit above which a run stops.
      slice_rule: str, which images a slice has, for the screen; "" if it is none.
      why_unlabelled: str, why folders of images gave no labels, and the way out; or "".
      parts: tuple of Source, the data sets that are joined in this one; else ().
    """

    background: tuple[int, int, int] = WHITE
    parts: tuple[Source, ...] = ()
    slice_rule = ""
    why_unlabelled = ""

    def __init__(
        self,
        name: str,
        num_examples: int,
        *,
        channels: int,
        labels: Any = None,
        classes: Sequence[str] | None = None,
        beside: Sequence[Any] = (),
        split: str = "train",
        image_shape: tuple[int, int, int] | None = None,
        corrupt: Sequence[str] = (),
        left_out: Mapping[str, str] = MappingProxyType({}),
        max_corrupt_fraction: float = 0.01,
    ) -> None:
        if num_examples < 1:
            raise DataError(
                f"`{name}` must hold at least 1 readable image. "
                + received_text(num_examples=num_examples, corrupt=len(corrupt))
            )
        self.name = printable(name)
        self.split = split
        self.num_examples = int(num_examples)
        self.labels: Any
        self.labels, names = class_labels(
            labels, self.num_examples, name, classes, beside=beside
        )
        self.classes = None if names is None else tuple(map(printable, names))
        self.channels = int(channels)
        self.image_shape = image_shape
        self.largest_pixels = 0 if image_shape is None else math.prod(image_shape[:2])
        self.corrupt = list(corrupt)
        self.num_dropped = len(self.corrupt)
        self.left_out = dict(left_out)
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

    def class_name(self, label: int) -> str:
        """Name a class for a message: its name, or its number without names."""
        named = self.classes is not None and 0 <= label < len(self.classes)
        return self.classes[label] if named else str(int(label))  # type: ignore[index]

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
          DataError: if no example is left.
        """
        indices = np.asarray(indices, np.int64)
        if len(indices) < 1:
            raise DataError(
                f"A part of `{self.name}` must hold at least 1 image. "
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

    def sampled_sizes(self) -> list[tuple[int, int]]:
        """List (height, width) of some images as they are seen; [] if not known."""
        return [] if self.image_shape is None else [self.image_shape[:2]]

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

    def __init__(self, *args: Any, background: str = "white", **details: Any) -> None:
        super().__init__(*args, **details)
        self.background = rgb_of(background)

    @abc.abstractmethod
    def locations(self, ids: Array) -> tuple[Array, ...]:
        """Locate examples: int64 ids `[B]` to a tuple of NumPy arrays `[B]`."""

    @abc.abstractmethod
    def encoded_bytes(self, ids: Array) -> Array:
        """Return the bytes of examples' files: int64 ids `[B]` to int64 `[B]`."""

    def state_of_files(self) -> str:
        """Return the fingerprint, and more where the files tell when they changed.

        A cache on disk is used again only for the same state.
        """
        return self.fingerprint()

    @abc.abstractmethod
    def read_encoded(self, *location: Tensor) -> Tensor:
        """Read the file content, a scalar string, at one location (scalar tensors)."""

    def read_image(self, *location: Tensor) -> Tensor:
        """Read uint8 `[H, W, channels]` at one location (scalar tensors)."""
        encoded = self.read_encoded(*location)
        return decode_image(encoded, self.channels, self.background, self.is_plain)

    def sampled_sizes(self) -> list[tuple[int, int]]:
        return [tuple(image.shape[:2]) for image in sample_images(self)]

    @property
    def is_plain(self) -> bool:
        """Whether TensorFlow is known to decode every file to what it shows."""
        return self.formats is not None and set(self.formats) <= PLAIN_FORMATS

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
            yield decode_image(encoded, None, source.background, source.is_plain)
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
