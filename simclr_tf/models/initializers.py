"""Initializers: one seed a network, from which each kernel has its own."""

import numpy as np

from simclr_tf.seeding import threefry

ENCODER_STREAM = 2
HEAD_STREAM = 3
FRESH_STREAM = 4
PREDICTION_STREAM = 5


def kernel_seed(seed, index, stream):
    """Return the seed of one kernel's initialiser, derived from the network's seed.

    Keras initialisers with equal seeds draw equal values, so every kernel needs a
    seed of its own. `keras.utils.set_random_seed` would not do: there the values
    depend on what else the process has built before.

    Args:
      seed: int, the network's seed, or None: initial values differ each time.
      index: int >= 0, the kernel's place in the network.
      stream: int, keeps the encoder's and the head's kernels apart.

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
