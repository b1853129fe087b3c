"""Distillation: cross-entropy with the predictions of a teacher as targets."""

from __future__ import annotations

import math

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.errors import require


def distillation_cross_entropy(
    teacher_logits: TensorLike, student_logits: TensorLike, *, temperature: float
) -> Tensor:
    """Compute the cross-entropy of the teacher's and student's softened predictions.

    With P(y | x; t) = softmax(logits / t), the loss of image i is

        -sum_y P_teacher(y | x_i; t) log P_student(y | x_i; t).

    It is at least the entropy of the teacher's prediction, and equal to it if both
    predict the same. Its gradient in the student's logits is (P_student - P_teacher)
    / t; none flows to the teacher. (Hinton et al., 2015, multiply by t^2; SimCLRv2
    does not, nor do we.)

    Args:
      teacher_logits: floating point `[N, C]`, of any precision.
      student_logits: the same of the student; row i belongs to row i.
      temperature: float t > 0. (SimCLRv2, section 3: 0.1 for a student of the
        teacher's size, 1.0 for a smaller one.)

    Returns:
      float32 `[N]`.

    Raises:
      ConfigError: for a temperature that is not positive and finite, or logits that
        are not `[N, C]` or not alike.

    Example:
      >>> loss = distillation_cross_entropy(
      ...     [[0.0, 0.0]], [[3.0, 3.0]], temperature=1.0)
      >>> loss.numpy()  # log(2)
      array([0.6931472], dtype=float32)

    Source: Chen et al., SimCLRv2 (2020), equation 2.
    """
    require(
        0 < temperature < math.inf,
        "`temperature` must be > 0 and finite.",
        temperature=temperature,
    )
    teacher = tf.cast(tf.convert_to_tensor(teacher_logits), tf.float32)
    student = tf.cast(tf.convert_to_tensor(student_logits), tf.float32)
    require(
        student.shape.rank == 2 and teacher.shape.is_compatible_with(student.shape),
        "The logits of teacher and student must both be [N, C], with the same classes.",
        teacher=tuple(teacher.shape),
        student=tuple(student.shape),
    )
    return tf.nn.softmax_cross_entropy_with_logits(
        labels=tf.stop_gradient(tf.nn.softmax(teacher / temperature)),
        logits=student / temperature,
    )
