"""A user's encoder becomes one for several replicas without changing."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization, synchronized_copy
from tests.models.conftest import randomize


def a_network():
    inner_inputs = keras.Input((None, None, 4))
    x = keras.layers.BatchNormalization(epsilon=0.01, name="inner_bn")(inner_inputs)
    inner = keras.Model(inner_inputs, keras.layers.ReLU()(x), name="inner")
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, trainable=False, name="conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.7, name="bn")(x)
    return keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inner(x)))


def test_copy_is_the_same_function_with_all_its_batch_norms_synchronized():
    encoder = a_network()
    randomize(encoder)
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        copy = synchronized_copy(encoder)
    images = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(copy(images), encoder(images), rtol=1e-5)
    norms = [copy.get_layer("bn"), copy.get_layer("inner").get_layer("inner_bn")]
    assert {type(norm) for norm in norms} == {SynchronizedBatchNormalization}
    assert [(n.momentum, n.epsilon) for n in norms] == [(0.7, 1e-3), (0.99, 0.01)]
    assert not copy.get_layer("conv").trainable
    assert all(type(v).__name__ != "ResourceVariable" for v in copy.variables)
    ours = {id(variable) for variable in encoder.variables}
    assert not any(id(variable) in ours for variable in copy.variables)


def test_layer_that_cannot_be_made_anew_is_named():
    class Scale(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__(name="my_scale")
            self.factor = self.add_weight("factor", initializer="ones")

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return {"name": self.name}

    inputs = keras.Input((8, 8, 3))
    encoder = keras.Model(inputs, keras.layers.Flatten()(Scale(2.0)(inputs)))
    with pytest.raises(ConfigError, match="one_device.*my_scale"):
        synchronized_copy(encoder)
