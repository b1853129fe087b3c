"""The normalized temperature-scaled cross-entropy loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.distribution import in_several_replicas, num_replicas
from simclr_tf.losses.candidates import candidate_logits, mean_over_directions
from simclr_tf.losses.streamed import (
    StreamedCandidates,
    block_rows,
    streamed_candidates,
)

if TYPE_CHECKING:
    from simclr_tf.losses.candidates import CandidateLogits


def nt_xent(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    temperature: float,
    normalize: bool = True,
    chunk_size: int | None = None,
) -> Tensor:
    """Compute NT-Xent: find the other view of an image among 2G - 1 candidates.

    For an anchor i with positive j, and s the cosine similarity,

        l(i, j) = -log( exp(s_ij / t) / sum_{k != i} exp(s_ik / t) ),

    where k runs over the 2G projections of the global batch except the anchor. The
    loss of an image is (l(a, b) + l(b, a)) / 2, so that the mean over the batch is the
    paper's mean over 2N anchors. (The authors' code sums the two directions: twice
    this value.)

    Inside `strategy.run`, candidates are gathered from all replicas. The loss of the
    global batch is the mean of the replicas' means, so each replica differentiates
    its mean divided by the number of replicas, and gradients are summed.

    Args:
      projections_a: floating point `[N, D]`, the first views, of any precision.
      projections_b: the same for the second views; row i belongs to row i.
      temperature: float > 0. (Table 5: 0.1 is best on ImageNet.)
      normalize: bool, compare directions, not lengths (Table 5: yes).
      chunk_size: int >= 1, anchors that are compared with all candidates at a time;
        None chooses: all at once, unless the logits `[2N, 2G]` of this replica would
        take more than `DENSE_LOGITS_BYTES`. It changes memory and time, and the results
        only by rounding; see `streamed_candidates`.

    Returns:
      float32 `[N]`. All equal projections give log(2G - 1).

    Raises:
      ConfigError: for a temperature that is not positive, shapes that differ, or a
        `chunk_size` < 1.

    Example:
      >>> same = tf.ones([4, 8])
      >>> loss = nt_xent(same, same, temperature=0.5)
      >>> loss.shape, round(float(loss[0]), 4)  # log(7)
      (TensorShape([4]), 1.9459)

    Source: Chen et al., SimCLR (2020), equation 1 and algorithm 1.
    """
    return nt_xent_from_logits(
        nt_xent_candidates(
            projections_a,
            projections_b,
            temperature=temperature,
            normalize=normalize,
            chunk_size=chunk_size,
        )
    )


def nt_xent_candidates(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    temperature: float = 1.0,
    normalize: bool = True,
    chunk_size: int | None = None,
) -> CandidateLogits | StreamedCandidates:
    """Compute once the logits for NT-Xent and the contrastive metrics of a step.

    Args:
      projections_a, projections_b, temperature, normalize, chunk_size: as in `nt_xent`.

    Returns:
      `CandidateLogits`, or `StreamedCandidates` if computed in blocks.

    Raises:
      ConfigError: as `nt_xent`.

    Example:
      >>> z = tf.eye(4)
      >>> type(nt_xent_candidates(z, z)).__name__
      'CandidateLogits'
      >>> type(nt_xent_candidates(z, z, chunk_size=4)).__name__
      'StreamedCandidates'
    """
    projections_a = tf.convert_to_tensor(projections_a)
    images = projections_a.shape[0] if projections_a.shape.rank else None
    anchors = None if images is None else 2 * images
    replicas = num_replicas() if in_several_replicas() else 1
    rows = block_rows(anchors, anchors and replicas * anchors, chunk_size)
    if rows is None:
        return candidate_logits(
            projections_a, projections_b, temperature=temperature, normalize=normalize
        )
    return streamed_candidates(
        projections_a,
        projections_b,
        rows=rows,
        temperature=temperature,
        normalize=normalize,
    )


def nt_xent_from_logits(candidates: CandidateLogits | StreamedCandidates) -> Tensor:
    """Compute NT-Xent from what the metrics of the same step share.

    Args:
      candidates: `CandidateLogits` or `StreamedCandidates`, at the loss's temperature.

    Returns:
      float32 `[N]`.

    Example:
      >>> z = tf.eye(4)
      >>> candidates = candidate_logits(z, z, temperature=0.5)
      >>> bool(tf.reduce_all(
      ...     nt_xent_from_logits(candidates) == nt_xent(z, z, temperature=0.5)))
      True
    """
    if isinstance(candidates, StreamedCandidates):
        # log(1 + sum_k exp(l_ik - l_ij)) over the negatives k alone.
        losses = tf.nn.softplus(candidates.log_sum_negatives - candidates.positive)
        return mean_over_directions(losses)
    # Not logsumexp - positive: in that difference, small losses are lost to rounding.
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=candidates.positives, logits=candidates.logits
    )
    return mean_over_directions(losses)
