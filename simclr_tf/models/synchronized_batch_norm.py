"""Batch norm with the statistics of the global batch, for any number of replicas."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Tensor, Variable
from simclr_tf.distribution import (
    SAME_ON_ALL_REPLICAS,
    in_several_replicas,
    moments_over_replicas,
    num_replicas,
    sum_over_replicas,
)
from simclr_tf.errors import require


@keras.utils.register_keras_serializable(package="simclr_tf")
class SynchronizedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch norm, with the same result for any number of replicas.

    With mean and variance over the images of all replicas (and their pixels),

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    N replicas compute what one device computes on the whole batch: outputs,
    gradients and moving statistics. As in Keras, the moving variance follows the
    unbiased estimate for images (fused kernel), and the biased one for `[N, F]`.
    Statistics are float32 under every policy. A layer costs one collective forward and
    one backward. With one replica, and at inference, it is Keras's own layer with its
    fused kernel.

    (Keras's `synchronized=True` computes E[x^2] - E[x]^2, never the unbiased estimate,
    and needs three collectives.)

    Attributes:
      groups: int, split batch norm: in training, row i of every replica is normalized
        only with rows (of all replicas) whose number is i modulo `groups`. If `groups`
        divides each replica's rows, the result does not depend on the number of
        replicas. Moving statistics follow the mean over the groups. 1: the whole batch.

    Args:
      **kwargs: of `keras.layers.BatchNormalization`, except `synchronized`; with one
        `axis`, without `renorm` and `virtual_batch_size`.

    Raises:
      ConfigError: unsupported arguments on several replicas.

    Example:
      >>> layer = SynchronizedBatchNormalization()
      >>> layer(tf.constant([[1.0], [3.0]]), training=True).numpy().round(3).tolist()
      [[-1.0], [1.0]]
    """

    groups = 1

    def add_weight(self, *args: Any, **kwargs: Any) -> Variable:
        """Add a weight; moving statistics are equal on all replicas."""
        if kwargs.get("aggregation") == tf.VariableAggregation.MEAN:
            kwargs["aggregation"] = SAME_ON_ALL_REPLICAS
        return super().add_weight(*args, **kwargs)

    def call(
        self, inputs: Any, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Normalize with batch statistics if `training`, else with moving ones."""
        training = self._get_training_value(training)
        if self.groups > 1 and training is not False:
            return self._call_in_groups(inputs, training, mask)
        if not in_several_replicas() or training is False:
            return super().call(inputs, training=training, mask=mask)
        self._require_plain(training, mask)
        axes = [i for i in range(inputs.shape.rank) if i not in self.axis]
        outputs, mean, variance = _normalize(
            tf.cast(inputs, self.compute_dtype),
            self._per_channel(self.gamma, inputs, tf.ones),
            self._per_channel(self.beta, inputs, tf.zeros),
            axes,
            self.epsilon,
            self.moving_mean.dtype,
        )
        self._move_statistics(mean, variance, _numbers_averaged(inputs, axes))
        return outputs

    def _call_in_groups(self, inputs, training, mask):
        self._require_plain(training, mask)
        rows = inputs.shape[0]
        require(
            rows is not None and rows % self.groups == 0,
            "The groups of split batch norm must divide the images of one replica "
            "(of one micro-batch, if there are any).",
            groups=self.groups,
            images=rows,
        )
        shape = tf.shape(inputs)
        split = tf.concat([[rows // self.groups, self.groups], shape[1:]], axis=0)
        values = tf.reshape(tf.cast(inputs, self.moving_mean.dtype), split)
        kept = (1, self.axis[0] + 1)
        axes = [i for i in range(inputs.shape.rank + 1) if i not in kept]
        mean, variance = moments_over_replicas(values, axes)  # [1, groups, .., C]
        scale = tf.math.rsqrt(variance + self.epsilon)
        scale *= self._per_channel(self.gamma, inputs, tf.ones)
        outputs = (values - mean) * scale
        outputs += self._per_channel(self.beta, inputs, tf.zeros)
        means = [tf.reduce_mean(moment, axis=1) for moment in (mean, variance)]
        self._move_statistics(*means, _numbers_averaged(values, axes))
        outputs = tf.cast(tf.reshape(outputs, shape), self.compute_dtype)
        return tf.ensure_shape(outputs, inputs.shape)

    def _require_plain(self, training, mask):
        require(
            training is True and mask is None and len(self.axis) == 1,
            "Batch norm over several replicas needs a Python bool as `training`, "
            "one `axis` and no mask.",
            layer=self.name,
            training=training,
            axis=list(self.axis),
        )
        require(
            not self.renorm and self.virtual_batch_size is None,
            "Batch norm over several replicas supports neither `renorm` nor "
            "`virtual_batch_size`.",
            layer=self.name,
        )

    def _per_channel(self, parameter, inputs, default):
        """Return a gamma or beta (or its default) in a shape for broadcasting."""
        shape = [1] * inputs.shape.rank
        shape[self.axis[0]] = inputs.shape[self.axis[0]]
        if parameter is None:
            return default(shape, self.moving_mean.dtype)
        return tf.reshape(parameter, shape)

    def _move_statistics(self, mean, variance, number):
        if self.fused:  # Bessel's correction, as in the fused kernel.
            number = tf.cast(number, variance.dtype)
            variance *= number / tf.maximum(number - 1, 1)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            new = tf.reshape(new, moving.shape)
            moving.assign_sub((moving - new) * (1 - self.momentum))


def _numbers_averaged(inputs, axes):
    """Count the numbers of the global batch in one mean, int32."""
    shape = tf.shape(inputs)
    return num_replicas() * tf.reduce_prod([shape[axis] for axis in axes])


def _normalize(inputs, gamma, beta, axes, epsilon, dtype):
    """Return (outputs, mean, variance) over all replicas, with a custom gradient.

    With x^ the normalized inputs, dy the gradient of the outputs, and means over the
    global batch:

        dx = gamma / sqrt(variance + epsilon) * (dy - mean(dy) - x^ mean(dy x^)),
        dgamma = sum dy x^,  dbeta = sum dy,

    the last two over this replica's part, because gradients of parameters are summed
    over the replicas later. Automatic differentiation would keep several float32 copies
    of the inputs for the backward pass; this gradient keeps only the inputs.
    """

    @tf.custom_gradient
    def normalize(inputs, gamma, beta):
        values = tf.cast(inputs, dtype)
        mean, variance = moments_over_replicas(values, axes)
        inverse = tf.math.rsqrt(variance + epsilon)
        outputs = (values - mean) * (inverse * gamma) + beta

        def gradient(d_outputs, *_):
            d_outputs = tf.cast(d_outputs, dtype)
            normalized = (tf.cast(inputs, dtype) - mean) * inverse
            d_gamma = tf.reduce_sum(d_outputs * normalized, axes, keepdims=True)
            d_beta = tf.reduce_sum(d_outputs, axes, keepdims=True)
            means = sum_over_replicas(tf.stack([d_gamma, d_beta]))
            means /= tf.cast(_numbers_averaged(inputs, axes), dtype)
            centred = d_outputs - normalized * means[0] - means[1]
            d_inputs = tf.cast(centred * (inverse * gamma), inputs.dtype)
            return d_inputs, d_gamma, d_beta

        return (tf.cast(outputs, inputs.dtype), mean, variance), gradient

    return normalize(inputs, gamma, beta)
