"""Mean and variance over the global batch."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from simclr_tf.array_types import Tensor
from simclr_tf.distribution import messages
from simclr_tf.distribution.collectives import (
    in_several_replicas,
    num_replicas,
    stack_over_replicas,
    sum_over_replicas,
)


def moments_over_replicas(values: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Compute mean and (biased) variance over some axes and over all replicas.

    Each replica computes the mean m_r of its part and the mean square distance v_r
    from it; then, with parts of equal size,

        mean = mean_r m_r,   variance = mean_r (v_r + (m_r - mean)^2).

    Unlike E[x^2] - E[x]^2 over the images, this is no difference of large numbers, so a
    variance of 1 is exact even with a mean of 1000. It takes one collective. Up to 8
    replicas, it holds the moments of all of them; for more, that would become larger
    than the gradients, and m_r and v_r + m_r^2 are summed instead, in float64, whose
    rounding disappears in the float32 result.

    Args:
      values: float32, of the same shape on every replica.
      axes: list of ints, to average over.

    Returns:
      (mean, variance): float32, the averaged axes kept with length 1; the same on
      every replica, bit for bit.

    Example:
      >>> mean, variance = moments_over_replicas(tf.constant([[1.0], [3.0]]), [0])
      >>> float(mean[0, 0]), float(variance[0, 0])
      (2.0, 1.0)

    Source: Chan, Golub and LeVeque (1983), equation 2.1.
    """
    mean = tf.reduce_mean(values, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(values - mean), axes, keepdims=True)
    if not in_several_replicas() or num_replicas() <= messages.STACKED_REPLICAS:
        of_replicas = stack_over_replicas(tf.stack([mean, variance]))  # [R, 2, ...]
        means, variances = of_replicas[:, 0], of_replicas[:, 1]
        mean = tf.reduce_mean(means, axis=0)
        return mean, tf.reduce_mean(variances + tf.square(means - mean), axis=0)
    first, second = tf.cast(mean, tf.float64), tf.cast(variance, tf.float64)
    moments = tf.stack([first, second + tf.square(first)])
    mean, mean_square = tf.unstack(sum_over_replicas(moments) / num_replicas())
    variance = tf.maximum(mean_square - tf.square(mean), 0.0)
    return tf.cast(mean, values.dtype), tf.cast(variance, values.dtype)
