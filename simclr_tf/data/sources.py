"""One grammar for every data set: `open_source`."""

import difflib
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from simclr_tf.data.arrays import ArraySource, open_array_file
from simclr_tf.data.decoded import decode_into_memory
from simclr_tf.data.embedded_sets import EMBEDDED_SETS, open_embedded
from simclr_tf.data.folders import open_folder
from simclr_tf.data.image_cache import ImageCache
from simclr_tf.data.random_access import EncodedSource, Source
from simclr_tf.data.splits import cut, parse_split
from simclr_tf.data.streams import StreamSource, open_dataset
from simclr_tf.data.tfds_source import open_tfds
from simclr_tf.errors import ConfigError, DataError, received_text, require

SCHEMES = ("embedded", "tfds", "folder", "npz")
GRAMMAR = (
    *(f"embedded:{name}" for name in EMBEDDED_SETS),
    "tfds:NAME[/CONFIG]",
    "folder:PATH",
    "npz:PATH",
)
_GIBIBYTE = 1 << 30


class _Request(NamedTuple):
    """What `open_source` was asked for, apart from the data set itself."""

    name: str
    split: str
    data_dir: str | None
    channels: int | None
    max_corrupt_fraction: float
    labelled: bool | str
    memory_limit_bytes: int

    def only(self, *names):
        return {name: getattr(self, name) for name in names}


def open_source(
    spec,
    *,
    split="train",
    data_dir=None,
    channels=None,
    max_corrupt_fraction=0.01,
    labelled="auto",
    memory_limit_bytes=_GIBIBYTE,
    cache=None,
):
    """Open images, wherever they are.

    | data | `spec` |
    |---|---|
    | shipped with the package | `embedded:freedoom_12`, `embedded:fashion_mnist_10k` |
    | prepared by TensorFlow Datasets | `tfds:NAME[/CONFIG]`, in `data_dir` |
    | image files, by class or not | `folder:PATH` |
    | `x_train`, `y_train`, ... | `npz:PATH` (or a `.npy` file of images) |
    | in Python | an array, (images, labels), or a `tf.data.Dataset` |

    Args:
      spec: str as above, a NumPy array `[n, H, W, C]` or `[n, H, W]` (uint8, or floats
        in [0, 1]), a tuple (images, labels), a tf.data.Dataset of images, (image,
        label) or dicts with those keys, or a source, which is returned as it is.
      split: str, `NAME` or `NAME[FROM:TO]` in examples or per cent: `train[:10%]`.
        Arrays and data sets in Python have only `train`.
      data_dir: str or None, where TensorFlow Datasets looks.
      channels: 1, 3, or None for what the images have.
      max_corrupt_fraction: float in [0, 1], how large a part of the images may be
        unreadable.
      labelled: `auto`, True, or False; for folders and tfds, see there. False drops the
        labels of any source.
      memory_limit_bytes: int; files whose images have one size, and finite
        tf.data.Datasets, are decoded into memory once if that takes at most this much.
        0: never.
      cache: ImageCache in which images that would be read again and again are kept;
        none if None.

    Returns:
      Source; or StreamSource for a tf.data.Dataset that does not fit into memory.

    Raises:
      ConfigError: for another kind of `spec`, or an argument out of range.
      DataError: for images that are not there or cannot be used.

    Example:
      >>> open_source("embedded:freedoom_12", split="test").num_examples
      2534
      >>> open_source(np.zeros([10, 8, 8, 3], np.uint8), split="train[:50%]")
      ArraySource('array', split='train[:50%]', 5 unlabelled images, channels=3)
    """
    require(
        0 <= max_corrupt_fraction <= 1,
        "`max_corrupt_fraction` must lie in [0, 1].",
        max_corrupt_fraction=max_corrupt_fraction,
    )
    require(
        channels is None or channels >= 1, "`channels` must be >= 1.", channels=channels
    )
    require(
        labelled in ("auto", True, False),
        '`labelled` must be "auto", True or False.',
        labelled=labelled,
    )
    if isinstance(spec, (Source, StreamSource)):
        return spec
    name = spec if isinstance(spec, str) else _name_of_object(spec)
    request = _Request(
        name,
        split,
        data_dir,
        channels,
        max_corrupt_fraction,
        labelled,
        memory_limit_bytes,
    )
    open_it = _open_text if isinstance(spec, str) else _open_object
    source = open_it(spec, request)
    cache = cache or ImageCache()
    if isinstance(source, EncodedSource):
        source = decode_into_memory(source, memory_limit_bytes, cache)
    source = cache.keep(source)
    if labelled is False:
        source.without_labels()
    if labelled is True and not source.has_labels:
        raise DataError(
            "The data set has no labels. " + received_text(data=name, labelled=True)
        )
    return source


def _open_text(spec, request):
    scheme, colon, target = spec.partition(":")
    if not colon or scheme not in SCHEMES:
        raise _unknown_source(spec)
    if not target:
        raise ConfigError(
            f"`{scheme}:` must be followed by a name or a path. "
            + received_text(data=spec)
        )
    common = request.only("name", "split", "channels")
    if scheme == "embedded":
        return open_embedded(target, **common)
    if scheme == "npz":
        return open_array_file(os.path.expanduser(target), **common)
    require(
        request.channels in (None, 1, 3),
        "Image files can be read with 1 or 3 channels.",
        channels=request.channels,
    )
    common.update(request.only("max_corrupt_fraction", "labelled"))
    if scheme == "folder":
        return open_folder(os.path.expanduser(target), **common)
    return open_tfds(target, data_dir=request.data_dir, **common)


def _unknown_source(spec):
    if os.path.isdir(spec):
        near = [f"folder:{spec}"]
    elif spec.endswith((".npz", ".npy")):
        near = [f"npz:{spec}"]
    else:
        scheme = difflib.get_close_matches(spec.partition(":")[0], SCHEMES, n=1)
        near = difflib.get_close_matches(spec, GRAMMAR, n=2) or [
            form for form in GRAMMAR if form.partition(":")[0] in scheme
        ]
    hint = " or ".join(f"`{form}`" for form in near)
    hint = f" Did you mean {hint}?" if near else ""
    return ConfigError(
        f"Unknown data set.{hint} Choices: {', '.join(GRAMMAR)}. "
        + received_text(data=spec)
    )


def _name_of_object(spec):
    return "tf.data" if isinstance(spec, tf.data.Dataset) else "array"


def _open_object(spec, request):
    part, bounds = parse_split(request.split)
    if part != "train":
        raise ConfigError(
            "Data sets handed over in Python have one split, `train`; hand the test "
            "images over by themselves. " + received_text(split=request.split)
        )
    if isinstance(spec, tf.data.Dataset):
        source = open_dataset(
            spec,
            split=part,
            **request.only(
                "name", "channels", "max_corrupt_fraction", "memory_limit_bytes"
            ),
        )
        if bounds is not None and isinstance(source, StreamSource):
            raise ConfigError(
                "A stream cannot be cut; use `.take` and `.skip` on the "
                "data set. " + received_text(split=request.split)
            )
        return cut(source, bounds, request.split)
    pair = isinstance(spec, tuple) and len(spec) == 2
    images, labels = spec if pair else (spec, None)
    if not hasattr(images, "__array__"):
        raise ConfigError(
            "`data` must be a str, a NumPy array, a tuple (images, labels) or a "
            f"tf.data.Dataset. Received: data of type {type(spec).__name__}."
        )
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
    return cut(
        ArraySource(
            request.name,
            images,
            labels,
            channels=request.channels,
            split=part,
            max_corrupt_fraction=request.max_corrupt_fraction,
        ),
        bounds,
        request.split,
    )
