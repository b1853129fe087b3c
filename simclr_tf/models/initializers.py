"""Initializers: the seed of each kernel, derived from the seed of the network."""

import numpy as np

from simclr_tf.seeding import threefry

ENCODER_STREAM = 2
HEAD_STREAM = 3
FRESH_STREAM = 4
PREDICTION_STREAM = 5


def kernel_seed(seed, index, stream):
    """Return the seed of one kernel's initialiser, derived from the network's seed.

    Keras initialisers with equal seeds draw equal values, so every kernel needs its own
    seed. `keras.utils.set_random_seed` is not enough: with it the values depend on
    everything that the process has built before.

    Args:
      seed: int, the network's seed, or None: initial values differ each time.
      index: int >= 0, the kernel's position in the network.
      stream: int, different for the kernels of the encoder and of the head.

    Returns:
      int in [0, 2**31), or None without a seed.

    Example:
      >>> kernel_seed(None, 0, ENCODER_STREAM) is None
      True
      >>> kernel_seed(7, 0, ENCODER_STREAM) == kernel_seed(7, 1, ENCODER_STREAM)
      False
    """
    if seed is None:
        return None
    seed = int(seed) & 0xFFFFFFFFFFFFFFFF
    words = (seed & 0xFFFFFFFF, seed >> 32, index, stream)
    bits, _ = threefry(*(np.array([word], np.uint32) for word in words))
    return int(bits[0]) & 0x7FFFFFFF
