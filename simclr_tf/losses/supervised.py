"""Losses that read labels, for batches in which labels may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.distribution import gather_across_replicas
from simclr_tf.errors import require
from simclr_tf.losses.candidates import candidate_logits, mean_over_directions

if TYPE_CHECKING:
    from simclr_tf.losses.candidates import CandidateLogits


def supervised_cross_entropy(labels: TensorLike, logits: TensorLike) -> Tensor:
    """Compute softmax cross-entropy with integer labels; label -1 means unlabelled.

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
    # Logits are masked too, so that a NaN in an unlabelled row has no effect.
    logits = tf.where(labelled[:, tf.newaxis], tf.cast(logits, tf.float32), 0.0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(labelled, labels, 0), logits=logits
    )
    return tf.where(labelled, losses, 0.0)


def sup_con(
    projections_a: TensorLike,
    projections_b: TensorLike,
    labels: TensorLike,
    *,
    temperature: float,
) -> Tensor:
    """Compute SupCon: all images of an anchor's class are its positives.

    For an anchor i with the positives P(i), and s the cosine similarity,

        l(i) = -1/|P(i)| sum_{p in P(i)} log( exp(s_ip/t) / sum_{k != i} exp(s_ik/t) ),

    where k runs over the 2G - 1 other projections of the global batch. P(i) holds the
    anchor's other view and both views of all other images with its label; of an
    unlabelled image (-1) the other view alone. The loss of an image is the mean of
    its two anchors. (The authors' code multiplies it by t / 0.07; the paper does not.)

    Args:
      projections_a: floating point `[N, D]`, the first views, of any precision.
      projections_b: the same for the second views; row i belongs to row i.
      labels: integers `[N]`, -1 for unlabelled.
      temperature: float > 0. (The paper: 0.1.)

    Returns:
      float32 `[N]`. All equal projections give log(2G - 1), whatever the labels; with
      labels that all differ it is `nt_xent`.

    Raises:
      ConfigError: for a temperature that is not positive, shapes that differ, or labels
        that are not integers `[N]`.

    Example:
      >>> same = tf.ones([4, 8])
      >>> loss = sup_con(same, same, [0, 1, 0, -1], temperature=0.5)
      >>> round(float(loss[0]), 4)  # log(7)
      1.9459

    Source: Khosla et al., Supervised Contrastive Learning (2020), equation 2.
    """
    candidates = candidate_logits(projections_a, projections_b, temperature=temperature)
    return sup_con_from_logits(candidates, labels)


def sup_con_from_logits(candidates: CandidateLogits, labels: TensorLike) -> Tensor:
    """Compute SupCon from logits that the metrics of the same step share.

    Args:
      candidates: `CandidateLogits`, at the loss's temperature.
      labels: integers `[N]`, -1 for unlabelled.

    Returns:
      float32 `[N]`.

    Raises:
      ConfigError: labels that are not integers `[N]`.

    Example:
      >>> z = tf.eye(4)
      >>> candidates = candidate_logits(z, z, temperature=0.5)
      >>> sup_con_from_logits(candidates, [0, 0, 1, 1]).shape
      TensorShape([4])
    """
    is_positive = same_class(candidates, labels)
    log_probabilities = tf.nn.log_softmax(candidates.logits, axis=1)
    total = tf.reduce_sum(tf.where(is_positive, log_probabilities, 0.0), axis=1)
    count = tf.reduce_sum(tf.cast(is_positive, tf.float32), axis=1)
    return mean_over_directions(-total / count)


def same_class(candidates: CandidateLogits, labels: TensorLike) -> Tensor:
    """Return where each anchor's positives are: all views of its class.

    Args:
      candidates: `CandidateLogits`.
      labels: integers `[N]` of this replica's images, -1 for unlabelled.

    Returns:
      bool `[2N, 2G]`; False in the column of the anchor itself.

    Raises:
      ConfigError: labels that are not integers `[N]`.

    Example:
      >>> z = tf.eye(2)
      >>> same_class(candidate_logits(z, z), [-1, -1])[0].numpy().tolist()
      [False, False, True, False]
    """
    labels = tf.convert_to_tensor(labels)
    anchors = candidates.logits.shape[0]
    require(
        labels.dtype.is_integer
        and labels.shape.rank == 1
        and (None in (anchors, labels.shape[0]) or anchors == 2 * labels.shape[0]),
        "`labels` must be integers [N], one for each image (for one-hot labels take "
        "their argmax).",
        labels=(labels.dtype.name, tuple(labels.shape)),
        images=None if anchors is None else anchors // 2,
    )
    labels = tf.cast(labels, tf.int64)
    of_anchors = tf.tile(labels, [2])[:, tf.newaxis]
    of_columns = tf.tile(gather_across_replicas(labels), [2])
    places = tf.range(tf.shape(candidates.logits)[1])
    images = tf.shape(places)[0] // 2
    other_view = candidates.positives[:, tf.newaxis]
    itself = (other_view + images) % (2 * images)
    alike = (of_anchors == of_columns) & (of_anchors >= 0) & (places != itself)
    return alike | (places == other_view)
