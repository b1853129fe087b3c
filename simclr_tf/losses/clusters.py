"""Losses that predict one view's cluster, or a teacher's output, from another view.

Codes and a teacher's logits get no gradient. The targets prevent that all images fall
into one cluster: by equal shares of the global batch (`sinkhorn`), or by subtracting a
centre and a low temperature (DINO).
"""

from __future__ import annotations

import math

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.distribution import in_several_replicas, stack_over_replicas
from simclr_tf.errors import require
from simclr_tf.losses.candidates import matching_tensors, require_temperature


def sinkhorn(
    scores: TensorLike, *, epsilon: float = 0.05, iterations: int = 3
) -> Tensor:
    """Compute the codes of a batch: soft assignments to clusters of equal size.

    From Q = exp(scores / epsilon), each iteration first divides every column by its
    sum over the global batch, so that all K prototypes have the same share of it, and
    then every row by its sum. After many iterations it is the assignment with the
    highest scores, smoothed by `epsilon`, among those of equal shares. A constant
    added to a prototype's scores changes nothing. In logarithms, so that no score
    overflows.

    Args:
      scores: floating point `[N, K]`, of any precision: the similarity of each image
        to each prototype. Inside `strategy.run`, this replica's rows; every replica
        must bring the same number. Or `[V, N, K]`: V views, each with codes of its
        own; they share their messages. A row of -inf takes no part, and its codes are
        zeros.
      epsilon: float > 0, smoothness. (The paper: 0.05.)
      iterations: int >= 1. (The paper: 3.)

    Returns:
      float32, of the shape of the scores, rows sum to 1; without gradient.

    Raises:
      ConfigError: scores that are not `[N, K]` or `[V, N, K]`, or values outside
        their range.

    Example:
      >>> sinkhorn([[1.0, 0.0], [1.0, 0.0]]).numpy().tolist()
      [[0.5, 0.5], [0.5, 0.5]]

    Source: Caron et al., SwAV (2020), equation 5 and the pseudocode of appendix A;
    Cuturi, Sinkhorn distances (2013).
    """
    require_temperature(epsilon=epsilon)
    require(iterations >= 1, "`iterations` must be >= 1.", iterations=iterations)
    scores = tf.convert_to_tensor(scores)
    require(
        scores.dtype.is_floating and scores.shape.rank in (2, 3),
        "`scores` must be floating point [N, K] or [V, N, K].",
        scores=(scores.dtype.name, tuple(scores.shape)),
    )
    log_codes = tf.stop_gradient(tf.cast(scores, tf.float32)) / epsilon
    nothing = -math.inf
    takes_part = tf.reduce_max(log_codes, axis=-1, keepdims=True) != nothing
    for _ in range(iterations):
        log_codes -= _log_sum_over_global_batch(log_codes)
        rows = tf.nn.log_softmax(log_codes, axis=-1)
        log_codes = tf.where(takes_part, rows, nothing)  # NaN without it.
    return tf.exp(log_codes)


def swapped_prediction(
    scores: TensorLike, codes: TensorLike, *, temperature: float = 0.1
) -> Tensor:
    """Compute the cross-entropy of one view's prediction against another view's codes.

        l = -sum_k q_k log softmax(scores / t)_k

    Args:
      scores: floating point `[N, K]`, of any precision: of the view that predicts.
      codes: floating point `[N, K]`, of `sinkhorn`, of another view of the same
        images; without gradient.
      temperature: float > 0. (The paper: 0.1.)

    Returns:
      float32 `[N]`, at least the entropy of the codes. Equal scores give log(K).

    Raises:
      ConfigError: for a temperature that is not positive, or shapes that differ.

    Example:
      >>> swapped_prediction([[2.0, 2.0]], [[0.3, 0.7]]).numpy()  # log(2)
      array([0.6931472], dtype=float32)

    Source: Caron et al., SwAV (2020), equation 2.
    """
    require_temperature(temperature=temperature)
    scores, codes = matching_tensors(scores=scores, codes=codes)
    return _cross_entropy(tf.cast(codes, tf.float32), scores, temperature)


def dino_cross_entropy(
    student_logits: TensorLike,
    teacher_logits: TensorLike,
    center: TensorLike,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Tensor:
    """Compute cross-entropy of a student against a centred, sharpened teacher.

        l = -sum_k softmax((teacher - center) / t_t)_k log softmax(student / t_s)_k

    Args:
      student_logits: floating point `[N, K]`, of any precision.
      teacher_logits: the same of the teacher, of another view of the same images;
        without gradient.
      center: floating point `[K]` or `[1, K]`, a running mean of the teacher's logits,
        as it was before this step; without gradient.
      student_temperature: float > 0. (The paper: 0.1.)
      teacher_temperature: float > 0, lower than the student's. (The paper: 0.04, and
        up to 0.07 after a warm-up.)

    Returns:
      float32 `[N]`, at least the entropy of the teacher's prediction. A student with
      equal logits gives log(K).

    Raises:
      ConfigError: for a temperature that is not positive, or shapes that do not fit.

    Example:
      >>> loss = dino_cross_entropy([[0.0, 0.0]], [[3.0, 1.0]], [3.0, 1.0])
      >>> loss.numpy()  # log(2)
      array([0.6931472], dtype=float32)

    Source: Caron et al., DINO (2021), algorithm 1.
    """
    require_temperature(
        student_temperature=student_temperature,
        teacher_temperature=teacher_temperature,
    )
    student, teacher = matching_tensors(
        student_logits=student_logits, teacher_logits=teacher_logits
    )
    center = tf.convert_to_tensor(center)
    shape = center.shape
    require(
        shape.rank in (1, 2)
        and shape[-1:].is_compatible_with(teacher.shape[1:])
        and shape[:-1].is_compatible_with([1] * (shape.rank - 1)),
        "`center` must be [K] or [1, K], as wide as the logits.",
        center=tuple(shape),
        teacher_logits=tuple(teacher.shape),
    )
    centred = tf.cast(teacher, tf.float32) - tf.cast(center, tf.float32)
    targets = tf.nn.softmax(centred / teacher_temperature)
    return _cross_entropy(targets, student, student_temperature)


def _cross_entropy(targets, logits, temperature):
    """Compute -sum_k targets_k log softmax(logits / t)_k: float32 `[N]`."""
    return tf.nn.softmax_cross_entropy_with_logits(
        labels=tf.stop_gradient(targets),
        logits=tf.cast(logits, tf.float32) / temperature,
    )


def _log_sum_over_global_batch(log_codes):
    """Log of each column's sum over the rows of all replicas -> `[..., 1, K]`."""
    log_sums = tf.reduce_logsumexp(log_codes, axis=-2, keepdims=True)
    if not in_several_replicas():
        return log_sums
    return tf.reduce_logsumexp(stack_over_replicas(log_sums), axis=0)
