"""Images in memory, or memory-mapped from `.npz` and `.npy` files."""

import os
import struct
import zipfile
import zlib

import numpy as np

from simclr_tf.data.pixels import array_to_channels, check_pixels
from simclr_tf.data.random_access import Source
from simclr_tf.data.splits import cut, parse_split
from simclr_tf.errors import DataError, received_text

_FULL_HASH_BYTES = 1 << 26
_HASHED_IMAGES = 1024


class ArraySource(Source):
    """Images of one size in one array, which may be a `numpy.memmap`.

    Args:
      name: str, for messages.
      images: uint8, or floats in [0, 1]: `[n, H, W, C]` or `[n, H, W]`.
      labels: integers `[n]`, -1 for unlabelled, or None.
      channels: int, convert to 1 or 3 channels; as they are by default.
      origin: EncodedSource these images were decoded from, which then names them and
        identifies their content; None for arrays in their own right.
      **details: `classes`, `split`, `corrupt`, `max_corrupt_fraction` of `Source`.

    Raises:
      DataError: for images or labels that cannot be used.

    Example:
      >>> source = ArraySource("mine", np.zeros([5, 8, 8, 3], np.uint8))
      >>> source.read_images(np.array([4, 0])).shape
      (2, 8, 8, 3)
    """

    def __init__(
        self, name, images, labels=None, *, channels=None, origin=None, **details
    ):
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

    def read_images(self, ids):
        """Pixels of some examples.

        Args:
          ids: int64 array `[B]`.

        Returns:
          `[B, H, W, channels]`: uint8 as stored, or float32 in [0, 1].
        """
        images = np.asarray(self.images[self.rows(ids)]).astype(self.dtype, copy=False)
        images = images[..., np.newaxis] if images.ndim == 3 else images
        return array_to_channels(images, self.channels)

    def example_name(self, example):
        if self._origin is None:
            return super().example_name(example)
        return self._origin.example_name(self.rows(np.int64(example)))

    def files(self):
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


def open_array_file(path, *, name, split, channels):
    """`npz:PATH`: `x_{split}` and optional `y_{split}` and `classes`; or an `.npy`.

    Members stored uncompressed (`numpy.savez`) and `.npy` files are memory-mapped:
    their pixels stay on disk until they are asked for. Compressed members are loaded.

    Args:
      path: str, a file.
      name: str, the data set as the user wrote it.
      split: str, e.g. `train` or `test[:10%]`; an `.npy` file has only `train`.
      channels: int or None, see `ArraySource`.

    Returns:
      ArraySource.

    Raises:
      DataError: if the file is missing, unreadable, or lacks the keys.
    """
    if not os.path.isfile(path):
        raise DataError(f"No such file. {received_text(data=name)}")
    part, bounds = parse_split(split)
    try:
        arrays = _read_arrays(path, part, name)
    except DataError:
        raise
    except (
        ValueError,
        OSError,
        EOFError,
        RuntimeError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            f"`{name}` is not an array file that NumPy can read without pickle "
            f"({str(error).splitlines()[0]}). " + received_text(data=name)
        ) from error
    images, labels, classes = arrays
    source = ArraySource(
        name, images, labels, classes=classes, channels=channels, split=part
    )
    return cut(source, bounds, split)


def _read_arrays(path, part, name):
    if not zipfile.is_zipfile(path):
        if part != "train":
            raise DataError(
                "An `.npy` file has one split, `train`. "
                + received_text(data=name, split=part)
            )
        return np.load(path, mmap_mode="r", allow_pickle=False), None, None
    with np.load(path, allow_pickle=False) as archive:
        present = sorted(archive.files)
        key = f"x_{part}"
        if key not in present:
            raise DataError(
                f"`{name}` has no array `{key}` for split `{part}`; save it with "
                f"`numpy.savez(path, {key}=images)`. " + received_text(keys=present)
            )
        images = mapped_member(path, f"{key}.npy")
        images = archive[key] if images is None else images
        labels = archive[f"y_{part}"] if f"y_{part}" in present else None
        classes = archive["classes"] if "classes" in present else None
    return images, labels, classes


def mapped_member(path, member):
    """Memory-map an array that lies uncompressed inside a zip file.

    Args:
      path: str, the `.npz` file.
      member: str, e.g. `x_train.npy`.

    Returns:
      numpy.memmap, read-only; None if the member is compressed, empty or holds
      Python objects.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran_order, dtype = read_header(stream)
            header_bytes = stream.tell()
    if dtype.hasobject or 0 in shape:
        return None
    with open(path, "rb") as stream:
        # A zip entry repeats its name and extra field, of its own lengths, in front
        # of the data (fixed part: 30 bytes, the two lengths are its last words).
        stream.seek(info.header_offset + 26)
        name_bytes, extra_bytes = struct.unpack("<HH", stream.read(4))
    offset = info.header_offset + 30 + name_bytes + extra_bytes + header_bytes
    return np.memmap(
        path,
        dtype=dtype,
        mode="r",
        offset=offset,
        shape=shape,
        order="F" if fortran_order else "C",
    )
