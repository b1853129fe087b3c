"""The classification loss, for batches in which labels may be missing."""

import tensorflow as tf

from simclr_tf.errors import require


def supervised_cross_entropy(labels, logits):
    """Softmax cross-entropy with integer labels; label -1 means unlabelled.

    The loss of example i is -log softmax(logits_i)[label_i], and exactly 0, with
    gradient 0, where the label is -1. For the mean over labelled examples divide the
    sum by the number of labels; the mean over the batch weighs unlabelled ones as 0.

    Args:
      labels: integer `[N]` in -1 .. C - 1.
      logits: floating point `[N, C]`, of any precision; computed in float32.

    Returns:
      float32 `[N]`.

    Raises:
      ConfigError: for labels that are not integers `[N]` (one-hot ones, for example),
        or logits that are not `[N, C]`.

    Example:
      >>> supervised_cross_entropy([1, -1], [[0.0, 0.0], [5.0, 1.0]]).numpy()
      array([0.6931472, 0.       ], dtype=float32)
    """
    labels, logits = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
    require(
        labels.dtype.is_integer and labels.shape.rank == 1 and logits.shape.rank == 2,
        "`labels` must be integers [N] (for one-hot labels take their argmax) and "
        "`logits` [N, C].",
        labels=(labels.dtype.name, tuple(labels.shape)),
        logits=(logits.dtype.name, tuple(logits.shape)),
    )
    labelled = labels >= 0
    # Logits are masked too: not even a NaN in an unlabelled row gets through.
    logits = tf.where(labelled[:, tf.newaxis], tf.cast(logits, tf.float32), 0.0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(labelled, labels, 0), logits=logits
    )
    return tf.where(labelled, losses, 0.0)
