"""Checks of label arrays as users bring them."""

import numpy as np

from simclr_tf.errors import DataError, received_text


def class_labels(labels, num_examples, name):
    """Labels as int64 `[n]`, or None.

    Args:
      labels: None, or integers `[n]` or `[n, 1]`, each >= -1 (-1: unlabelled).
      num_examples: int, n.
      name: str, the data set, for messages.

    Returns:
      int64 NumPy array `[n]`, or None.

    Raises:
      DataError: for another shape, count or type, or a label below -1.

    Example:
      >>> class_labels([[2], [0]], 2, "mine")
      array([2, 0])
    """
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"Labels of `{name}` must be integers of shape [n]; for one-hot rows use "
            "`labels.argmax(axis=1)`. " + received_text(shape=labels.shape)
        )
    if len(labels) != num_examples:
        raise DataError(
            f"`{name}` must have one label for each image. "
            + received_text(images=num_examples, labels=len(labels))
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"Labels of `{name}` must be integers; use `labels.astype(int)`. "
            + received_text(dtype=str(labels.dtype))
        )
    if labels.size and labels.min() < -1:
        raise DataError(
            f"Labels of `{name}` must be >= 0, or -1 for unlabelled. "
            + received_text(smallest=int(labels.min()))
        )
    return labels.astype(np.int64)
