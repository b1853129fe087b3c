"""The losses that the paper compares NT-Xent with.

Both are sums over triples (anchor u, positive v+, negative v-), here averaged over
the 2G - 2 negatives of an anchor, both views of the other images of the global batch;
then over the two directions of an image. The mean of the returned `[N]` over the batch
is therefore the mean over all triples.

Semi-hard mining (`semi_hard=True`) keeps for each anchor one negative instead of all:
the closest of those that are farther from the anchor than the positive and, if the loss
has a margin, within the margin. An anchor without such a negative has no negative term.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.errors import require
from simclr_tf.losses.candidates import (
    candidate_logits,
    mean_over_directions,
    negative_mask,
)

if TYPE_CHECKING:
    from simclr_tf.losses.candidates import CandidateLogits


def nt_logistic(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    temperature: float,
    semi_hard: bool = False,
) -> Tensor:
    """Compute NT-Logistic: a logistic regression for each pair of views.

        l(u) = -log sigmoid(u.v+ / t) - mean_{v-} log sigmoid(-u.v- / t)

    with u, v of unit length. With `semi_hard`, the mean over the negatives becomes
    the term of the closest negative that is farther than the positive.

    Args:
      projections_a: floating point `[N, D]`, the first views.
      projections_b: the same for the second views; row i belongs to row i.
      temperature: float > 0. (The paper tried 0.1, 0.2, 0.5 and 1.)
      semi_hard: bool, semi-hard negatives.

    Returns:
      float32 `[N]`. All equal projections give
      log(1 + exp(-1 / t)) + log(1 + exp(1 / t)).

    Raises:
      ConfigError: for a temperature that is not positive, or shapes that differ.

    Example:
      >>> same = tf.ones([3, 4])
      >>> round(float(nt_logistic(same, same, temperature=1.0)[0]), 4)
      1.6265

    Source: Chen et al., SimCLR (2020), table 2, table 4 and appendix B.10.
    """
    candidates = candidate_logits(projections_a, projections_b, temperature=temperature)
    return nt_logistic_from_logits(candidates, semi_hard=semi_hard)


def nt_logistic_from_logits(
    candidates: CandidateLogits, *, semi_hard: bool = False
) -> Tensor:
    """Compute NT-Logistic from logits that the metrics of the same step share.

    Args:
      candidates: `CandidateLogits`, at the loss's temperature.
      semi_hard: bool, semi-hard negatives.

    Returns:
      float32 `[N]`.
    """
    positive = candidates.positive
    if semi_hard:
        # softplus(float32.min) = 0 with gradient 0: no semi-hard negative, no term.
        negatives = tf.nn.softplus(_closest_semi_hard(candidates, positive))
    else:
        negatives = _mean_over_negatives(candidates, tf.nn.softplus(candidates.logits))
    # -log sigmoid(x) = softplus(-x).
    return mean_over_directions(tf.nn.softplus(-positive) + negatives)


def margin_triplet(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    margin: float,
    semi_hard: bool = False,
) -> Tensor:
    """Compute the margin triplet loss: negatives less similar by `margin`.

        l(u) = mean_{v-} max(u.v- - u.v+ + margin, 0)

    with u, v of unit length. With `semi_hard`, the mean becomes the term of the
    closest negative with u.v+ - margin < u.v- < u.v+, and 0 where there is none.

    Args:
      projections_a: floating point `[N, D]`, the first views.
      projections_b: the same for the second views; row i belongs to row i.
      margin: float >= 0, in units of cosine similarity. (The paper tried 0, 0.4, 0.8
        and 1.6.)
      semi_hard: bool, semi-hard negatives.

    Returns:
      float32 `[N]`. All equal projections give `margin`, with mining 0.

    Raises:
      ConfigError: for a negative margin, or shapes that differ.

    Example:
      >>> same = tf.ones([3, 4])
      >>> round(float(margin_triplet(same, same, margin=0.8)[0]), 4)
      0.8

    Source: Chen et al., SimCLR (2020), tables 2 and 4; Schroff et al., FaceNet (2015).
    """
    candidates = candidate_logits(projections_a, projections_b, temperature=1.0)
    return margin_triplet_from_logits(candidates, margin=margin, semi_hard=semi_hard)


def margin_triplet_from_logits(
    candidates: CandidateLogits, *, margin: float, semi_hard: bool = False
) -> Tensor:
    """Compute the margin triplet loss from similarities shared with the metrics.

    Args:
      candidates: `CandidateLogits` at temperature 1: the margin is one of
        similarities.
      margin: float >= 0.
      semi_hard: bool, semi-hard negatives.

    Returns:
      float32 `[N]`.

    Raises:
      ConfigError: for a negative margin.
    """
    require(0 <= margin < math.inf, "`margin` must be >= 0 and finite.", margin=margin)
    positive = candidates.positive
    if semi_hard:
        # Beyond the margin the term is 0 anyway.
        closest = _closest_semi_hard(candidates, positive)
        return mean_over_directions(tf.nn.relu(closest - positive + margin))
    violations = tf.nn.relu(candidates.logits - positive[:, tf.newaxis] + margin)
    return mean_over_directions(_mean_over_negatives(candidates, violations))


def _mean_over_negatives(candidates, terms):
    """Average `[2N, 2G]` terms over each row's negatives: `[2N]` (0 if none)."""
    count = tf.cast(tf.shape(terms)[1] - 2, terms.dtype)
    total = tf.reduce_sum(tf.where(negative_mask(candidates), terms, 0.0), axis=1)
    return tf.math.divide_no_nan(total, count)


def _closest_semi_hard(candidates, positive):
    """Return each row's largest negative logit below the positive (or float32.min)."""
    logits = candidates.logits
    farther = negative_mask(candidates) & (logits < positive[:, tf.newaxis])
    return tf.reduce_max(tf.where(farther, logits, logits.dtype.min), axis=1)
