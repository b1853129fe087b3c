"""Weighted k nearest neighbours, a probe without training.

Kept beside scikit-learn's brute force, which takes 2.2 times as much processor time
(`simclr-tf benchmark probes`).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Array
from simclr_tf.errors import require
from simclr_tf.metrics.classification import check_labelled

# Similarities in memory at a time: 2**24 float32 numbers are 64 MiB.
_SIMILARITIES_A_BLOCK = 2**24


def nearest_neighbours(
    features: Array, queries: Array, k: int, *, query_block: int = 1024
) -> tuple[Array, Array]:
    """Find the k rows of `features` most similar to each query.

    Similarity is the cosine, h_i . h_j / (|h_i| |h_j|), 0 for a row of zeros. Both
    sides are taken in blocks, so memory does not grow with the sets. Of equally
    similar rows the first comes first.

    Args:
      features: float array `[n, F]`.
      queries: float array `[m, F]`.
      k: int in [1, n].
      query_block: int >= 1, queries at a time.

    Returns:
      indices: int64 `[m, k]`, rows of `features`, most similar first.
      similarities: float32 `[m, k]` in [-1, 1].

    Raises:
      ConfigError: `k` outside [1, n].

    Example:
      >>> indices, _ = nearest_neighbours([[1, 0], [0, 1], [1, 1]], [[2, 1.9]], k=2)
      >>> indices.tolist()
      [[2, 0]]
    """
    is_one_set = queries is features  # Saves a copy.
    features = normalised_rows(features)
    queries = features if is_one_set else normalised_rows(queries)
    check_k(k, len(features))
    require(query_block >= 1, "`query_block` must be >= 1.", query_block=query_block)
    candidate_block = max(k, _SIMILARITIES_A_BLOCK // query_block)
    indices, similarities = [], []
    for start in range(0, len(queries), query_block):
        block = queries[start : start + query_block]
        found = _most_similar(features, block, k, candidate_block)
        indices.append(found[0])
        similarities.append(found[1])
    return np.concatenate(indices), np.concatenate(similarities)


def neighbours_of_rows(
    features: Array, k: int, rows: Array | None = None
) -> tuple[Array, Array]:
    """Find for rows of a set the k other rows that are most similar.

    Args:
      features: float array `[n, F]`.
      k: int in [1, n - 1].
      rows: int array `[m]`, rows of `features`; all if None.

    Returns:
      indices int64 `[m, k]` and similarities float32 `[m, k]`, as in
      `nearest_neighbours`; no row is its own neighbour.

    Raises:
      ConfigError: `k` outside [1, n - 1].

    Example:
      >>> neighbours_of_rows([[1, 0], [1, 1], [1, 1]], k=1)[0].tolist()
      [[1], [2], [1]]
    """
    number = len(features)
    require(
        1 <= k < number,
        f"`k` must be between 1 and the number of other images ({number - 1}).",
        k=k,
    )
    features = np.asarray(features, np.float32)
    own = np.arange(number) if rows is None else np.asarray(rows, np.int64)
    queries = features if rows is None else features[own]
    indices, similarities = nearest_neighbours(features, queries, k + 1)
    # Copies of a row may come before the row itself, or push it out.
    is_other = indices != own[:, np.newaxis]
    is_other[is_other.all(axis=1), -1] = False
    shape = (len(own), k)
    return indices[is_other].reshape(shape), similarities[is_other].reshape(shape)


def check_k(k: int, number: int) -> None:
    """Refuse more neighbours than there are images.

    Args:
      k: int.
      number: int, training images.

    Raises:
      ConfigError: `k` outside [1, number].
    """
    require(
        1 <= k <= number,
        f"`k` must be between 1 and the number of training images ({number}).",
        k=k,
    )


def knn_classify(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> Array:
    """Classify images by the vote of the k nearest training images.

    The neighbour j of a query i votes for its class with the weight
    exp(s_ij / temperature), s the cosine similarity. Of classes with equally many
    votes the lowest wins.

    Args:
      train_features: float array `[n, F]`.
      train_labels: int array `[n]`, >= 0.
      test_features: float array `[m, F]`.
      k: int in [1, n], neighbours that vote (20 here; 200 is usual on ImageNet).
      temperature: float > 0; with small values only the nearest few decide (0.07;
        0.1 is usual too).

    Returns:
      int64 array `[m]`, the predicted labels.

    Raises:
      ConfigError: `k` or `temperature` outside its range.
      DataError: no labels, or other numbers of features and labels.

    Example:
      >>> knn_classify([[1, 0], [0, 1], [0, 2]], [5, 3, 3], [[1, 3]], k=3).tolist()
      [3]

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance
      Discrimination (2018), section 3.4.
    """
    require(temperature > 0, "`temperature` must be > 0.", temperature=temperature)
    train_features, train_labels = check_labelled(
        "training", train_features, train_labels
    )
    classes, class_indices = np.unique(train_labels, return_inverse=True)
    neighbours, similarities = nearest_neighbours(train_features, test_features, k)
    # exp((s - s_max) / t) has the same winner and cannot overflow.
    similarities = similarities.astype(np.float64)
    weights = np.exp((similarities - similarities[:, :1]) / temperature)
    votes = np.zeros([len(neighbours), len(classes)])
    rows = np.arange(len(neighbours))[:, np.newaxis]
    np.add.at(votes, (rows, class_indices[neighbours]), weights)
    return classes[votes.argmax(axis=1)]


def _most_similar(features, queries, k, candidate_block):
    """Find `nearest_neighbours` of one block of queries, over blocks of candidates."""
    best_indices = np.zeros([len(queries), 0], np.int64)
    best = np.zeros([len(queries), 0], np.float32)
    for start in range(0, len(features), candidate_block):
        similarities = queries @ features[start : start + candidate_block].T
        found, indices = _top(similarities, k)
        # Earlier rows first, for the ties.
        best_indices = np.concatenate([best_indices, indices + start], axis=1)
        best, kept = _top(np.concatenate([best, found], axis=1), k)
        best_indices = np.take_along_axis(best_indices, kept, axis=1)
    return best_indices, best


def _top(similarities, k):
    """Return the k largest of each row and their columns, equal ones in order."""
    top = tf.math.top_k(similarities, min(k, similarities.shape[1]))
    return top.values.numpy(), top.indices.numpy().astype(np.int64)


def normalised_rows(features):
    """Divide each row of a float array `[n, F]` by its length; zeros stay zeros."""
    features = np.asarray(features, np.float32)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norms > 0, norms, 1)
