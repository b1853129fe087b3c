"""Groups of near-duplicates: images that are linked by similar features."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from simclr_tf.array_types import Array
from simclr_tf.errors import require
from simclr_tf.metrics.knn import normalised_rows

# Rows and columns of the block of similarities in memory: 16 MiB of float32.
_ROWS, _COLUMNS = 1024, 4096
_ROUNDING = 1e-6  # Of the similarity of a row with a copy of itself, in float32.


def duplicate_groups(features: Array, threshold: float) -> tuple[Array, Array]:
    """Find groups of rows that are linked by similarities above a threshold.

    Two rows are linked if their cosine similarity is at least the threshold; a group
    are all rows that links lead to, one after the other, so its two most distant rows
    may be less similar. All pairs are compared, in blocks: the memory does not grow
    with their number.

    Args:
      features: float array `[n, F]`.
      threshold: float in (0, 1]; 1 finds copies.

    Returns:
      groups: int64 `[n]`, the number of each row's group, -1 for a row without a link.
        Groups are numbered in the order of their first rows.
      similarities: float32 `[n]`, of the most similar other row; below the threshold
        for rows without a link. -1 if there is no other row.

    Raises:
      ConfigError: a threshold outside its range.

    Example:
      >>> groups, _ = duplicate_groups([[1, 0], [0, 1], [1, 0.01], [0, 2]], 0.99)
      >>> groups.tolist()
      [0, 1, 0, 1]
    """
    require(0 < threshold <= 1, "`threshold` must be in (0, 1].", threshold=threshold)
    threshold = min(threshold, 1 - _ROUNDING)
    features = normalised_rows(features)
    number = len(features)
    first = np.arange(number)  # The first row of each row's group, so far.
    nearest = np.full(number, -1, np.float32)
    for row in range(0, number, _ROWS):
        block = features[row : row + _ROWS]
        for column in range(row, number, _COLUMNS):
            similarities = block @ features[column : column + _COLUMNS].T
            # Nothing is its own duplicate.
            own = np.arange(column, min(row + _ROWS, column + _COLUMNS, number))
            similarities[own - row, own - column] = -1
            for start, axis in ((row, 1), (column, 0)):
                found = similarities.max(axis)
                part = nearest[start : start + len(found)]
                np.maximum(part, found, out=part)
            rows, columns = np.nonzero(similarities >= threshold)
            if len(rows):
                first = _joined_groups(first, rows + row, columns + column)
    sizes = np.bincount(first, minlength=number)
    starts = np.flatnonzero(sizes > 1)
    numbers = np.full(number, -1, np.int64)
    numbers[starts] = np.arange(len(starts))
    return numbers[first], nearest


def _joined_groups(first, rows, columns):
    """Join the groups of linked rows; a group is named by its first row."""
    number = len(first)
    links = np.unique(first[rows] * number + first[columns])
    graph = coo_array(
        (np.ones(len(links), bool), (links // number, links % number)),
        shape=(number, number),
    )
    parts = connected_components(graph, directed=False)[1]
    names = np.full(number, number)
    np.minimum.at(names, parts, np.arange(number))
    return names[parts[first]]
