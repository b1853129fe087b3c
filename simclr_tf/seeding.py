"""Random numbers: run seed to (epoch, example, view, operation).

Every draw is a pure function of a key and a counter (Threefry-2x32, 20 rounds), so the
k-th batch of a run and its views depend only on the run seed: not on the batch per
replica, the number of workers, the order in which threads finish, or the step at which
a run was interrupted.

TensorFlow's own stateless generators take one key for a whole tensor; here every
image has its own key, and one call draws for the whole batch. The same rounds run on
NumPy arrays (the order of the examples, on the host) and on tensors (the
views, on the device; XLA fuses them).

Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (2011).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Array, Tensor, TensorLike

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry(
    key_0: TensorLike, key_1: TensorLike, counter_0: TensorLike, counter_1: TensorLike
) -> tuple[Any, Any]:
    """Run Threefry-2x32 with 20 rounds on arrays of one broadcastable shape.

    Args:
      key_0, key_1, counter_0, counter_1: uint32, all NumPy or all tensors.

    Returns:
      Two uint32 arrays of the broadcast shape: 64 random bits for each element.
    """
    words = key_0, key_1, counter_0, counter_1
    if isinstance(key_0, (np.ndarray, np.generic)):
        return _rounds(np.bitwise_xor, np.left_shift, np.right_shift, np.uint32, *words)
    shape = functools.reduce(tf.broadcast_static_shape, (word.shape for word in words))
    drawn = _rounds_of_tensors(*words)
    for word in drawn:
        word.set_shape(shape)
    return drawn


@tf.function(autograph=False, input_signature=[tf.TensorSpec(None, tf.uint32)] * 4)
def _rounds_of_tensors(*words):
    """Run the rounds on tensors; traced once in a process."""
    return _rounds(
        tf.bitwise.bitwise_xor,
        tf.bitwise.left_shift,
        tf.bitwise.right_shift,
        _tensor_word,
        *words,
    )


def _rounds(xor, shift_left, shift_right, word, key_0, key_1, counter_0, counter_1):
    keys = (key_0, key_1, xor(xor(key_0, key_1), word(_PARITY)))
    x_0, x_1 = counter_0 + keys[0], counter_1 + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x_0 = x_0 + x_1
            x_1 = shift_left(x_1, word(rotation)) + shift_right(
                x_1, word(32 - rotation)
            )
            x_1 = xor(x_0, x_1)
        x_0 = x_0 + keys[(group + 1) % 3]
        x_1 = x_1 + keys[(group + 2) % 3] + word(group + 1)
    return x_0, x_1


def _tensor_word(value):
    return tf.constant(value, tf.uint32)


def epoch_order(seed: int, epoch: int, num_examples: int) -> Array:
    """Return the order in which epoch `epoch` of the run visits the examples.

    Args:
      seed: int, the run seed.
      epoch: int >= 0.
      num_examples: int >= 1.

    Returns:
      int64 NumPy array `[num_examples]`, a permutation of 0 .. num_examples - 1.
    """
    keys = _epoch_key(seed, epoch, stream=0)
    bits = threefry(
        keys[0], keys[1], np.arange(num_examples, dtype=np.uint32), np.uint32(0)
    )
    return np.argsort(
        bits[0].astype(np.uint64) << np.uint64(32) | bits[1], kind="stable"
    )


def example_seeds(seed: int, epoch: int | Array, examples: Array) -> Array:
    """Derive one stateless seed an image for epoch `epoch`; all views derive from it.

    Args:
      seed: int, the run seed.
      epoch: int >= 0, or an int array like `examples`.
      examples: int NumPy array `[B]`, positions of the examples in the data set.

    Returns:
      int32 NumPy array `[B, 2]`.
    """
    examples = np.asarray(examples)
    keys = _epoch_key(seed, epoch, stream=1)
    low = (examples & 0xFFFFFFFF).astype(np.uint32)
    high = (examples >> 32).astype(np.uint32)
    bits = np.stack(threefry(keys[0], keys[1], low, high), axis=-1)
    return bits.view(np.int32)


def _epoch_key(seed, epoch, stream):
    """Fold run seed, epoch and stream (order or views) into one key."""
    seed = int(seed) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        return threefry(
            np.uint32(seed & 0xFFFFFFFF),
            np.uint32(seed >> 32),
            np.asarray(epoch, np.uint32),
            np.uint32(stream),
        )


def fold_in(seeds: TensorLike, data: int | TensorLike) -> Tensor:
    """Derive new seeds from `seeds` and an integer: a view, an operation, a step.

    Args:
      seeds: int32 tensor `[B, 2]`.
      data: int in [0, 2**31), or an int32 tensor `[B]`.

    Returns:
      int32 tensor `[B, 2]`, independent of `seeds` and of other `data`.
    """
    key_0, key_1 = _keys(seeds)
    counter = tf.cast(tf.convert_to_tensor(data), tf.uint32) + tf.zeros_like(key_0)
    # The second counter word marks folds, so that they never repeat a draw.
    bits = threefry(key_0, key_1, counter, tf.ones_like(key_0) * _tensor_word(2**31))
    return tf.stack([tf.bitcast(word, tf.int32) for word in bits], axis=-1)


def uniform(
    seeds: TensorLike,
    shape: tuple[int, ...] = (),
    minval: float = 0.0,
    maxval: float = 1.0,
) -> Tensor:
    """Draw independent uniform numbers for each image.

    Args:
      seeds: int32 tensor `[B, 2]`, one a image.
      shape: tuple of ints, the draws for each image.
      minval, maxval: float; draws are in [minval, maxval).

    Returns:
      float32 tensor `[B, *shape]`.
    """
    bits, _ = _bits(seeds, shape)
    # 24 random bits fit a float32 mantissa exactly, so the result is never 1.0.
    unit = tf.cast(tf.bitwise.right_shift(bits, _tensor_word(8)), tf.float32)
    return minval + (unit * 2.0**-24) * (maxval - minval)


def normal(seeds: TensorLike, shape: tuple[int, ...] = ()) -> Tensor:
    """Draw independent standard normal numbers for each image (Box-Muller).

    Args:
      seeds: int32 tensor `[B, 2]`.
      shape: tuple of ints, the draws for each image.

    Returns:
      float32 tensor `[B, *shape]`.
    """
    bits_0, bits_1 = _bits(seeds, shape)

    def to_unit(bits):
        return tf.cast(tf.bitwise.right_shift(bits, _tensor_word(8)), tf.float32) * (
            2.0**-24
        )

    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - to_unit(bits_0)))
    return radius * tf.cos(2.0 * math.pi * to_unit(bits_1))


def _bits(seeds, shape):
    """Draw two uint32 tensors `[B, *shape]` of random bits, keyed by image."""
    key_0, key_1 = _keys(seeds)
    size = math.prod(shape)
    counter = tf.range(size, dtype=tf.int32)
    counter = tf.bitcast(counter, tf.uint32)[tf.newaxis, :]
    bits = threefry(
        key_0[:, tf.newaxis], key_1[:, tf.newaxis], counter, tf.zeros_like(counter)
    )
    target = tf.concat([tf.shape(key_0), tf.constant(shape, tf.int32)], axis=0)
    bits = [tf.reshape(word, target) for word in bits]
    for word in bits:
        word.set_shape([seeds.shape[0], *shape])
    return bits


def _keys(seeds):
    seeds = tf.bitcast(tf.convert_to_tensor(seeds, tf.int32), tf.uint32)
    return seeds[..., 0], seeds[..., 1]
