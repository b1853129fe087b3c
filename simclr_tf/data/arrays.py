"""Images in one array, in memory or memory-mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simclr_tf.array_types import Array, Tensor
from simclr_tf.data.host_calls import on_host
from simclr_tf.data.random_access import Source
from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import np, tf

if TYPE_CHECKING:
    from simclr_tf.data.random_access import EncodedSource


_CHUNK_BYTES = 1 << 25
_FULL_HASH_BYTES = 1 << 26
_HASHED_IMAGES = 1024


class ArraySource(Source):
    """Images of one size in one array, which may be a `numpy.memmap`.

    Args:
      name: str, for messages.
      images: uint8, or floats in [0, 1]: `[n, H, W, C]` or `[n, H, W]`.
      labels: integers `[n]`, -1 for unlabelled, or None.
      channels: int, convert to 1 or 3 channels; unchanged if None.
      origin: EncodedSource from which these images were decoded; names and fingerprint
        then come from it. None for other arrays.
      **details: `classes`, `split`, `corrupt`, `max_corrupt_fraction` of `Source`.

    Raises:
      DataError: for images or labels that cannot be used.

    Example:
      >>> source = ArraySource("mine", np.zeros([5, 8, 8, 3], np.uint8))
      >>> source.read_images(np.array([4, 0])).shape
      (2, 8, 8, 3)
    """

    def __init__(
        self,
        name: str,
        images: Any,
        labels: Any = None,
        *,
        channels: int | None = None,
        origin: EncodedSource | None = None,
        **details: Any,
    ) -> None:
        check_pixels(images, name)
        stored = 1 if images.ndim == 3 else images.shape[-1]
        channels = channels or stored
        if channels != stored and {channels, stored} != {1, 3}:
            raise DataError(
                f"`{name}` can be converted only between 1 and 3 channels. "
                + received_text(channels=channels, stored=stored)
            )
        super().__init__(
            name,
            len(images),
            channels=channels,
            labels=labels,
            image_shape=(*images.shape[1:3], channels),
            **details,
        )
        self.images = images
        self.dtype = np.dtype(np.uint8 if images.dtype == np.uint8 else np.float32)
        self._origin = origin
        if origin is not None:
            self.parts, self.slice_rule = origin.parts, origin.slice_rule
            self.why_unlabelled = origin.why_unlabelled
        self.formats = getattr(origin, "formats", None)
        self.background = getattr(origin, "background", self.background)

    def read_images(self, ids: Array) -> Array:
        """Read the pixels of some examples.

        Args:
          ids: int64 array `[B]`.

        Returns:
          `[B, H, W, channels]`: uint8 as stored, or float32 in [0, 1].
        """
        images = np.asarray(self.images[self.rows(ids)]).astype(self.dtype, copy=False)
        images = images[..., np.newaxis] if images.ndim == 3 else images
        return array_to_channels(images, self.channels)

    # As an EncodedSource: large images are read one by one.
    location_types = ("int64",)

    def locations(self, ids: Array) -> tuple[Array, ...]:
        """Locate examples: their ids."""
        return (ids,)

    def location_tensors(self, example: Tensor) -> tuple[Tensor, ...]:
        """Return the location of one example, `example` an int64 scalar tensor."""
        return (example,)

    def read_image(self, example: Tensor) -> Tensor:
        """Read `[H, W, channels]` of one example, an int64 scalar tensor."""
        image = on_host(
            lambda number: self.read_images(np.reshape(number, [1]))[0],
            [example],
            self.dtype,
        )
        return tf.ensure_shape(image, self.image_shape)

    def example_name(self, example: int) -> str:
        if self._origin is None:
            return super().example_name(example)
        return self._origin.example_name(int(self.rows(np.int64(example))))

    def files(self) -> list[tuple[str, int, int]] | None:
        if self._origin is None:
            return None
        files = self._origin.files()
        rows = self.rows(np.arange(self.num_examples))
        return None if files is None else [files[row] for row in rows.tolist()]

    def _hash_content(self, digest):
        if self._origin is not None:
            digest.update(self._origin.fingerprint().encode())
            return
        images = self.images
        digest.update(f"{images.dtype.str}{images.shape}".encode())
        if images.nbytes > _FULL_HASH_BYTES:
            images = images[
                np.linspace(0, len(images) - 1, _HASHED_IMAGES).astype(np.int64)
            ]
        digest.update(np.ascontiguousarray(images).tobytes())


def array_to_channels(images, channels):
    """Apply `to_channels` to a NumPy batch `[B, H, W, C]` of uint8 or float32.

    Example:
      >>> white = np.full([1, 2, 2, 3], 255, np.uint8)
      >>> array_to_channels(white, 1).ravel()
      array([255, 255, 255, 255], dtype=uint8)
    """
    have = images.shape[-1]
    if have == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    if images.dtype == np.uint8:
        weighted = images.astype(np.int32) * np.array([299, 587, 114], np.int32)
        total = weighted.sum(-1, keepdims=True)
        return ((total + 500) // 1000).astype(np.uint8)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.minimum((images * weights).sum(-1, keepdims=True), np.float32(1))


def channels_come_first(shape):
    """Tell whether an image's shape is [C, H, W], as PyTorch has it.

    Example:
      >>> channels_come_first((3, 32, 32)), channels_come_first((32, 32, 3))
      (True, False)
    """
    return shape[0] in (1, 3, 4) and shape[1] > 4 and shape[2] > 4


def check_pixels(images, name):
    """Refuse an image array that cannot be used for training.

    Float arrays are read once, in pieces, so that a memory-mapped file stays on disk.

    Args:
      images: NumPy array `[n, H, W, C]` or `[n, H, W]`.
      name: str, the data set, for messages.

    Raises:
      DataError: for another rank or type, empty images, NaN, or floats outside [0, 1].
    """
    if images.ndim not in (3, 4):
        raise DataError(
            f"Images of `{name}` must have shape [n, H, W, C] or [n, H, W]. "
            + received_text(shape=images.shape)
        )
    if 0 in images.shape[1:]:
        raise DataError(
            f"Images of `{name}` are empty. " + received_text(shape=images.shape)
        )
    if images.ndim == 4 and channels_come_first(images.shape[1:]):
        raise DataError(
            f"Images of `{name}` have their channels first; they must come last: use "
            "`np.moveaxis(images, 1, -1)`. " + received_text(shape=images.shape)
        )
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(
            f"Images of `{name}` must be uint8, or floats in [0, 1]; convert them, "
            "e.g. with `.astype('uint8')` if they hold 0 to 255. "
            + received_text(dtype=str(images.dtype))
        )
    low, high = np.inf, -np.inf
    rows = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        chunk = images[start : start + rows]
        smallest, largest = float(chunk.min()), float(chunk.max())
        if np.isnan(smallest):
            bad = np.isnan(chunk).any(axis=tuple(range(1, chunk.ndim)))
            raise DataError(
                f"Images of `{name}` hold NaN pixels. "
                + received_text(first_image_with_nan=start + int(bad.argmax()))
            )
        low, high = min(low, smallest), max(high, largest)
    if low < 0 or high > 1:
        raise DataError(
            f"Float images of `{name}` must be in [0, 1]; divide 0 to 255 by 255, or "
            "pass uint8. " + received_text(smallest=low, largest=high)
        )
