"""The sizes in which the images of a data set are stored, from a few of them."""

from __future__ import annotations

import dataclasses
import os
import statistics
from typing import Any

from simclr_tf.data.folder_layout import (
    entries,
    folder_of_split,
    is_folder,
    is_image_name,
)
from simclr_tf.data.opening import kind_of, open_source
from simclr_tf.data.pillow_images import shown_size
from simclr_tf.data.sources import SOURCES
from simclr_tf.data.sources.joined import parts_of
from simclr_tf.data.sources.kind import parse_split
from simclr_tf.errors import SimCLRError
from simclr_tf.lazy import tf

_SAMPLE, _MOST_FILES = 64, 20_000


@dataclasses.dataclass(frozen=True)
class StoredSizes:
    """Sizes of some images of a data set.

    Attributes:
      sizes: tuple of (height, width), one an image that was looked at.
      is_grey: bool, whether none of them has colours.
    """

    sizes: tuple[tuple[int, int], ...]
    is_grey: bool

    @property
    def shorter(self) -> int:
        """int, the median of the shorter sides."""
        return int(statistics.median(min(size) for size in self.sizes))

    def text(self) -> str:
        """Describe them: `32 x 32 pixels`, or the median of several sizes.

        Example:
          >>> StoredSizes(((384, 512), (100, 90), (400, 600)), False).text()
          'about 384 x 512 pixels (the median of 3)'
        """
        if len(set(self.sizes)) == 1:
            return "{} x {} pixels".format(*self.sizes[0])
        height, width = (
            int(statistics.median(side)) for side in zip(*self.sizes, strict=True)
        )
        number = len(self.sizes)
        return f"about {height} x {width} pixels (the median of {number})"


def stored_sizes(
    spec: Any, *, split: str = "train", data_dir: str | None = None
) -> StoredSizes | None:
    """Find the sizes of a few images of a data set.

    Of image files in a folder only the headers are read.

    Args:
      spec: as for `open_source`.
      split, data_dir: as for `open_source`.

    Returns:
      StoredSizes; None where they cannot be found. Opening the data set then tells why.

    Example:
      >>> stored_sizes("embedded:freedoom_12")
      StoredSizes(sizes=((32, 32),), is_grey=False)
    """
    parts = parts_of(spec, SOURCES) if isinstance(spec, str) else [spec]
    if len(parts) > 1:
        found = [stored_sizes(one, split=split, data_dir=data_dir) for one in parts]
        known = [part for part in found if part is not None]
        sizes = [size for part in known for size in part.sizes]
        return _as_sizes(sizes, [part.is_grey for part in known])
    try:
        if are_folders(spec):
            path = os.path.expanduser(kind_of(spec)[1])
            folder, _ = folder_of_split(path, parse_split(split)[0], spec)
            return _sizes_of_files(folder)
        if isinstance(spec, tf.data.Dataset):
            return None
        source = open_source(
            spec, split=split, data_dir=data_dir, labelled=False, memory_limit_bytes=0
        )
        return _as_sizes(source.sampled_sizes(), [source.channels == 1])
    except (SimCLRError, OSError, tf.errors.OpError):
        return None


def are_folders(spec: Any) -> bool:
    """Tell whether the headers of files are enough, for which TensorFlow stays out.

    Example:
      >>> are_folders("folder:a + folder:b"), are_folders("npz:a.npz")
      (True, False)
    """
    return isinstance(spec, str) and all(
        part.startswith("folder:") for part in parts_of(spec, SOURCES)
    )


def _sizes_of_files(folder):
    """Read the headers of some files, from all parts of a folder."""
    paths, seen, pending = [], set(), [folder]
    while pending and len(paths) <= _MOST_FILES:
        inside = pending.pop()
        identity = os.stat(inside)[1:3]  # Links may lead in a circle.
        if identity in seen:
            continue
        seen.add(identity)
        found = sorted(entries(inside), key=lambda entry: entry.name, reverse=True)
        pending += [entry.path for entry in found if is_folder(entry)]
        # Of a pipe, even the header would never come.
        paths += [
            entry.path
            for entry in reversed(found)
            if is_image_name(entry.name) and os.path.isfile(entry.path)
        ]
    found = [shown_size(path) for path in _spread(paths)]
    found = [size for size in found if size is not None]
    return _as_sizes([size for size, _ in found], [grey for _, grey in found])


def _spread(items):
    step = max(1, len(items) // _SAMPLE)
    return list(items[::step][:_SAMPLE])


def _as_sizes(sizes, greys):
    return StoredSizes(tuple(sizes), all(greys)) if sizes else None
