"""NT-Xent and its metrics in blocks of anchors, without all logits in memory.

The logits of a global batch of 32,768 images fill 17 GB. Here a block of anchors at a
time is compared with all candidates, and only sums over each row are kept; the backward
pass computes the blocks again. The results are exact, not an approximation.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import tensorflow as tf

from simclr_tf.array_types import TensorLike
from simclr_tf.distribution import gather_across_replicas
from simclr_tf.errors import require
from simclr_tf.losses.candidates import anchors_and_candidates, own_columns

# float32 logits [2N, 2G] of one replica up to this size are computed at once. On
# accelerators the dense form has fewer kernels; on CPUs blocks are faster already for
# much smaller batches, because they stay in the cache.
DENSE_LOGITS_BYTES = 64 * 2**20
# Size of one block [rows, 2G] beyond that. (Measured on a CPU with 2 MiB of cache a
# core: 4 and 8 MiB are equally fast, 16 MiB is slower.) About four are in memory at a
# time.
BLOCK_BYTES = 8 * 2**20


class StreamedCandidates(NamedTuple):
    """Row sums of the logits of 2N anchors, without the logits.

    Fields, float32 `[2N]` each, this replica's anchors of view a first:
      positive: logit of the anchor's other view.
      log_sum_negatives: log of the sum of exp(logit) over the 2G - 2 negatives; the
        most negative float32 where there are none.
      highest_negative: the largest logit among them; without gradient.
      entropy: in nats, of the softmax over all 2G - 1 candidates; without gradient.
    """

    positive: tf.Tensor
    log_sum_negatives: tf.Tensor
    highest_negative: tf.Tensor
    entropy: tf.Tensor


def block_rows(
    num_anchors: int | None, num_candidates: int | None, chunk_size: int | None = None
) -> int | None:
    """Return how many anchors go into one block; None if all go at once, densely.

    Args:
      num_anchors: int, 2N of one replica; None if it is not known yet.
      num_candidates: int, 2G; None if it is not known yet.
      chunk_size: int >= 1, anchors at most; None: dense up to DENSE_LOGITS_BYTES of
        logits or for unknown sizes, beyond that blocks of at most BLOCK_BYTES.

    Returns:
      int or None. Blocks are made equally large, so that little is padded.

    Raises:
      ConfigError: if `chunk_size` < 1.

    Example:
      >>> block_rows(512, 512), block_rows(8192, 8192), block_rows(10, 10, 4)
      (None, 256, 4)
    """
    require(
        chunk_size is None or chunk_size >= 1,
        "`chunk_size` must be >= 1, or None to choose automatically.",
        chunk_size=chunk_size,
    )
    if chunk_size is None:
        if num_anchors is None or num_candidates is None:
            return None
        row_bytes = 4 * num_candidates
        if num_anchors * row_bytes <= DENSE_LOGITS_BYTES:
            return None
        chunk_size = max(BLOCK_BYTES // row_bytes, 1)
    if num_anchors is None:
        return chunk_size
    return math.ceil(num_anchors / math.ceil(num_anchors / chunk_size))


def streamed_candidates(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    rows: int,
    temperature: float = 1.0,
    normalize: bool = True,
) -> StreamedCandidates:
    """Compute `candidate_logits`, reduced to the sums for NT-Xent and the metrics.

    With l_ik the logits of anchor i, and j its other view, it gives l_ij, and over the
    negatives k (neither i nor j) the log-sum-exp, the maximum and the entropy. The
    gradient needs only the log-sum-exps, because logits are symmetric: with d_i the
    gradient of the log-sum-exp of anchor i, from any replica,

        dz_i = 1/t sum_k (d_i exp(l_ik - lse_i) + d_k exp(l_ki - lse_k)) z_k,

    so each replica finds the whole gradient of its own anchors from the d and lse of
    all replicas, which are gathered, instead of summing `[2G, D]` over the replicas.
    Memory beside the projections: a few blocks `[rows, 2G]`.

    Args:
      projections_a, projections_b, temperature, normalize: as in `candidate_logits`.
      rows: int >= 1, anchors at a time; they need not divide 2N.

    Returns:
      `StreamedCandidates`. Differentiable once.

    Raises:
      ConfigError: as `candidate_logits`.

    Example:
      >>> z = tf.eye(4)
      >>> streamed_candidates(z, z, rows=3).positive.numpy().tolist()
      [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]

    Source: Chen et al., SimCLR (2020), equation 1. Recomputing a softmax from its
    log-sum-exp in the backward pass: Dao et al., FlashAttention (2022), section 3.1.
    """
    anchors, candidates = anchors_and_candidates(
        projections_a, projections_b, temperature=temperature, normalize=normalize
    )
    blocks = _Blocks(
        candidates=tf.stop_gradient(candidates),  # Their gradient: see above.
        columns=tf.stack(own_columns(anchors, candidates), axis=1),
        rows=rows,
        temperature=temperature,
    )
    positive, log_sum, highest, entropy_of_negatives = _row_sums(anchors, blocks)
    # Log-odds that the softmax picks a negative.
    log_odds = tf.stop_gradient(log_sum - positive)
    entropy = _binary_entropy(log_odds) + tf.sigmoid(log_odds) * tf.stop_gradient(
        entropy_of_negatives
    )
    return StreamedCandidates(positive, log_sum, tf.stop_gradient(highest), entropy)


class _Blocks(NamedTuple):
    """The anchors' rows of logits, some at a time.

    Fields:
      candidates: float32 `[2G, D]`.
      columns: int32 `[2N, 2]`, of each anchor itself and of its other view.
      rows: int, anchors at a time.
      temperature: float.
    """

    candidates: tf.Tensor
    columns: tf.Tensor
    rows: int
    temperature: float

    def map(self, function, anchors, *of_anchors, outputs):
        """Apply `function(negatives, positive, *of_anchors)` to each block, and join.

        Args:
          function: of the block's logits `[rows, 2G]`, the most negative float32 where
            there is no negative; of those of the positives `[rows]`; and of the rows
            of `of_anchors`; to a tuple of float32 `[rows, ...]`.
          anchors: float32 `[2N, D]`.
          *of_anchors: tensors `[2N]`.
          outputs: list of the shapes `[...]`.

        Returns:
          Tuple of float32 `[2N, ...]`.
        """

        def of_block(values):
            anchors, columns, *of_anchors = values
            return function(*self._logits(anchors, columns), *of_anchors)

        results = tf.map_fn(
            of_block,
            tuple(
                map(
                    self._split, (anchors / self.temperature, self.columns, *of_anchors)
                )
            ),
            fn_output_signature=tuple(
                tf.TensorSpec([self.rows, *shape]) for shape in outputs
            ),
            parallel_iterations=1,
        )
        number = tf.shape(anchors)[0]
        return tuple(
            tf.ensure_shape(
                tf.reshape(result, [-1, *shape])[:number], [anchors.shape[0], *shape]
            )
            for result, shape in zip(results, outputs, strict=True)
        )

    def _split(self, tensor):
        """Split `[2N, ...]` into `[blocks, rows, ...]`, the last filled with zeros."""
        missing = -tf.shape(tensor)[0] % self.rows
        padded = tf.pad(tensor, [[0, missing]] + [[0, 0]] * (tensor.shape.rank - 1))
        return tf.reshape(padded, [-1, self.rows, *tensor.shape[1:]])

    def _logits(self, anchors, columns):
        """Return logits of the negatives `[rows, 2G]` and of the positives `[rows]`."""
        logits = tf.matmul(anchors, self.candidates, transpose_b=True)
        # Not from the anchors directly: equal similarities must be equal to the last
        # bit.
        positive = tf.gather(logits, columns[:, 1], batch_dims=1)
        row = tf.tile(tf.range(self.rows)[:, tf.newaxis], [1, 2])
        # After they are read, the block can be masked in place.
        with tf.control_dependencies([positive]):
            negatives = tf.tensor_scatter_nd_update(
                logits,
                tf.reshape(tf.stack([row, columns], axis=2), [-1, 2]),
                tf.fill([2 * self.rows], logits.dtype.min),
            )
        return negatives, positive


def _row_sums(anchors, blocks):
    """Compute positive, and negatives' log-sum-exp, maximum, entropy: `[2N]` each."""

    def sums(negatives, positive):
        highest = tf.reduce_max(negatives, axis=1)
        distances = negatives - highest[:, tf.newaxis]
        weights = tf.exp(distances)
        total = tf.reduce_sum(weights, axis=1)
        mean_distance = tf.reduce_sum(weights * distances, axis=1) / total
        log_total = tf.math.log(total)
        return positive, highest + log_total, highest, log_total - mean_distance

    @tf.custom_gradient
    def row_sums(anchors):
        results = blocks.map(sums, anchors, outputs=[[]] * 4)
        return results, functools.partial(_gradient, anchors, results[1], blocks)

    return row_sums(anchors)


def _gradient(anchors, log_sum, blocks, d_positive, d_log_sum, *_):
    """Compute the gradient `[2N, D]` of the anchors from those of their two results."""
    number = tf.shape(anchors)[0]
    by_view = tf.reshape(tf.stack([log_sum, d_log_sum], axis=1), [2, number // 2, 2])
    by_view = gather_across_replicas(tf.transpose(by_view, [1, 0, 2]))  # [G, 2, 2]
    all_log_sum, all_d = tf.unstack(
        tf.reshape(tf.transpose(by_view, [2, 1, 0]), [2, -1])
    )  # [2G] each

    def products(negatives, _, log_sum, d_log_sum):
        weights = (
            tf.exp(negatives - log_sum[:, tf.newaxis]) * d_log_sum[:, tf.newaxis]
            + tf.exp(negatives - all_log_sum) * all_d
        )
        return (tf.matmul(weights, blocks.candidates),)

    (gradient,) = blocks.map(
        products, anchors, log_sum, d_log_sum, outputs=[[anchors.shape[1]]]
    )
    # Each anchor is the positive of its own other view, on the same replica.
    other = tf.roll(anchors, number // 2, axis=0)
    d_pair = d_positive + tf.roll(d_positive, number // 2, axis=0)
    return (gradient + d_pair[:, tf.newaxis] * other) / blocks.temperature


def _binary_entropy(log_odds):
    """Compute the entropy of a coin in nats; small ones are not lost to rounding."""
    rare = -tf.abs(log_odds)
    return tf.nn.softplus(rare) - rare * tf.sigmoid(rare)
