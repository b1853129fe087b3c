"""Training from scratch starts at new values of the same architecture."""

import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import fresh_copy, resnet


@pytest.fixture(scope="module")
def trained():
    network = resnet(10, width_multiplier=0.0625, stem="small", seed=0)
    network.set_weights([w + 1 for w in network.get_weights()])
    network.trainable = False
    return network


def test_every_kernel_is_drawn_anew_and_all_else_starts_as_at_first(trained):
    copy, first = (
        fresh_copy(trained, 5),
        resnet(10, width_multiplier=0.0625, stem="small", seed=1),
    )
    kernels = []
    for fresh, initial in zip(copy.weights, first.weights, strict=True):
        assert fresh.name == initial.name
        if "kernel" in fresh.name:
            kernels.append(fresh.numpy())
            # One distribution: truncated normal of standard deviation sqrt(1 / fan_in).
            fan_in = np.prod(fresh.shape[:-1])
            assert abs(fresh.numpy().std() * fan_in**0.5 - 1) < 0.35
        else:
            np.testing.assert_array_equal(fresh.numpy(), initial.numpy())
    values = [kernel.ravel()[0] for kernel in kernels]
    assert len(set(values)) == len(values)
    assert len(copy.trainable_variables) == len(first.trainable_variables)


def test_equal_seeds_give_equal_values_and_others_do_not(trained):
    one, same, other = (
        fresh_copy(trained, seed).get_weights()[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_kernels_of_one_attention_layer_are_drawn_apart():
    tokens = keras.Input((3, 4))
    attention = keras.layers.MultiHeadAttention(2, 2, name="attention")
    network = keras.Model(tokens, attention(tokens, tokens))
    one, same = (fresh_copy(network, 1).get_weights() for _ in range(2))
    for first, second in zip(one, same, strict=True):
        np.testing.assert_array_equal(first, second)
    queries, keys, values = one[0], one[2], one[4]
    assert queries.shape == keys.shape == values.shape == (4, 2, 2)
    assert np.any(queries != keys) and np.any(keys != values)


def test_streams_of_one_seed_differ(trained):
    one, other = (fresh_copy(trained, 1, stream=stream) for stream in (2, 4))
    assert np.any(one.get_weights()[0] != other.get_weights()[0])


def test_a_layer_that_cannot_be_made_anew_is_named():
    class Closed(keras.layers.Layer):
        def __init__(self, needed):
            super().__init__(name="closed")

        def call(self, x):
            return x

    images = keras.Input((4, 4, 1))
    with pytest.raises(ConfigError, match="layer='closed'"):
        fresh_copy(keras.Model(images, Closed(object())(images)), 0)
