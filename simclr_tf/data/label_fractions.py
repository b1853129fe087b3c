"""Few labels: stratified, seeded, nested subsets (1 %, 10 %, 10 a class)."""

import numpy as np

from simclr_tf.errors import DataError, received_text, require
from simclr_tf.seeding import epoch_order


def label_subset(labels, fraction=None, per_class=None, seed=0):
    """Which examples keep their label.

    The n_c examples of class c get, in a random order, the places (r + o_c) / n_c for
    r = 0 .. n_c - 1; a fraction f is everything up to place f, and at least the first
    example of each class. So class c keeps f n_c examples, rounded up or down, and for
    one seed a smaller subset lies inside a larger one. The offsets o_c are spread
    evenly over (0, 1), so that not all classes are rounded the same way.

    Args:
      labels: int array `[n]`; examples with label -1 are never chosen.
      fraction: float in (0, 1], part of the labelled examples; or
      per_class: int >= 1, examples of each class.
      seed: int.

    Returns:
      int64 NumPy array, sorted ids.

    Raises:
      ConfigError: unless exactly one of `fraction` and `per_class` is given, in range.
      DataError: if nothing is labelled, or a class has fewer than `per_class` examples.

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
        "`fraction` must lie in (0, 1].",
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
    for label, ids in members.items():
        if len(ids) < per_class:
            raise DataError(
                f"Class {label} has only {len(ids)} labelled examples; use "
                f"per_class={min(map(len, members.values()))} or less. "
                + received_text(per_class=per_class)
            )
    return np.sort(np.concatenate([ids[:per_class] for ids in members.values()]))


def _beginning(members, fraction, seed):
    # Shuffled, or rounding would favour low labels.
    ranks = epoch_order(seed, 2**31, len(members))
    offsets = (ranks + 0.5) / len(members)
    chosen = []
    for ids, offset in zip(members.values(), offsets, strict=True):
        places = (np.arange(len(ids)) + offset) / len(ids)
        chosen.append(ids[: max(1, int((places <= fraction).sum()))])
    return np.sort(np.concatenate(chosen))
