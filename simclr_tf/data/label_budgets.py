"""Label budgets: a fraction, a number a class, or a list of files."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np

from simclr_tf.array_types import Array, StrPath
from simclr_tf.errors import DataError, received_text, require
from simclr_tf.files import printable
from simclr_tf.seeding import epoch_order

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source


# The lists of SimCLR for 1 % and 10 % of ImageNet's 1,000 classes.
IMAGENET_CLASSES, IMAGENET_LISTS = 1000, (12_811, 128_116)
_NAMED = 3
TEST_FRACTION = 0.2  # Of each class, where a set has no test split.


@dataclasses.dataclass(frozen=True)
class LabelBudget:
    """The labels that a training may use; exactly one attribute is set.

    Attributes:
      fraction: float in (0, 1], of the labelled images; stratified and nested: for one
        seed, the 1 % are among the 10 %.
      per_class: int >= 1, labelled images a class, nested likewise; all of a class that
        has fewer.
      listed: path of a text file with one file name a line.
    """

    fraction: float | None = None
    per_class: int | None = None
    listed: str | None = None

    def __post_init__(self):
        given = [
            name
            for name in ("fraction", "per_class", "listed")
            if getattr(self, name) is not None
        ]
        require(
            len(given) == 1,
            "A label budget is a fraction, a number a class, or a list of file names.",
            given=given,
        )

    def subset(self, source: Source, seed: int) -> Array:
        """Choose the images of a source that keep their label.

        Args:
          source: Source with labels.
          seed: int, of the draw; a list does not depend on it.

        Returns:
          int64 NumPy array, sorted ids.

        Raises:
          DataError, ConfigError: the source does not have these labels.
        """
        if self.listed is not None:
            return listed_images(source, self.listed)
        return label_subset(
            source.labels, fraction=self.fraction, per_class=self.per_class, seed=seed
        )

    def title(self) -> str:
        """Return the title of the budget in tables.

        Example:
          >>> LabelBudget(fraction=0.01).title(), LabelBudget(per_class=10).title()
          ('1 %', '10 a class')
        """
        if self.fraction is not None:
            return f"{100 * self.fraction:.4g} %"
        if self.per_class is not None:
            return f"{self.per_class} a class"
        return pathlib.Path(str(self.listed)).name


def label_subset(
    labels: Array,
    fraction: float | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Array:
    """Choose the examples that keep their label.

    The n_c examples of class c get, in a random order, the places (r + o_c) / n_c for
    r = 0 .. n_c - 1; a fraction f takes all examples up to place f, and at least the
    first example of each class. So class c keeps f n_c examples, rounded up or down,
    and for one seed a smaller subset is part of a larger one. The offsets o_c are
    spread evenly over (0, 1), so that not all classes are rounded the same way.

    Args:
      labels: int array `[n]`; examples with label -1 are never chosen.
      fraction: float in (0, 1], part of the labelled examples; or
      per_class: int >= 1, examples of each class; all of a class that has fewer.
      seed: int.

    Returns:
      int64 NumPy array, sorted ids.

    Raises:
      ConfigError: unless exactly one of `fraction` and `per_class` is given, in range.
      DataError: if nothing is labelled, or no class has `per_class` examples.

    Example:
      >>> labels = np.repeat([0, 1], [60, 40])
      >>> np.bincount(labels[label_subset(labels, fraction=0.1)]).tolist()
      [6, 4]

    Source: the 1 % and 10 % of SimCLR (arXiv:2002.05709), Section 6, are class-balanced
    samples; their lists of ImageNet files are fixed ones (tfds `imagenet2012_subset`).
    """
    require(
        (fraction is None) != (per_class is None),
        "Give either `fraction` or `per_class`.",
        fraction=fraction,
        per_class=per_class,
    )
    require(
        fraction is None or 0 < fraction <= 1,
        "`fraction` must be in (0, 1].",
        fraction=fraction,
    )
    require(
        per_class is None or per_class >= 1,
        "`per_class` must be >= 1.",
        per_class=per_class,
    )
    labels = np.asarray(labels)
    members = {int(c): np.flatnonzero(labels == c) for c in np.unique(labels) if c >= 0}
    if not members:
        raise DataError(
            "A subset of labels needs labelled examples. "
            + received_text(examples=len(labels), labelled=0)
        )
    members = {c: ids[epoch_order(seed, c, len(ids))] for c, ids in members.items()}
    if per_class is not None:
        return _first_of_each(members, per_class)
    return _beginning(members, fraction, seed)


def _first_of_each(members, per_class):
    most = max(map(len, members.values()))
    if most < per_class:
        raise DataError(
            f"No class has {per_class} labelled examples; use per_class={most} or "
            "less. " + received_text(per_class=per_class)
        )
    return np.sort(np.concatenate([ids[:per_class] for ids in members.values()]))


def _beginning(members, fraction, seed):
    chosen = [
        ids[: max(1, int((places <= fraction).sum()))]
        for ids, places in zip(members.values(), _places(members, seed), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _places(members, seed):
    """Place the examples of each class evenly in (0, 1)."""
    # Shuffled; otherwise rounding would favour low labels.
    ranks = epoch_order(seed, 2**31, len(members))
    offsets = (ranks + 0.5) / len(members)
    return [
        (np.arange(len(ids)) + offset) / len(ids)
        for ids, offset in zip(members.values(), offsets, strict=True)
    ]


def mixed_order(labels: Array, seed: int = 0) -> Array:
    """Order examples at random, with the same mixture of classes everywhere.

    The examples of a class have the places of `label_subset`, so m consecutive ones
    of n have m / n of each class, with an error below 2.

    Args:
      labels: int array `[n]`; unlabelled examples (-1) are mixed in like a class.
      seed: int.

    Returns:
      int64 NumPy array, a permutation of 0 .. n - 1.

    Example:
      >>> order = mixed_order(np.repeat([0, 1], [60, 30]))
      >>> np.bincount(order[:45] // 60).tolist(), sorted(order) == list(range(90))
      ([30, 15], True)
    """
    labels = np.asarray(labels)
    members = {c: np.flatnonzero(labels == c) for c in np.unique(labels)}
    members = {
        c: ids[epoch_order(seed, number, len(ids))]
        for number, (c, ids) in enumerate(members.items())
    }
    places = np.concatenate(_places(members, seed))
    return np.concatenate(list(members.values()))[np.argsort(places, kind="stable")]


def hold_out(labels: Array) -> tuple[Array, Array]:
    """Choose the test images of a set without a test split: a fifth of each class.

    All verbs and the page of a run use this function, so they test on the same images.

    Args:
      labels: int array `[n]`, -1 for unlabelled; some are labelled.

    Returns:
      (learn, test): int64 arrays of rows; unlabelled rows are in neither.

    Example:
      >>> [len(rows) for rows in hold_out(np.repeat([0, 1, -1], [50, 30, 9]))]
      [64, 16]
    """
    learn = label_subset(labels, fraction=1 - TEST_FRACTION, seed=0)
    return learn, np.setdiff1d(np.flatnonzero(labels >= 0), learn)


def listed_images(source: Source, path: StrPath) -> Array:
    """Find the images whose file names a text file lists.

    A name is compared with the whole path of an image (`cats/1.jpg`, as in
    `Source.files`), and, where that is no image, without its folders:
    `n01440764_10026.JPEG`, as in the lists of 1 % and 10 % of ImageNet that SimCLR
    published. For a source with ImageNet's 1,000 classes a list of such names must have
    the length of one of these two; a shorter list is damaged.

    Args:
      source: Source of image files (`folder:PATH`), labelled.
      path: path of the list, UTF-8, one name a line, with slashes or backslashes
        between folders; empty lines are ignored.

    Returns:
      int64 NumPy array, sorted ids.

    Raises:
      DataError: the list is missing, a name is unknown, ambiguous or listed twice, an
        image has no label, the source has no file names, or the length is wrong.

    Source: arXiv:2002.05709, section 6; the authors' `imagenet_subsets/*.txt`.
    """
    names = _listed_names(path)
    _check_length(names, path, source)
    files = source.files()
    if files is None:
        raise DataError(
            "A list of file names needs images in files of their own (folder:PATH). "
            "For prepared sets use tfds:imagenet2012_subset/1pct or /10pct, or a "
            "label fraction. " + received_text(data=source.name)
        )
    whole, base = {}, {}
    for number, (file_name, *_) in enumerate(files):
        whole[file_name] = [number]
        base.setdefault(os.path.basename(file_name), []).append(number)
    ids = [_ids_of(name, whole, base) for name in names]
    found = list(zip(names, map(len, ids), strict=True))
    folders = f"; write their folders too, as in {printable(files[0][0])}"
    for what, bad, way_out in (
        ("not among", [name for name, number in found if number == 0], ""),
        (
            "more than once among",
            [name for name, number in found if number > 1],
            folders,
        ),
    ):
        if bad:
            raise DataError(
                f"{len(bad)} of {len(names)} names in {path} are {what} the images of "
                f"`{source.name}`: {_first(bad)}{way_out}."
            )
    listed, counts = np.unique(np.concatenate(ids), return_counts=True)
    twice = [files[number][0] for number in listed[counts > 1].tolist()]
    if twice:
        raise DataError(f"{path} lists images twice: {_first(twice)}.")
    unlabelled = int((source.labels[listed] < 0).sum())
    if unlabelled:
        raise DataError(f"{unlabelled} of the images listed in {path} have no label.")
    return listed


def _listed_names(path):
    """Read the lines of a list; bytes that are no UTF-8 as in names of files."""
    try:
        text = pathlib.Path(path).expanduser().read_text("utf-8-sig", "surrogateescape")
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read the list of images {path}: {error}.") from error
    if "\0" in text:
        raise DataError(f"{path} is not a text in UTF-8: save the list as UTF-8.")
    names = [line.strip() for line in text.split("\n") if line.strip()]
    if not names:
        raise DataError(f"{path} lists no images.")
    return names


def _check_length(names, path, source):
    if (
        source.num_classes == IMAGENET_CLASSES
        and re.fullmatch(r"(.*[\\/])?n\d{8}_\w+\.JPEG", names[0])
        and len(names) not in IMAGENET_LISTS
    ):
        one, ten = (f"{length:,}" for length in IMAGENET_LISTS)
        raise DataError(
            f"The lists for ImageNet have {one} (1 %) or {ten} (10 %) names; {path} "
            f"has {len(names):,}. Was it cut off?"
        )


def _ids_of(name, whole, base):
    """Find the images of a name: by its whole path, else by that of its file."""
    slashed = name.replace("\\", "/")
    for known, key in (
        (whole, name),
        (whole, slashed),
        (base, os.path.basename(name)),
        (base, os.path.basename(slashed)),
    ):
        if key in known:
            return known[key]
    return []


def _first(names):
    return ", ".join(map(printable, names[:_NAMED]))
