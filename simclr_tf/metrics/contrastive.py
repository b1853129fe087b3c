"""Metrics of the contrastive task, and measures of the features.

The first two use the results of the step's loss (`CandidateLogits` or
`StreamedCandidates` of `simclr_tf.losses`). The others take any features, and show a
collapse that the loss may hide.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.distribution import moments_over_replicas
from simclr_tf.errors import require

if TYPE_CHECKING:
    from simclr_tf.losses.candidates import CandidateLogits
    from simclr_tf.losses.streamed import StreamedCandidates


def contrastive_accuracy(candidates: CandidateLogits | StreamedCandidates) -> Tensor:
    """Measure how often the positive is the most similar of all 2G - 1 candidates.

    Strictly the most similar: a tie counts as wrong, so a network that maps all images
    to one point scores 0, not 1. The temperature does not matter.

    Args:
      candidates: `simclr_tf.losses.CandidateLogits` or `StreamedCandidates`, of N
        images.

    Returns:
      float32 `[N]`: 0, 0.5 or 1, the mean of both directions.

    Example:
      >>> from simclr_tf.losses import candidate_logits
      >>> z = tf.eye(4)
      >>> contrastive_accuracy(candidate_logits(z, z)).numpy().tolist()
      [1.0, 1.0, 1.0, 1.0]
    """
    correct = candidates.positive > candidates.highest_negative
    return _mean_over_directions(tf.cast(correct, tf.float32))


def contrastive_entropy(candidates: CandidateLogits | StreamedCandidates) -> Tensor:
    """Compute the entropy of the softmax over an anchor's candidates.

    H = -sum_k p_k log p_k, from 0 (sure of one) to log(2G - 1) (no preference).

    Args:
      candidates: `simclr_tf.losses.CandidateLogits` or `StreamedCandidates`, at the
        loss's temperature.

    Returns:
      float32 `[N]` in nats, the mean of both directions.

    Example:
      >>> from simclr_tf.losses import candidate_logits
      >>> same = tf.ones([4, 2])
      >>> round(float(contrastive_entropy(candidate_logits(same, same))[0]), 4)
      1.9459

    Source: Chen et al., SimCLR (2020), table 5 (there over one view's candidates).
    """
    return _mean_over_directions(candidates.entropy)


def chance_contrastive_loss(global_batch_size: int) -> float:
    """Return NT-Xent of a network that cannot distinguish images: log(2G - 1).

    A loss that stays here means that nothing is learned, or that all images are mapped
    to one point.

    Args:
      global_batch_size: int >= 1, images in the global batch.

    Returns:
      float, in nats.

    Raises:
      ConfigError: if `global_batch_size` < 1.

    Example:
      >>> round(chance_contrastive_loss(256), 4)
      6.2364
    """
    require(
        global_batch_size >= 1,
        "`global_batch_size` must be at least 1.",
        global_batch_size=global_batch_size,
    )
    return math.log(2 * global_batch_size - 1)


def alignment(
    features_a: TensorLike, features_b: TensorLike, *, exponent: float = 2.0
) -> Tensor:
    """Measure the distance of the two views: mean ||f(x) - f(y)||^exponent.

    Features are l2-normalised first. 0 is perfect, 2 what independent views on the
    sphere give (for `exponent=2`).

    Args:
      features_a: floating point `[N, F]`, the first views.
      features_b: the same for the second views; row i belongs to row i.
      exponent: float > 0.

    Returns:
      float32 scalar.

    Example:
      >>> float(alignment([[3.0, 0.0]], [[0.0, 1.0]]))
      2.0

    Source: Wang & Isola, Alignment and Uniformity on the Hypersphere (2020).
    """
    require(exponent > 0, "`exponent` must be > 0.", exponent=exponent)
    difference = _unit_rows(features_a) - _unit_rows(features_b)
    squared = tf.reduce_sum(difference**2, axis=1)
    return tf.reduce_mean(squared ** (exponent / 2))


def uniformity(features: TensorLike, *, scale: float = 2.0) -> Tensor:
    """Measure evenness on the sphere: log mean_{i<j} exp(-scale ||f_i - f_j||^2).

    Features are l2-normalised first. 0 means collapsed to one point; on a sphere of
    many dimensions an even cover approaches -2 * scale. The memory is N x N.

    Args:
      features: floating point `[N, F]`, N >= 2, one view of each image.
      scale: float > 0.

    Returns:
      float32 scalar, at most 0.

    Raises:
      ConfigError: for fewer than two rows.

    Example:
      >>> float(uniformity([[1.0, 0.0], [-1.0, 0.0]]))
      -8.0

    Source: Wang & Isola, Alignment and Uniformity on the Hypersphere (2020).
    """
    require(scale > 0, "`scale` must be > 0.", scale=scale)
    rows = _unit_rows(features)
    require(
        rows.shape[0] is None or rows.shape[0] >= 2,
        "`features` must have at least two rows.",
        features=tuple(rows.shape),
    )
    norms = tf.reduce_sum(rows**2, axis=1)
    squared = norms[:, None] + norms[None] - 2 * tf.matmul(rows, rows, transpose_b=True)
    exponents = -scale * tf.maximum(squared, 0.0)  # [N, N], each pair twice
    number = tf.shape(rows)[0]
    exponents = tf.linalg.set_diag(exponents, tf.fill([number], exponents.dtype.min))
    pairs = tf.cast(number, tf.float32) * tf.cast(number - 1, tf.float32)
    return tf.reduce_logsumexp(exponents) - tf.math.log(pairs)


def effective_rank(features: TensorLike) -> Tensor:
    """Compute RankMe: the number of directions in which the features vary.

    exp of the entropy of the singular values: with p_k = sigma_k / sum sigma, it is
    exp(-sum_k p_k log p_k). r for r equal singular values, 1 for one direction only.

    Args:
      features: floating point `[N, F]`, neither centred nor normalised here.

    Returns:
      float32 scalar from 1 to min(N, F).

    Example:
      >>> round(float(effective_rank(tf.eye(5))), 4)
      5.0

    Source: Garrido et al., RankMe (2023), equation 1, with 0 log 0 = 0 instead of
    their epsilon.
    """
    values = tf.linalg.svd(_float32_rows(features), compute_uv=False)
    shares = tf.math.divide_no_nan(values, tf.reduce_sum(values))
    return tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares)))


def feature_standard_deviation(features: TensorLike) -> Tensor:
    """Measure the spread of normalised features: 1 spread evenly, 0 collapsed.

    Mean over the F dimensions of the standard deviation over the images of
    f / ||f||, times sqrt(F). Inside `strategy.run`, over the images of all replicas.

    Args:
      features: floating point `[N, F]`.

    Returns:
      float32 scalar from 0 to 1.

    Example:
      >>> float(feature_standard_deviation([[1.0, 0.0], [1.0, 0.0]]))
      0.0

    Source: Chen & He, SimSiam (2021), section 4.1.
    """
    rows = _unit_rows(features)
    dimensions = tf.cast(tf.shape(rows)[1], tf.float32)
    _, variance = moments_over_replicas(rows, [0])
    return tf.reduce_mean(tf.sqrt(variance)) * tf.sqrt(dimensions)


def _mean_over_directions(values):
    """Average `[2N]`, view a first, to `[N]`."""
    return tf.reduce_mean(tf.reshape(values, [2, -1]), axis=0)


def _float32_rows(features):
    features = tf.cast(tf.convert_to_tensor(features), tf.float32)
    require(
        features.shape.rank == 2,
        "`features` must be [N, F].",
        features=tuple(features.shape),
    )
    return features


def _unit_rows(features):
    return tf.math.l2_normalize(_float32_rows(features), axis=1)
