"""`open_source`: opens any kind of data set, by the text of `--data`."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from simclr_tf.config.schema import JOINED
from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.cache import ImageCache, decode_into_memory
from simclr_tf.data.random_access import EncodedSource, Source
from simclr_tf.data.sources import SOURCES
from simclr_tf.data.sources.joined import Joined, parts_of
from simclr_tf.data.sources.kind import Request, cut, parse_split
from simclr_tf.data.streams import StreamSource, open_dataset
from simclr_tf.errors import ConfigError, DataError, received_text
from simclr_tf.lazy import np, tf

if TYPE_CHECKING:
    from simclr_tf.data.sources.kind import SourceKind


LICENCES = {
    f"{scheme}:{target}": licence
    for scheme, kind in SOURCES.items()
    for target, licence in kind.licences.items()
}
_GIBIBYTE = 1 << 30


def open_source(
    spec: Any,
    *,
    split: str = "train",
    data_dir: str | None = None,
    channels: int | None = None,
    max_corrupt_fraction: float = 0.01,
    labelled: bool | str = "auto",
    slices: str = "stratified",
    memory_limit_bytes: int = _GIBIBYTE,
    cache: ImageCache | None = None,
    background: str = "white",
) -> Source | StreamSource:
    """Open a data set of any kind.

    | data | `spec` |
    |---|---|
    | a kind of `simclr_tf.data.SOURCES` | `folder:PATH`, `embedded:freedoom_12` |
    | several of one kind as one | `folder:A + folder:B`, or a list |
    | in Python | an array, (images, labels), or a `tf.data.Dataset` |

    Args:
      spec: str as above, a NumPy array `[n, H, W, C]` or `[n, H, W]` (uint8, or floats
        in [0, 1]), a tuple (images, labels), a tf.data.Dataset of images, (image,
        label) or dicts with those keys, or a source, which is returned unchanged.
      split: str, `NAME` or `NAME[FROM:TO]` in examples or per cent: `train[:10%]`.
        Arrays and data sets in Python have only `train`.
      data_dir: str or None, folder of TensorFlow Datasets.
      channels: 1, 3, or None for the channels of the images.
      max_corrupt_fraction: float in [0, 1], fraction of the images that may be
        unreadable.
      labelled: `auto`, True, or False. For folders and tfds, see there. False drops
        the labels of any source.
      slices: `stratified`: a part such as `train[:10%]` is a fixed random sample with
        its share of each class; the parts on both sides of a cut have no image in
        common. `in_order`: it is cut from the images in their own order. tfds always
        has its own rule.
      memory_limit_bytes: int; image files of one size, and finite tf.data.Datasets, are
        decoded into memory if they take at most this many bytes. 0: never.
      cache: ImageCache for images that would be read from files in every epoch; None
        for no cache.

      background: str, the colour that shows where image files are transparent: a name,
        or `#rrggbb`.

    Returns:
      Source; or StreamSource for a tf.data.Dataset that does not fit into memory.

    Raises:
      ConfigError: for another kind of `spec`, or an argument out of range.
      DataError: the images are missing or cannot be used.

    Example:
      >>> open_source("embedded:freedoom_12", split="test").num_examples
      2534
      >>> open_source(np.zeros([10, 8, 8, 3], np.uint8), split="train[:50%]")
      ArraySource('array', split='train[:50%]', 5 unlabelled images, channels=3)
    """
    if isinstance(spec, list) and spec and all(isinstance(s, str) for s in spec):
        spec = JOINED.join(spec)
    is_text = isinstance(spec, str)
    request = Request(
        spec if is_text else _name_of_object(spec),
        split,
        data_dir,
        channels,
        max_corrupt_fraction,
        labelled,
        memory_limit_bytes,
        slices,
        background=background,
    )
    if isinstance(spec, (Source, StreamSource)):
        return spec
    source = _open_text(spec, request) if is_text else _open_object(spec, request)
    cache = cache or ImageCache()
    if isinstance(source, EncodedSource):
        source = decode_into_memory(source, memory_limit_bytes, cache)
    source = cache.keep(source)
    if labelled is False:
        source.without_labels()
    if labelled is True and not source.has_labels:
        raise DataError(
            "The data set has no labels. "
            + received_text(data=request.name, labelled=True)
        )
    return source


def kind_of(spec: str) -> tuple[SourceKind, str]:
    """Find the kind of a data set.

    Args:
      spec: str in the grammar of `--data`.

    Returns:
      (SourceKind, str): the kind, and what follows the colon; of several data sets,
      `Joined` and all of the text.

    Raises:
      ConfigError: an unknown scheme; the message names the nearest.

    Example:
      >>> kind, target = kind_of("folder:photos")
      >>> kind.may_hold_out, target
      (True, 'photos')
    """
    parts = parts_of(spec, SOURCES)
    if len(parts) > 1:
        return Joined([(*kind_of(part), part) for part in parts]), spec
    scheme, colon, target = spec.partition(":")
    if not colon or scheme not in SOURCES:
        raise _unknown_source(spec)
    if not target:
        raise ConfigError(
            f"`{scheme}:` must be followed by a name or a path. "
            + received_text(data=spec)
        )
    return SOURCES[scheme], target


def licence_of(spec: str) -> str | None:
    """Find the licence of images.

    Args:
      spec: str in the grammar of `--data`, or any other name.

    Returns:
      str, or None if it is not known.

    Example:
      >>> licence_of("tfds:fashion_mnist:3.*.*")
      'MIT, Copyright (c) 2017 Zalando SE, https://tech.zalando.com'
      >>> licence_of("folder:photos") is None
      True
    """
    parts = parts_of(spec, SOURCES)
    if len(parts) > 1:
        each = list(dict.fromkeys(map(licence_of, parts)))
        return None if None in each else "; ".join(map(str, each))
    scheme, _, target = spec.partition(":")
    if scheme not in SOURCES:
        return None
    # The licence does not depend on the version of a data set.
    name = target.partition("@")[0].partition(":")[0]
    return SOURCES[scheme].licences.get(name)


def _open_text(spec, request):
    kind, target = kind_of(spec)
    kind.require_packages()
    if request.labelled is False and "[" in request.split:
        # A slice holds the same images with its labels and without.
        try:
            return kind.open(target, dataclasses.replace(request, labelled="auto"))
        except DataError:
            pass  # Labels that cannot be used: nothing can be sliced by them.
    return kind.open(target, request)


def _unknown_source(spec):
    forms = [form for kind in SOURCES.values() for form in kind.forms]
    near = [f"{s}:{spec}" for s, kind in SOURCES.items() if kind.recognises(spec)]
    if not near:
        scheme = difflib.get_close_matches(spec.partition(":")[0], SOURCES, n=1)
        near = difflib.get_close_matches(spec, forms, n=2) or [
            form for form in forms if form.partition(":")[0] in scheme
        ]
    hint = " or ".join(f"`{form}`" for form in near)
    hint = f" Did you mean {hint}?" if near else ""
    return ConfigError(
        f"Unknown data set.{hint} Choices: {', '.join(forms)}. "
        + received_text(data=spec)
    )


def _name_of_object(spec):
    return "tf.data" if isinstance(spec, tf.data.Dataset) else "array"


def _open_object(spec, request):
    part, bounds = parse_split(request.split)
    if part != "train":
        raise ConfigError(
            "Data sets from Python have one split, `train`; pass the test images "
            "separately. " + received_text(split=request.split)
        )
    if isinstance(spec, tf.data.Dataset):
        source = open_dataset(
            spec,
            name=request.name,
            split=part,
            channels=request.channels,
            max_corrupt_fraction=request.max_corrupt_fraction,
            memory_limit_bytes=request.memory_limit_bytes,
        )
        if bounds is not None and isinstance(source, StreamSource):
            raise ConfigError(
                "A stream has no parts; use `.take` and `.skip` on the "
                "data set. " + received_text(split=request.split)
            )
        return cut(source, bounds, request)
    pair = isinstance(spec, tuple) and len(spec) == 2
    images, labels = spec if pair else (spec, None)
    if not hasattr(images, "__array__"):
        raise ConfigError(
            "`data` must be a str, a NumPy array, a tuple (images, labels) or a "
            f"tf.data.Dataset. Received: data of type {type(spec).__name__}."
        )
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
    source = ArraySource(
        request.name,
        images,
        labels,
        channels=request.channels,
        split=part,
        max_corrupt_fraction=request.max_corrupt_fraction,
    )
    return cut(source, bounds, request)
