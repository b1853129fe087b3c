"""Accuracy where labels may be missing (label -1)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.errors import DataError, require


def top_k_correct(labels: TensorLike, logits: TensorLike, *, k: int = 1) -> Tensor:
    """Return 1 where the label is among the k largest logits, else 0.

    Of equal logits the first classes count as larger, so a head with all logits
    equal scores k / C on balanced labels, not 1.

    Args:
      labels: integer `[N]` in -1 .. C - 1; -1 means unlabelled and gives 0.
      logits: floating point `[N, C]`.
      k: int in 1 .. C.

    Returns:
      float32 `[N]`; average it with the weights `label_weights(labels)`.

    Raises:
      ConfigError: for a k outside 1 .. C, labels that are not integers `[N]`, or
        logits that are not `[N, C]`.

    Example:
      >>> logits = [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]
      >>> top_k_correct([2, -1], logits, k=2).numpy().tolist()
      [1.0, 0.0]
    """
    labels, logits = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
    require(
        labels.dtype.is_integer and labels.shape.rank == 1 and logits.shape.rank == 2,
        "`labels` must be integers [N] (for one-hot labels take their argmax) and "
        "`logits` [N, C].",
        labels=(labels.dtype.name, tuple(labels.shape)),
        logits=(logits.dtype.name, tuple(logits.shape)),
    )
    classes = logits.shape[1]
    require(
        k >= 1 and (classes is None or k <= classes),
        "`k` must be between 1 and the number of classes.",
        k=k,
        classes=classes,
    )
    best = tf.math.top_k(tf.cast(logits, tf.float32), k).indices  # [N, k]
    hits = tf.cast(best, labels.dtype) == labels[:, tf.newaxis]
    return tf.cast(tf.reduce_any(hits, axis=1), tf.float32)


def label_weights(labels: TensorLike) -> Tensor:
    """Return 1 for labelled examples, 0 for unlabelled ones (label -1).

    Args:
      labels: integer `[N]`.

    Returns:
      float32 `[N]`.

    Example:
      >>> label_weights([3, -1, 0]).numpy().tolist()
      [1.0, 0.0, 1.0]
    """
    return tf.cast(tf.convert_to_tensor(labels) >= 0, tf.float32)


def top_k_accuracy(labels: TensorLike, logits: TensorLike, *, k: int = 1) -> Tensor:
    """Return the fraction of labelled examples with the label in the k largest logits.

    Args:
      labels: integer `[N]` in -1 .. C - 1; -1 means unlabelled and is left out.
      logits: floating point `[N, C]`.
      k: int in 1 .. C.

    Returns:
      float32 scalar; 0 for a batch without labels.

    Raises:
      ConfigError: as `top_k_correct`.

    Example:
      >>> float(top_k_accuracy([1, 0, -1], [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]))
      0.5
    """
    correct = tf.reduce_sum(top_k_correct(labels, logits, k=k))
    return tf.math.divide_no_nan(correct, tf.reduce_sum(label_weights(labels)))


def check_labelled(name, features, labels):
    """Return features and labels as matching arrays; unlabelled rows are dropped.

    Args:
      name: str for messages: "training" or "test".
      features: array `[n, F]`.
      labels: array `[n]` of integers, negative for unlabelled images.

    Returns:
      float32 array `[m, F]`, int64 array `[m]`: the m labelled rows.

    Raises:
      DataError: no labels, no rows, different numbers of rows, or values not finite.

    Example:
      >>> check_labelled("test", [[1, 2]], [0])[1].tolist()
      [0]
    """
    if labels is None or (np.size(labels) and np.max(labels) < 0):
        raise DataError(
            f"The {name} set has no labels, and probes need labels. Choose a labelled "
            "source (folders of classes, an npz with y_train and y_test, ...)."
        )
    features = np.asarray(features, np.float32)
    labels = np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise DataError(
            f"The {name} set needs features [n, F] and n labels, n >= 1. Received: "
            f"features of shape {features.shape}, labels of shape {labels.shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"The labels of the {name} set must be integers. Received: {labels.dtype}."
        )
    if not np.isfinite(features).all():
        raise DataError(f"The features of the {name} set hold NaN or infinity.")
    known = labels >= 0
    return features[known], labels[known].astype(np.int64)
