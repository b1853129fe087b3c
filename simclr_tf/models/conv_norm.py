"""Convolution, batch norm and ReLU with the same constants in a network.

Only built-in Keras layers are added (and, for several replicas, this package's batch
norm), each with a readable name: an encoder saved by one replica loads with Keras
alone, and checkpoints of other programs can be mapped to it layer by layer.
"""

import math

from simclr_tf.errors import require
from simclr_tf.lazy import keras, module

initializers = module("simclr_tf.models.initializers")
synchronized_batch_norm = module("simclr_tf.models.synchronized_batch_norm")


class ConvNorm:
    """Add convolutions and batch norms with the constants of a network to a graph.

    Args:
      seed: int or None, from which the seeds of all kernels are derived.
      synchronized: bool, batch statistics over all replicas.
      momentum: float in [0, 1), decay of the moving statistics.
      epsilon: float > 0, added to the variance.

    Raises:
      ConfigError: momentum or epsilon outside its range.
    """

    def __init__(self, *, seed, synchronized, momentum, epsilon):
        self._seed = seed
        self._batch_norm = batch_norm_class(synchronized)
        self._norm_options = batch_norm_options(momentum, epsilon)
        self._num_kernels = 0

    def conv(self, x, filters, kernel_size, strides, *, name, use_bias=False):
        """Apply a convolution whose padding does not depend on the image size.

        With a stride, "same" would pad even and odd sizes differently; instead there
        are (k-1)//2 zeros before and the rest after, for any size.
        """
        padding = "same"
        if strides > 1:
            padding = "valid"
            if kernel_size > 1:
                x = fixed_padding(x, kernel_size, name=f"{name}_pad")
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides,
            padding,
            use_bias=use_bias,
            kernel_initializer=self._kernel_initializer(),
            name=name,
        )(x)

    def norm(self, x, *, name, zero_gamma=False):
        """Apply batch norm; `zero_gamma` starts a residual branch at zero."""
        return self._batch_norm(
            gamma_initializer="zeros" if zero_gamma else "ones",
            name=name,
            **self._norm_options,
        )(x)

    def relu(self, x, *, name):
        """Apply max(x, 0)."""
        return keras.layers.ReLU(name=name)(x)

    def _kernel_initializer(self):
        """Return a truncated normal of variance 1 / fan_in (He's is 2 / fan_in)."""
        seed = initializers.kernel_seed(
            self._seed, self._num_kernels, initializers.ENCODER_STREAM
        )
        self._num_kernels += 1
        return keras.initializers.VarianceScaling(
            scale=1.0, mode="fan_in", distribution="truncated_normal", seed=seed
        )


def batch_norm_class(synchronized):
    """Return Keras's batch norm, or the one whose statistics span all replicas."""
    if synchronized:
        return synchronized_batch_norm.SynchronizedBatchNormalization
    return keras.layers.BatchNormalization


def batch_norm_options(momentum, epsilon):
    """Return checked arguments of batch norm, by Keras's names."""
    require(
        0 <= momentum < 1,
        "`batch_norm_momentum` must be in [0, 1).",
        batch_norm_momentum=momentum,
    )
    require(
        0 < epsilon < math.inf,
        "`batch_norm_epsilon` must be > 0.",
        batch_norm_epsilon=epsilon,
    )
    return {"momentum": momentum, "epsilon": epsilon}


def fixed_padding(x, kernel_size, *, name):
    """Return (k-1)//2 zeros before and the rest of k-1 after, on both axes."""
    before = (kernel_size - 1) // 2
    both_ends = (before, kernel_size - 1 - before)
    return keras.layers.ZeroPadding2D((both_ends, both_ends), name=name)(x)
