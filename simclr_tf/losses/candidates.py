"""Similarities of every anchor with every candidate of the global batch, computed once.

The loss and the contrastive metrics of a step use the same matrix. This file has the
gathering over replicas, the normalisation, the float32 arithmetic and the masking of an
anchor's similarity with itself. (`streamed.py` never builds the matrix.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.distribution import (
    gather_across_replicas,
    in_several_replicas,
    num_replicas,
    replica_offset,
)
from simclr_tf.errors import require


class CandidateLogits(NamedTuple):
    """Logits of anchors against the candidates of each, and which is the positive.

    Below for NT-Xent: 2N anchors and 2G - 1 candidates. `batch_logits` and
    `info_nce_logits` have N anchors, and all columns are candidates.

    Fields:
      logits: float32 `[2N, 2G]`. Rows: this replica's N anchors of view a, then its N
        of view b. Columns: all G projections of view a, then all G of view b. The
        column of the anchor itself holds the most negative float32, so that its
        softmax is exactly 0 and no infinity enters any product.
      positives: int32 `[2N]`, the column of each anchor's other view.

    Attributes:
      positive: float32 `[2N]`, the logit of each anchor's other view.
      highest_negative: float32 `[2N]`, the largest of the other 2G - 2.
      log_sum_negatives: float32 `[2N]`, the log of the sum of exp(logit) over them.
      entropy: float32 `[2N]` in nats, of the softmax over the 2G - 1.
    """

    logits: tf.Tensor
    positives: tf.Tensor

    @property
    def positive(self) -> Tensor:
        """float32 `[2N]`."""
        return tf.gather(self.logits, self.positives, batch_dims=1)

    @property
    def negatives(self) -> Tensor:
        """float32 `[2N, 2G]`: also the column of the other view is masked."""
        columns = tf.range(tf.shape(self.logits)[1])
        is_positive = columns == self.positives[:, tf.newaxis]
        return tf.where(is_positive, self.logits.dtype.min, self.logits)

    @property
    def highest_negative(self) -> Tensor:
        """float32 `[2N]`."""
        return tf.reduce_max(self.negatives, axis=1)

    @property
    def log_sum_negatives(self) -> Tensor:
        """float32 `[2N]`."""
        return tf.reduce_logsumexp(self.negatives, axis=1)

    @property
    def entropy(self) -> Tensor:
        """float32 `[2N]`."""
        log_probabilities = tf.nn.log_softmax(self.logits, axis=1)
        # The anchor's own column: exactly 0 * a finite number.
        terms = tf.exp(log_probabilities) * log_probabilities
        return -tf.reduce_sum(terms, axis=1)


def candidate_logits(
    projections_a: TensorLike,
    projections_b: TensorLike,
    *,
    temperature: float = 1.0,
    normalize: bool = True,
) -> CandidateLogits:
    """Compute temperature-scaled similarities of each anchor with every candidate.

    Row i of both inputs comes from one image, and the anchor (a, i) is compared with
    all 2G projections but itself: logits = z_anchor . z_candidate / temperature, with
    z divided by its l2 norm if `normalize`. Inside `strategy.run`, candidates are
    gathered from all replicas, and gradients flow back to all of them; every replica
    must bring the same number of rows.

    Args:
      projections_a: float16, bfloat16, float32 or float64 `[N, D]`, the first views;
        computed in float32. (GPUs that multiply in TF32 do so here too, unless
        `tf.config.experimental.enable_tensor_float_32_execution(False)`.)
      projections_b: the same for the second views.
      temperature: float > 0; 1 gives plain similarities.
      normalize: bool, cosine similarity (the paper's) instead of the dot product. A
        row shorter than 1e-6 has no direction: it becomes zero, without gradient.

    Returns:
      `CandidateLogits`.

    Raises:
      ConfigError: unless 0 < temperature < inf, and both inputs are floating point
        and of one shape `[N, D]`.

    Example:
      >>> a = tf.constant([[2.0, 0.0], [0.0, 1.0]])
      >>> logits, positives = candidate_logits(a, -a, temperature=0.5)
      >>> logits[0, 1:].numpy().tolist(), positives.numpy().tolist()
      ([0.0, -2.0, 0.0], [2, 3, 0, 1])

    Source: Chen et al., SimCLR (2020), equation 1.
    """
    anchors, candidates = anchors_and_candidates(
        projections_a, projections_b, temperature=temperature, normalize=normalize
    )
    logits = tf.matmul(anchors, candidates, transpose_b=True) / temperature
    itself, positives = own_columns(anchors, candidates)
    is_itself = tf.range(tf.shape(candidates)[0]) == itself[:, tf.newaxis]
    return CandidateLogits(tf.where(is_itself, logits.dtype.min, logits), positives)


def batch_logits(
    queries: TensorLike, keys: TensorLike, *, temperature: float
) -> CandidateLogits:
    """Compare each query with the keys of the global batch.

    Row i of both comes from one image: its key is the positive, the keys of the other
    images are the negatives. Gradients flow to queries and keys, of all replicas.

    Args:
      queries: floating point `[N, D]`, of any precision.
      keys: the same, of the other view or of another network.
      temperature: float > 0.

    Returns:
      CandidateLogits: float32 `[N, G]`.

    Raises:
      ConfigError: for a temperature that is not positive, or shapes that do not fit.

    Example:
      >>> logits, positives = batch_logits(tf.eye(2), -tf.eye(2), temperature=0.5)
      >>> tf.abs(logits).numpy().tolist(), positives.numpy().tolist()
      ([[2.0, 0.0], [0.0, 2.0]], [0, 1])

    Source: Chen, Xie & He, MoCo v3 (2021), equation 1; Dwibedi et al., NNCLR (2021),
    equation 2.
    """
    require_temperature(temperature=temperature)
    queries, keys = matching_tensors(queries=queries, keys=keys)
    keys_global = gather_across_replicas(unit_rows(keys))
    logits = tf.matmul(unit_rows(queries), keys_global, transpose_b=True) / temperature
    number = tf.shape(queries)[0]
    return CandidateLogits(logits, replica_offset(number) + tf.range(number))


def anchors_and_candidates(projections_a, projections_b, *, temperature, normalize):
    """Return this replica's anchors and the candidates of all replicas, checked.

    Args:
      projections_a, projections_b, temperature, normalize: as in `candidate_logits`.

    Returns:
      (anchors, candidates): float32 `[2N, D]` and `[2G, D]`, view a first, of unit
      length if `normalize`, not yet divided by the temperature.

    Raises:
      ConfigError: as `candidate_logits`.
    """
    require_temperature(temperature=temperature)
    views = matching_tensors(projections_a=projections_a, projections_b=projections_b)
    views = [unit_rows(v) if normalize else tf.cast(v, tf.float32) for v in views]
    # One collective for both views: [N, 2, D] -> [G, 2, D].
    views_global = gather_across_replicas(tf.stack(views, axis=1))
    anchors = tf.concat(views, axis=0)  # [2N, D]
    candidates = tf.concat([views_global[:, 0], views_global[:, 1]], axis=0)  # [2G, D]
    return anchors, candidates


def own_columns(anchors, candidates):
    """Return the columns of each anchor itself and of its other view.

    Args:
      anchors: `[2N, D]`, this replica's, view a first.
      candidates: `[2G, D]`, of all replicas, view a first.

    Returns:
      (itself, positives): int32 `[2N]` each.
    """
    per_replica = tf.shape(anchors)[0] // 2
    global_size = tf.shape(candidates)[0] // 2
    example = replica_offset(per_replica) + tf.range(per_replica)
    itself = tf.concat([example, global_size + example], axis=0)
    positives = tf.concat([global_size + example, example], axis=0)
    return itself, positives


def negative_mask(candidates):
    """Return where each anchor's 2G - 2 negatives are: not itself, nor its other view.

    Args:
      candidates: `CandidateLogits`.

    Returns:
      bool `[2N, 2G]`.
    """
    num_columns = tf.shape(candidates.logits)[1]
    # An image's columns in the two views are G apart, so modulo G they agree.
    images = tf.range(num_columns) % (num_columns // 2)
    return images != (candidates.positives % (num_columns // 2))[:, tf.newaxis]


def mean_over_directions(losses):
    """Average the losses of the anchors of view a and of view b, for each image.

    Args:
      losses: float32 `[2N]`, view a first.

    Returns:
      float32 `[N]`.
    """
    return tf.reduce_mean(tf.reshape(losses, [2, -1]), axis=0)


def unit_rows(vectors):
    """Divide rows by their l2 norm, in float32.

    Args:
      vectors: floating point `[N, D]`.

    Returns:
      float32 `[N, D]`. A row shorter than 1e-6 has no direction: it becomes zero,
      without gradient.
    """
    rows = tf.cast(vectors, tf.float32)
    squared = tf.reduce_sum(rows**2, axis=1, keepdims=True)
    # Not l2_normalize: its gradient at zero is 1e6, which float16 cannot hold.
    has_direction = squared > 1e-12
    inverse = tf.math.rsqrt(tf.where(has_direction, squared, 1.0))
    return tf.where(has_direction, rows * inverse, 0.0)


def matching_tensors(**pair):
    """Convert two arguments of a loss to floating-point tensors of one shape `[N, D]`.

    Args:
      **pair: two arrays, by the names of the arguments.

    Returns:
      list of two tensors.

    Raises:
      ConfigError: shapes that differ, or another dtype.
    """
    names = " and ".join(f"`{name}`" for name in pair)
    tensors = [tf.convert_to_tensor(array) for array in pair.values()]
    shapes = [tensor.shape for tensor in tensors]
    require(
        all(shape.rank == 2 for shape in shapes)
        and shapes[0].is_compatible_with(shapes[1]),
        f"{names} must have one shape [N, D].",
        **{name: tuple(shape) for name, shape in zip(pair, shapes, strict=True)},
    )
    require(
        all(tensor.dtype.is_floating for tensor in tensors),
        f"{names} must be floating point.",
        **{name: t.dtype.name for name, t in zip(pair, tensors, strict=True)},
    )
    return tensors


def require_temperature(**temperatures):
    """Refuse temperatures that are not positive and finite.

    Args:
      **temperatures: floats, by the names of the arguments.

    Raises:
      ConfigError: a temperature that is not positive and finite.
    """
    for name, value in temperatures.items():
        require(
            0 < value < math.inf, f"`{name}` must be > 0 and finite.", **{name: value}
        )


def require_negatives(rows, why):
    """Refuse a global batch of a single image, if its size is known.

    Args:
      rows: tensor `[N, ...]`, this replica's.
      why: str, reason for the message.

    Raises:
      ConfigError: G = 1.
    """
    images = rows.shape[0]
    if images is not None and in_several_replicas():
        images *= num_replicas()
    require(
        images != 1,
        f"The global batch must hold two images or more: {why}.",
        images=images,
    )
