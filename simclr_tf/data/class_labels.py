"""Labels of users: class numbers, names, one-hot rows; and one numbering for several.

Networks and probes have an output for each class, so classes are counted: labels become
numbers from 0, and what users wrote remains as the names of the classes.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simclr_tf.array_types import Array
from simclr_tf.errors import DataError, received_text
from simclr_tf.lazy import np

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source


_log = logging.getLogger("simclr_tf")
MOST_CLASSES = 2**20
# Numbers below this remain as they are, also if most of them are not used.
_SMALL = 1024
_ANYWAY = "Or train without labels: --data.labels=none."


def class_labels(
    labels: Any,
    num_examples: int,
    name: str,
    classes: Sequence[str] | None = None,
    *,
    beside: Sequence[Any] = (),
) -> tuple[Array | None, tuple[str, ...] | None]:
    """Check labels from users, and convert them to class numbers.

    - Integers, floats without a fraction, and booleans are the numbers of the classes.
      If most numbers up to the largest are not used, the classes are counted in their
      order, and the numbers become their names.
    - Strings become names; their classes are counted in alphabetical order.
    - One-hot rows of 0 and 1: the column of the 1.
    - -1, NaN, None and "" mean unlabelled.

    Args:
      labels: None, or `[n]` or `[n, 1]` or `[n, C]` as above.
      num_examples: int, n.
      name: str, the data set, for messages.
      classes: names of the classes 0, 1, ...; None if they have none.
      beside: labels of other splits of the data set, which are numbered together with
        these.

    Returns:
      (int64 NumPy array `[n]`, -1 where unlabelled; tuple of names or None), or
      (None, names).

    Raises:
      DataError: labels of another form, or several classes for one image.

    Example:
      >>> class_labels([[2], [0]], 2, "mine")
      (array([2, 0]), None)
      >>> class_labels(["dog", "cat", ""], 3, "mine")
      (array([ 1,  0, -1]), ('cat', 'dog'))
      >>> class_labels([7, 2_000_000, -1, 7], 4, "mine")
      (array([ 0,  1, -1,  0]), ('7', '2000000'))
    """
    names = None if classes is None else tuple(str(one) for one in classes)
    if labels is None:
        return None, names
    flat = _one_value_each(labels, name)
    if len(flat) != num_examples:
        raise DataError(
            f"`{name}` must have one label for each image. "
            + received_text(images=num_examples, labels=len(flat))
        )
    everything = np.concatenate([flat, *_usable(beside, name)])
    if everything.dtype.kind == "U":
        return _numbers_of_names(flat, everything, names, name)
    return _counted(flat, everything, names, name)


def _usable(beside, name):
    """Yield the labels of other splits, but those that would be refused."""
    for labels in beside:
        try:
            yield _one_value_each(labels, name)
        except DataError:
            continue  # The message comes when that split is opened.


def _one_value_each(labels, name):
    """Return labels of any form as int64 or str `[n]`."""
    labels = _as_array(labels, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "biuf":
        return _columns_of_ones(labels, name)
    if labels.ndim != 1 or labels.dtype.kind not in "biufUS":
        raise DataError(
            f"Labels of `{name}` must be numbers or names of shape [n], or one-hot "
            f"rows [n, classes]. {_ANYWAY} "
            + received_text(shape=labels.shape, dtype=str(labels.dtype))
        )
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "f":
        labels = _without_fractions(labels, name)
    if labels.dtype.kind == "u" and labels.size and labels.max() >= 2**63:
        return labels.astype(str)
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _as_array(labels, name):
    """Return an array; objects, as pandas has them, become names or numbers."""
    array = np.asarray(labels)
    if array.dtype.kind != "O":
        return array
    missing = np.array([one is None or one != one for one in array.ravel()], bool)
    known = array.ravel()[~missing].tolist()
    if all(isinstance(one, (str, bytes)) for one in known):
        texts = [one.decode() if isinstance(one, bytes) else one for one in known]
        filled = np.full(missing.shape, "", np.array(texts or [""]).dtype)
        filled[~missing] = texts
        return filled.reshape(array.shape)
    filled = np.full(missing.shape, np.nan)
    try:
        filled[~missing] = known
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Labels of `{name}` must all be numbers, or all be names. {_ANYWAY} "
            + received_text(label=known[0], another=known[-1])
        ) from error
    return filled.reshape(array.shape)


def _without_fractions(labels, name):
    missing = np.isnan(labels)
    numbers = np.where(missing, -1, labels)
    broken = np.flatnonzero((numbers != np.round(numbers)) | (abs(numbers) >= 2**53))
    if len(broken):
        raise DataError(
            f"Labels of `{name}` must be classes, not quantities. Make classes of "
            "them, e.g. two with `labels > np.median(labels)`. "
            f"{_ANYWAY} " + received_text(label=float(labels[broken[0]]))
        )
    return numbers.astype(np.int64)


def _columns_of_ones(labels, name):
    """Return the column of the only 1 in each row."""
    if not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"Rows of labels of `{name}` must be one-hot. For the largest of each row "
            "take `labels.argmax(axis=1)`. " + received_text(shape=labels.shape)
        )
    ones = (labels != 0).sum(axis=1)
    if (ones > 1).any():
        raise DataError(
            f"{(ones > 1).sum()} of {len(ones)} images of `{name}` have several "
            "classes, and probes take one: choose a column, `labels[:, 0]` (in it or "
            f"not), or one class of each, `labels.argmax(axis=1)`. {_ANYWAY} "
            + received_text(shape=labels.shape, row=int(ones.argmax()))
        )
    if (ones == 0).any():
        raise DataError(
            f"{(ones == 0).sum()} of {len(ones)} images of `{name}` have no 1 in their "
            "row. If they are unlabelled: `np.where(labels.any(axis=1), "
            "labels.argmax(axis=1), -1)`; if none is a class of its own: "
            "`np.where(labels.any(axis=1), labels.argmax(axis=1), labels.shape[1])`. "
            + received_text(shape=labels.shape, row=int(ones.argmin()))
        )
    return labels.argmax(axis=1).astype(np.int64)


def _numbers_of_names(flat, everything, names, name):
    found = [str(one) for one in np.unique(everything) if one]
    if names is not None and set(found) <= set(names):
        found = list(names)
    _require_countable(len(found), name)
    numbers = {one: number for number, one in enumerate(found)} | {"": -1}
    return np.array([numbers[str(one)] for one in flat], np.int64), tuple(found)


def _counted(flat, everything, names, name):
    used = np.unique(everything)
    if len(used) and used[0] < -1:
        raise DataError(
            f"Labels of `{name}` must be >= 0, or -1 for unlabelled. Number the "
            "classes from 0, e.g. with `np.unique(labels, return_inverse=True)[1]`. "
            + received_text(smallest=int(used[0]))
        )
    if used.tolist() == [-1, 1]:
        _log.warning(
            "The labels of `%s` are -1 and 1, and -1 means unlabelled. If it is a "
            "class, pass `(labels + 1) // 2`.",
            name,
        )
    used = used[used >= 0]
    _require_countable(len(used), name)
    largest = int(used[-1]) if len(used) else -1
    if largest < max(_SMALL, 2 * len(used), len(names or ())):
        return flat.astype(np.int64), names
    numbers = np.where(flat == -1, -1, np.searchsorted(used, flat))
    known = names or ()
    ids = [int(one) for one in used]
    return numbers.astype(np.int64), tuple(
        known[one] if one < len(known) else str(one) for one in ids
    )


def _require_countable(number, name):
    if number > MOST_CLASSES:
        raise DataError(
            f"`{name}` must have at most {MOST_CLASSES:,} classes. Are its labels "
            f"numbers of the images? {_ANYWAY} " + received_text(classes=number)
        )


def same_numbering(*sources: Source) -> tuple[Source, ...]:
    """Give labelled sources the same class numbers, by the names of their classes.

    The classes of the first source keep their numbers; others follow in their order.
    A source without names has numbers as names, unless only some sources have names:
    then its numbers count along the names of the others.

    Args:
      *sources: Source, some perhaps unlabelled.

    Returns:
      tuple of Source: the sources themselves where nothing changes, else copies.

    Example:
      >>> from simclr_tf.data import open_source
      >>> images = np.zeros([2, 8, 8, 3], np.uint8)
      >>> sources = [open_source((images, ["dog", x])) for x in ("cat", "elk")]
      >>> one, two = same_numbering(*sources)
      >>> two.labels, two.classes
      (array([1, 2]), ('cat', 'dog', 'elk'))
    """
    named = next((s.classes for s in sources if s.classes is not None), None)
    if named is None or all(source.labels is None for source in sources):
        return sources
    own = [_names_of(source, named) for source in sources]
    merged = {one: number for number, one in enumerate(dict.fromkeys(sum(own, [])))}
    return tuple(
        _renumbered(source, tuple(merged), [merged[one] for one in names])
        for source, names in zip(sources, own, strict=True)
    )


def _names_of(source, named):
    """List the name of each class number of a source, `named` being another's names."""
    numbers = range(source.num_classes or 0)
    if source.classes is None and not all(one.isdecimal() for one in named):
        return [named[n] if n < len(named) else str(n) for n in numbers]
    return [source.class_name(number) for number in numbers]


def _renumbered(source, classes, numbers):
    """Return a source with other class numbers and names; itself if they are equal."""
    is_same = source.classes == classes and numbers == list(range(len(numbers)))
    if source.labels is None or is_same:
        return source
    changed = copy.copy(source)
    changed.classes = classes
    # One more number, for the label -1.
    changed.labels = np.array([*numbers, -1], np.int64)[source.labels]
    return changed
