"""Losses without negatives, and the terms that keep them from collapse.

`negative_cosine` needs a target without gradient. Barlow Twins and VICReg do not: they
spread the dimensions of the projections over the global batch. These two are scalars of
the global batch, the same on every replica: each replica differentiates its value
divided by the number of replicas, and gradients are summed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.distribution import (
    in_several_replicas,
    moments_over_replicas,
    num_replicas,
    sum_over_replicas,
)
from simclr_tf.errors import require
from simclr_tf.losses.candidates import matching_tensors, require_negatives, unit_rows

VARIANCE_EPSILON = 1e-4  # VICReg, equation 2.


def negative_cosine(predictions: TensorLike, targets: TensorLike) -> Tensor:
    """Compute the negative cosine similarity of predictions to their targets.

        l = - p.z / (||p|| ||z||)

    The mean of both directions is SimSiam's loss; BYOL's is 4 + 4 times that mean.

    Args:
      predictions: floating point `[N, D]`, of any precision.
      targets: the same of the other views; row i belongs to row i; without gradient.

    Returns:
      float32 `[N]` from -1 (the same direction) to 1.

    Raises:
      ConfigError: shapes that differ.

    Example:
      >>> negative_cosine([[2.0, 0.0]], [[3.0, 4.0]]).numpy()
      array([-0.6], dtype=float32)

    Source: Chen & He, SimSiam (2021), equation 1; Grill et al., BYOL (2020),
    equation 2.
    """
    predictions, targets = matching_tensors(predictions=predictions, targets=targets)
    targets = tf.stop_gradient(unit_rows(targets))
    return -tf.reduce_sum(unit_rows(predictions) * targets, axis=1)


def barlow_twins(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    off_diagonal_weight: float = 0.0051,
) -> Tensor:
    """Compute Barlow Twins: the cross-correlation of the views becomes the identity.

        l = sum_i (1 - C_ii)^2 + w sum_{i != j} C_ij^2

    with C the cross-correlation of the two views over the global batch.

    Args:
      projections_a: floating point `[N, D]`, the first views, of any precision.
      projections_b: the same for the second views; row i belongs to row i.
      off_diagonal_weight: float w >= 0. (The paper: 0.0051.)

    Returns:
      float32 scalar of the global batch. Dimensions that do not vary give D; equal
      dimensions in both views w D (D - 1).

    Raises:
      ConfigError: shapes that differ, a negative weight, or a global batch of one
        image.

    Example:
      >>> z = tf.constant([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
      >>> float(barlow_twins(z, z)), float(barlow_twins(z, -z))
      (0.0, 8.0)

    Source: Zbontar et al., Barlow Twins (2021), equation 1.
    """
    correlation = cross_correlation(projections_a, projections_b)
    return barlow_twins_from_correlation(
        correlation, off_diagonal_weight=off_diagonal_weight
    )


def cross_correlation(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    equal_gradients: bool = False,
) -> Tensor:
    """Correlate each dimension with each of the other view, over the global batch.

    Args:
      projections_a, projections_b: as in `barlow_twins`.
      equal_gradients: bool, as in `simclr_tf.distribution.sum_over_replicas`: whether
        the correlation is used in the same way on every replica.

    Returns:
      float32 `[D, D]` in -1 .. 1, the same on every replica: C = z'_a^T z'_b / G, the
      columns of z' with mean 0 and (biased) standard deviation 1. A column that does
      not vary over the batch becomes 0, without gradient.

    Raises:
      ConfigError: shapes that differ, or a global batch of one image.

    Example:
      >>> z = tf.constant([[1.0], [3.0]])
      >>> cross_correlation(z, 5.0 - z).numpy().tolist()
      [[-1.0]]

    Source: Zbontar et al., Barlow Twins (2021), equation 2.
    """
    a, b = _of_global_batch(projections_a, projections_b)
    mean, variance = moments_over_replicas(tf.stack([a, b], axis=1), [0])  # [1, 2, D]
    # The rounding error of a constant column is far below this.
    varies = variance > 1e-12 * (1.0 + mean**2)
    inverse = tf.where(varies, tf.math.rsqrt(tf.where(varies, variance, 1.0)), 0.0)
    a = (a - mean[:, 0]) * inverse[:, 0]
    b = (b - mean[:, 1]) * inverse[:, 1]
    products = tf.matmul(a, b, transpose_a=True)
    return _means_over_global_batch(a, [products], equal_gradients)[0]


def barlow_twins_from_correlation(
    correlation: TensorLike, *, off_diagonal_weight: float = 0.0051
) -> Tensor:
    """Compute Barlow Twins from a correlation shared with the figures.

    Args:
      correlation: float32 `[D, D]`, of `cross_correlation`.
      off_diagonal_weight: float >= 0.

    Returns:
      float32 scalar.

    Raises:
      ConfigError: a negative weight.

    Example:
      >>> float(barlow_twins_from_correlation(tf.eye(3)))
      0.0
    """
    require(
        0 <= off_diagonal_weight < math.inf,
        "`off_diagonal_weight` must be >= 0 and finite.",
        off_diagonal_weight=off_diagonal_weight,
    )
    diagonal = tf.linalg.diag_part(correlation)
    return tf.reduce_sum(
        (1.0 - diagonal) ** 2
    ) + off_diagonal_weight * _squared_off_diagonal(correlation)


class VICRegTerms(NamedTuple):
    """The three terms of VICReg: float32 scalars of the global batch, unweighted."""

    invariance: tf.Tensor
    variance: tf.Tensor
    covariance: tf.Tensor


def vicreg(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
) -> Tensor:
    """Compute VICReg: variance, invariance and covariance of the two views.

        l = invariance_weight * mean squared difference of the views
          + variance_weight * mean over branches and dimensions of
                max(0, 1 - sqrt(variance + 1e-4))
          + covariance_weight * sum over branches of
                sum_{i != j} covariance_ij^2 / D

    with variances and covariances over the global batch, divided by G - 1. (The
    paper sums the variance term over the branches; its authors' code, like ours,
    takes the mean.)

    Args:
      projections_a: floating point `[N, D]`, the first views, of any precision.
      projections_b: the same for the second views; row i belongs to row i.
      invariance_weight, variance_weight, covariance_weight: float >= 0. (The paper:
        25, 25 and 1.)

    Returns:
      float32 scalar of the global batch. All equal projections give
      0.99 * variance_weight.

    Raises:
      ConfigError: shapes that differ, a negative weight, or a global batch of one
        image.

    Example:
      >>> same = tf.ones([4, 3])
      >>> round(float(vicreg(same, same)), 4)
      24.75

    Source: Bardes et al., VICReg (2022), equations 1 to 6.
    """
    return vicreg_from_terms(
        vicreg_terms(projections_a, projections_b),
        invariance_weight=invariance_weight,
        variance_weight=variance_weight,
        covariance_weight=covariance_weight,
    )


def vicreg_from_terms(
    terms: VICRegTerms,
    *,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
) -> Tensor:
    """Compute VICReg from terms that the figures of the same step share.

    Args:
      terms: `VICRegTerms`.
      invariance_weight, variance_weight, covariance_weight: float >= 0.

    Returns:
      float32 scalar.

    Raises:
      ConfigError: a negative weight.

    Example:
      >>> float(vicreg_from_terms(VICRegTerms(1.0, 0.5, 2.0)))
      39.5
    """
    weights = {
        "invariance_weight": invariance_weight,
        "variance_weight": variance_weight,
        "covariance_weight": covariance_weight,
    }
    for name, value in weights.items():
        require(
            0 <= value < math.inf, f"`{name}` must be >= 0 and finite.", **{name: value}
        )
    return sum(w * term for w, term in zip(weights.values(), terms, strict=True))


def vicreg_terms(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    equal_gradients: bool = False,
) -> VICRegTerms:
    """Compute the terms of VICReg, before they are weighted.

    Args:
      projections_a, projections_b: as in `vicreg`.
      equal_gradients: bool, as in `simclr_tf.distribution.sum_over_replicas`: whether
        the terms are used in the same way on every replica.

    Returns:
      `VICRegTerms`.

    Raises:
      ConfigError: shapes that differ, or a global batch of one image.

    Example:
      >>> terms = vicreg_terms([[2.0], [-2.0]], [[2.0], [-2.0]])
      >>> [float(term) for term in terms]
      [0.0, 0.0, 0.0]

    Source: Bardes et al., VICReg (2022), equations 1 to 5.
    """
    a, b = _of_global_batch(projections_a, projections_b)
    views = tf.stack([a, b], axis=1)
    mean, variance = moments_over_replicas(views, [0])  # [1, 2, D]
    centred = views - mean
    invariance, covariances = _means_over_global_batch(
        a,
        [
            tf.reduce_sum((a - b) ** 2, axis=0),
            tf.einsum("nvi,nvj->vij", centred, centred),
        ],
        equal_gradients,
    )
    images = tf.cast(tf.shape(a)[0] * _replicas(), tf.float32)
    unbiased = tf.math.divide_no_nan(images, images - 1.0)
    deviation = tf.sqrt(unbiased * variance + VARIANCE_EPSILON)
    width = tf.cast(tf.shape(a)[1], tf.float32)
    return VICRegTerms(
        invariance=tf.reduce_mean(invariance),
        variance=tf.reduce_mean(tf.nn.relu(1.0 - deviation)),
        covariance=_squared_off_diagonal(unbiased * covariances) / width,
    )


def _of_global_batch(projections_a, projections_b):
    """Return both views in float32, of two images or more."""
    a, b = matching_tensors(projections_a=projections_a, projections_b=projections_b)
    require_negatives(a, "a single image has no variance")
    return tf.cast(a, tf.float32), tf.cast(b, tf.float32)


def _replicas():
    return num_replicas() if in_several_replicas() else 1


def _means_over_global_batch(rows, own_sums, equal_gradients):
    """Turn sums over this replica's rows into means over those of all replicas."""
    images = tf.cast(tf.shape(rows)[0] * _replicas(), tf.float32)
    sums = sum_over_replicas(own_sums, equal_gradients=equal_gradients)
    return [total / images for total in sums]


def _squared_off_diagonal(matrices):
    """Sum the squares beside the diagonals of `[..., D, D]`."""
    beside = tf.linalg.set_diag(matrices, tf.zeros_like(matrices[..., 0]))
    return tf.reduce_sum(beside**2)
