"""Decoupled contrastive learning: NT-Xent without the positive in the denominator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.distribution import gather_across_replicas, replica_offset
from simclr_tf.losses.candidates import (
    mean_over_directions,
    require_negatives,
    require_temperature,
)
from simclr_tf.losses.nt_xent import nt_xent_candidates

if TYPE_CHECKING:
    from simclr_tf.losses.candidates import CandidateLogits
    from simclr_tf.losses.streamed import StreamedCandidates


def dcl(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    temperature: float,
    chunk_size: int | None = None,
) -> Tensor:
    """Compute DCL: pull the two views together, push all other images apart.

    For an anchor i with positive j, and s the cosine similarity,

        l(i, j) = -s_ij / t + log( sum_{k != i, j} exp(s_ik / t) ),

    where k runs over the 2G - 2 projections of the other images of the global batch.
    It is NT-Xent without the positive in the denominator, which makes NT-Xent's
    gradient vanish for easy positives in small batches. The loss of an image is
    (l(a, b) + l(b, a)) / 2, and may be negative.

    Args:
      projections_a: floating point `[N, D]`, the first views, of any precision.
      projections_b: the same for the second views; row i belongs to row i.
      temperature: float > 0. (The authors take 0.07 to 0.1.)
      chunk_size: int >= 1, anchors compared with all candidates at a time, see
        `nt_xent`; None chooses.

    Returns:
      float32 `[N]`. All equal projections give log(2G - 2).

    Raises:
      ConfigError: for a temperature that is not positive, shapes that differ, a
        `chunk_size` < 1, or a global batch of one image.

    Example:
      >>> same = tf.ones([4, 8])
      >>> round(float(dcl(same, same, temperature=0.5)[0]), 4)  # log(6)
      1.7918

    Source: Yeh et al., Decoupled Contrastive Learning (2022), the loss L_DC.
    """
    return dcl_from_logits(
        nt_xent_candidates(
            projections_a,
            projections_b,
            temperature=temperature,
            chunk_size=chunk_size,
        )
    )


def dclw(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    temperature: float,
    sigma: float = 0.5,
    chunk_size: int | None = None,
) -> Tensor:
    """Compute DCLW: DCL with larger weights for pairs of views that are far apart.

    l(i, j) = -w_i s_ij / t + log( sum_{k != i, j} exp(s_ik / t) ), with

        w_i = 2 - G exp(s_ij / sigma) / sum_{m} exp(s_m / sigma),

    s_m the similarities of the G pairs of the global batch. The weights have mean 1,
    may be negative for a pair that is far closer than all others, and take no
    gradient.

    Args:
      projections_a, projections_b, temperature, chunk_size: as in `dcl`.
      sigma: float > 0, temperature of the weights; with a large sigma all weights are
        1. (The paper: 0.5.)

    Returns:
      float32 `[N]`. All equal projections give log(2G - 2).

    Raises:
      ConfigError: as `dcl`, or for a `sigma` that is not positive.

    Example:
      >>> same = tf.ones([4, 8])
      >>> round(float(dclw(same, same, temperature=0.5)[0]), 4)
      1.7918

    Source: Yeh et al., Decoupled Contrastive Learning (2022), the loss L_DCW.
    """
    candidates = nt_xent_candidates(
        projections_a, projections_b, temperature=temperature, chunk_size=chunk_size
    )
    return dclw_from_logits(candidates, temperature=temperature, sigma=sigma)


def dcl_from_logits(candidates: CandidateLogits | StreamedCandidates) -> Tensor:
    """Compute DCL from what the metrics of the same step share.

    Args:
      candidates: `CandidateLogits` or `StreamedCandidates`, at the loss's temperature.

    Returns:
      float32 `[N]`.

    Raises:
      ConfigError: a global batch of one image.

    Example:
      >>> from simclr_tf.losses import candidate_logits
      >>> z = tf.eye(4)
      >>> candidates = candidate_logits(z, z, temperature=0.5)
      >>> bool(tf.reduce_all(dcl_from_logits(candidates) == dcl(z, z, temperature=0.5)))
      True
    """
    return _decoupled(candidates, candidates.positive)


def dclw_from_logits(
    candidates: CandidateLogits | StreamedCandidates,
    *,
    temperature: float,
    sigma: float = 0.5,
) -> Tensor:
    """Compute DCLW from what the metrics of the same step share.

    Args:
      candidates: `CandidateLogits` or `StreamedCandidates`, at `temperature`.
      temperature: float > 0, the loss's.
      sigma: float > 0.

    Returns:
      float32 `[N]`.

    Raises:
      ConfigError: a temperature or sigma that is not positive, or a global batch of
        one image.

    Example:
      >>> from simclr_tf.losses import candidate_logits
      >>> z = tf.eye(4)
      >>> candidates = candidate_logits(z, z, temperature=0.5)
      >>> round(float(dclw_from_logits(candidates, temperature=0.5)[0]), 4)  # -2 + ln 6
      -0.2082
    """
    require_temperature(temperature=temperature, sigma=sigma)
    positive = candidates.positive
    scores = tf.stop_gradient(positive) * (temperature / sigma)  # [2N]: s / sigma
    scores_global = gather_across_replicas(scores)  # Every pair twice.
    shares = 2.0 * tf.nn.softmax(scores_global)
    number = tf.shape(scores)[0]
    own = shares[replica_offset(number) :][:number]
    pairs = tf.cast(tf.shape(scores_global)[0], tf.float32) / 2.0
    return _decoupled(candidates, (2.0 - pairs * own) * positive)


def _decoupled(candidates, pull):
    """Average log_sum_negatives - pull `[2N]` over both directions: `[N]`."""
    require_negatives(candidates.positive[::2], "the loss compares with other images")
    return mean_over_directions(candidates.log_sum_negatives - pull)
