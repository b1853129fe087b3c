"""Several data sets as one: `folder:A + folder:B`, or `--data` given several times."""

import dataclasses
import hashlib
import itertools
import logging
import os
import re

from simclr_tf.data.arrays import ArraySource
from simclr_tf.data.class_labels import same_numbering
from simclr_tf.data.random_access import EncodedSource, Source
from simclr_tf.data.sources.kind import SourceKind, cut, parse_split
from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import np

_log = logging.getLogger("simclr_tf")


def parts_of(spec, schemes):
    """Split the value of `--data` into data sets.

    Args:
      spec: str.
      schemes: the names before the colons; a `+` elsewhere is part of a path.

    Returns:
      list of str, one for most values.

    Example:
      >>> parts_of("folder:a + b + npz:c.npz", ["folder", "npz"])
      ['folder:a + b', 'npz:c.npz']
    """
    schemes = "|".join(map(re.escape, schemes))
    return re.split(rf"\s*\+\s*(?=(?:{schemes}):)", spec)


class Joined(SourceKind):
    """Data sets that are opened as one, in the order in which they are named.

    Args:
      kinds: list of (SourceKind, str, str): kind, target, and `--data` of each.
    """

    def __init__(self, kinds):
        self._kinds = kinds
        self.may_hold_out = all(kind.may_hold_out for kind, *_ in kinds)

    def require_packages(self):
        for kind, *_ in self._kinds:
            kind.require_packages()

    def split_names(self, target, data_dir=None):
        """List the splits that all of the data sets have; log which only some have."""
        each = [set(k.split_names(inner, data_dir)) for k, inner, _ in self._kinds]
        common = set.intersection(*each)
        for (*_, spec), names in zip(self._kinds, each, strict=True):
            if names - common:
                _log.warning(
                    "Splits of `%s` that not all of the joined data sets have, so "
                    "they cannot be used together: %s.",
                    spec,
                    ", ".join(sorted(names - common)),
                )
        return sorted(common) or ["train"]

    def open(self, target, request):
        """Open all data sets: JoinedFiles or JoinedArrays.

        Labels are merged by the names of the classes; a data set without labels is the
        unlabelled part. A slice is cut from all images together, except if one data
        set cuts its own.
        """
        bounds, inner = None, request
        if not any(kind.has_own_slices for kind, *_ in self._kinds):
            part, bounds = parse_split(request.split)
            inner = dataclasses.replace(request, split=part)
        sources = self._open_each(inner)
        self._refuse_the_same(sources)
        channels = max(source.channels for source in sources)
        if any(source.channels != channels for source in sources):
            sources = self._open_each(dataclasses.replace(inner, channels=channels))
        return cut(self._join(sources, request.name), bounds, request)

    def _open_each(self, request):
        return [
            kind.open(target, dataclasses.replace(request, name=spec))
            for kind, target, spec in self._kinds
        ]

    def _refuse_the_same(self, sources):
        """Raise DataError where images are in two of the data sets."""
        places = [
            os.path.realpath(os.path.expanduser(getattr(source, "folder", target)))
            for (_, target, _), source in zip(self._kinds, sources, strict=True)
        ]
        for one, other in itertools.permutations(range(len(places)), 2):
            is_folder = hasattr(sources[one], "folder")
            if places[one] == places[other] or (
                is_folder and places[other].startswith(os.path.join(places[one], ""))
            ):
                outer, inner = self._kinds[one][2], self._kinds[other][2]
                raise DataError(
                    f"The images of `{inner}` are among those of `{outer}`: a data set "
                    f"is named twice. Leave `{inner}` out."
                )

    def _join(self, sources, name):
        prefixes = _prefixes([target for _, target, _ in self._kinds], sources)
        if all(isinstance(source, ArraySource) for source in sources):
            if len({(s.image_shape, s.dtype) for s in sources}) == 1:
                return JoinedArrays(name, sources, prefixes)
            raise DataError(
                "Arrays must have one size and type to be one data set. "
                + received_text(
                    **{
                        f"data_{place}": f"{s.name} {s.image_shape} {s.dtype}"
                        for place, s in enumerate(sources, 1)
                    }
                )
            )
        if len({type(source) for source in sources}) == 1:
            return JoinedFiles(name, sources, prefixes)
        raise DataError(
            "Only data sets of one kind can be one: folders, arrays, or sets of "
            "TensorFlow Datasets. " + received_text(data=name)
        )


def _prefixes(targets, sources):
    """Name each data set before the names of its images, as shortly as is clear."""
    paths = [
        os.path.normpath(getattr(source, "folder", target))
        for target, source in zip(targets, sources, strict=True)
    ]
    short = [os.path.basename(path) for path in paths]
    names = short if len(set(short)) == len(short) else paths
    return [f"{name}/".replace(os.sep, "/") for name in names]


class _Parts(Source):
    """What joined files and joined arrays share: names, labels, fingerprint.

    Attributes:
      parts: tuple of Source, whole; ids of the joined source count through them.
    """

    def _join(self, name, sources, prefixes):
        self.parts = same_numbering(*sources)
        self._prefixes = prefixes
        self._ends = np.cumsum([part.num_examples for part in self.parts])
        named = next((p for p in self.parts if p.labels is not None), None)
        labels = [
            np.full(p.num_examples, -1) if p.labels is None else p.labels
            for p in self.parts
        ]
        first = self.parts[0]
        Source.__init__(
            self,
            name,
            int(self._ends[-1]),
            channels=first.channels,
            labels=None if named is None else np.concatenate(labels),
            classes=None if named is None else named.classes,
            split=first.split,
            image_shape=getattr(first, "image_shape", None),
            corrupt=[n + one for n, p in self._named() for one in p.corrupt],
            left_out={
                n + k: why for n, p in self._named() for k, why in p.left_out.items()
            },
            max_corrupt_fraction=first.max_corrupt_fraction,
        )
        self.why_unlabelled = next(
            filter(None, (p.why_unlabelled for p in sources)), ""
        )
        self.largest_pixels = max(part.largest_pixels for part in self.parts)

    def _named(self):
        return zip(self._prefixes, self.parts, strict=True)

    def _places(self, ids):
        """Yield (part, places among `ids`, ids in the part) of the parts in `ids`."""
        rows = np.asarray(self.rows(np.asarray(ids, np.int64)))
        owners = np.searchsorted(self._ends, rows, side="right")
        for owner in np.unique(owners):
            part = self.parts[owner]
            places = np.flatnonzero(owners == owner)
            yield part, places, rows[places] - self._ends[owner] + part.num_examples

    def example_name(self, example):
        row = int(self.rows(np.int64(example)))
        owner = int(np.searchsorted(self._ends, row, side="right"))
        part = self.parts[owner]
        inside = row - int(self._ends[owner]) + part.num_examples
        return self._prefixes[owner] + part.example_name(inside)

    def files(self):
        listed = [part.files() for part in self.parts]
        if any(files is None for files in listed):
            return None
        every = [
            (prefix + name, *rest)
            for prefix, files in zip(self._prefixes, listed, strict=True)
            for name, *rest in files
        ]
        return [every[row] for row in self.rows(np.arange(self.num_examples))]

    def sampled_sizes(self):
        return [size for part in self.parts for size in part.sampled_sizes()]

    def _hash_content(self, digest):
        for part in self.parts:
            digest.update(part.fingerprint().encode())


class JoinedFiles(_Parts, EncodedSource):
    """Images in files of several sources of one class."""

    def __init__(self, name, sources, prefixes):
        self._join(name, sources, prefixes)
        self.location_types = self.parts[0].location_types
        formats = [part.formats for part in self.parts]
        self.background = self.parts[0].background
        known = all(one is not None for one in formats)
        self.formats = set().union(*formats) if known else None

    def locations(self, ids):
        columns = None
        for part, places, inside in self._places(ids):
            found = part.locations(inside)
            if columns is None:
                columns = [np.empty(len(ids), object) for _ in found]
            for column, values in zip(columns, found, strict=True):
                column[places] = values
        # The arrays of bytes become as long as the longest.
        return tuple(np.array(column.tolist()) for column in columns)

    def encoded_bytes(self, ids):
        sizes = np.zeros(len(ids), np.int64)
        for part, places, inside in self._places(ids):
            sizes[places] = part.encoded_bytes(inside)
        return sizes

    def state_of_files(self):
        states = [self.fingerprint(), *(part.state_of_files() for part in self.parts)]
        return hashlib.sha256("".join(states).encode()).hexdigest()

    def read_encoded(self, *location):
        return self.parts[0].read_encoded(*location)


class JoinedArrays(_Parts, ArraySource):
    """Images of one size in several arrays, each where it was."""

    def __init__(self, name, sources, prefixes):
        self._join(name, sources, prefixes)
        self.dtype = self.parts[0].dtype

    def read_images(self, ids):
        images = np.empty((len(ids), *self.image_shape), self.dtype)
        for part, places, inside in self._places(ids):
            images[places] = part.read_images(inside)
        return images
