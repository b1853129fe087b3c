"""The copy that is exported: plain, float32, and the same function."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.export import ReusableModule, plain_copy
from simclr_tf.models import SynchronizedBatchNormalization


def network(size=(None, None), synchronized=False, dtype=None):
    images = keras.Input((*size, 3), name="images")
    x = keras.layers.Conv2D(4, 3, padding="same", dtype=dtype, name="conv")(images)
    batch_norm = {
        False: keras.layers.BatchNormalization,
        True: SynchronizedBatchNormalization,
        "keras": functools.partial(keras.layers.BatchNormalization, synchronized=True),
    }[synchronized]
    x = batch_norm(dtype=dtype, name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return randomize(keras.Model(images, x))


def randomize(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1.0, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture
def images():
    return np.random.default_rng(1).uniform(size=(2, 8, 8, 3)).astype(np.float32)


def assert_same_weights(copy, encoder):
    for new, old in zip(copy.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    ours = {id(variable) for variable in encoder.variables}
    assert not any(id(variable) in ours for variable in copy.variables)


@pytest.mark.parametrize(
    "make",
    [
        lambda: network(),
        lambda: network(synchronized=True),
        lambda: network(synchronized="keras"),
        lambda: randomize(
            keras.Sequential(
                [
                    keras.Input((None, None, 3)),
                    keras.layers.Conv2D(4, 3),
                    keras.layers.GlobalAveragePooling2D(),
                ]
            )
        ),
    ],
    ids=["plain", "synchronized", "synchronized by keras", "sequential"],
)
def test_copy_is_the_same_function_with_weights_of_its_own(make, images):
    encoder = make()
    copy = plain_copy(encoder)
    assert_same_weights(copy, encoder)
    np.testing.assert_allclose(copy(images), encoder(images), atol=1e-6)


@pytest.mark.parametrize("synchronized", [True, "keras"])
def test_encoder_trained_in_a_strategy_loses_every_trace_of_it(images, synchronized):
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        encoder = network(synchronized=synchronized)
    copy = plain_copy(encoder)
    assert type(copy.get_layer("bn")) is keras.layers.BatchNormalization
    assert not copy.get_layer("bn").synchronized
    assert all(type(v).__name__ == "ResourceVariable" for v in copy.variables)
    np.testing.assert_allclose(copy(images), encoder(images), atol=1e-6)


def test_older_class_of_synchronized_batch_norm_becomes_plain(images):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.experimental.SyncBatchNormalization(name="bn")(inputs)
    encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    copy = plain_copy(randomize(encoder))
    assert type(copy.get_layer("bn")) is keras.layers.BatchNormalization
    assert not copy.get_layer("bn").synchronized
    np.testing.assert_allclose(copy(images), encoder(images), atol=1e-6)


def test_16_bit_encoder_becomes_float32(images):
    encoder = network(dtype="mixed_bfloat16", synchronized=True)
    copy = plain_copy(encoder)
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    assert_same_weights(copy, encoder)
    np.testing.assert_allclose(copy(images), encoder(images), rtol=0.02, atol=0.02)
    np.testing.assert_allclose(copy(images), plain_copy(copy)(images), atol=1e-7)


def test_global_policy_does_not_reach_the_copy(images):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        encoder = network()
        copy = plain_copy(encoder)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert encoder.get_layer("conv").compute_dtype == "bfloat16"
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}


def test_fixed_size_becomes_free_where_the_layers_allow_it(images):
    encoder = network(size=(8, 8))
    copy = plain_copy(encoder)
    assert copy.input_shape == (None, None, None, 3)
    assert_same_weights(copy, encoder)
    np.testing.assert_allclose(copy(images), encoder(images), atol=1e-6)
    assert copy(np.zeros([1, 5, 11, 3], np.float32)).shape == (1, 4)


@pytest.mark.parametrize("hidden", [False, True])
def test_fixed_size_stays_where_a_layer_needs_it(images, hidden):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(4)(x) if hidden else x
    copy = plain_copy(randomize(keras.Model(inputs, keras.layers.Dense(2)(x))))
    assert copy.input_shape == (None, 8, 8, 3)


def test_frozen_layers_are_trainable_in_the_copy():
    encoder = network()
    encoder.get_layer("bn").trainable = False
    encoder.get_layer("conv").trainable = False
    copy = plain_copy(encoder)
    assert_same_weights(copy, encoder)
    assert len(copy.trainable_variables) == 4
    assert encoder.trainable_variables == []


def test_nested_networks_are_copied_through(images):
    inner = network(synchronized=True, dtype="mixed_bfloat16")
    inputs = keras.Input((None, None, 3))
    encoder = keras.Model(inputs, keras.layers.Dense(3, name="top")(inner(inputs)))
    copy = plain_copy(randomize(encoder))
    assert_same_weights(copy, encoder)
    nested = copy.get_layer(inner.name)
    assert nested is not inner
    assert type(nested.get_layer("bn")) is keras.layers.BatchNormalization
    np.testing.assert_allclose(copy(images), encoder(images), rtol=0.02, atol=0.02)


def test_layer_with_an_incomplete_config_is_named():
    class Scale(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__(name="my_scale")
            self.factor = self.add_weight("factor", initializer="ones")

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return {"name": self.name}

    inputs = keras.Input((None, None, 3))
    maps = Scale(2.0)(inputs)
    encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))
    with pytest.raises(ConfigError, match=r"get_config.*layer='my_scale'") as caught:
        plain_copy(encoder)
    assert "\n" not in str(caught.value)


def test_encoder_without_weights_is_refused():
    pool = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()]
    )
    with pytest.raises(ConfigError, match="no weights to export"):
        plain_copy(pool)


def test_foreign_encoder_has_the_features_as_its_only_output():
    module = ReusableModule(plain_copy(network()))
    assert module.outputs == {"default": (None, 4)}
    assert module.image_shape == (None, None, 3)


def test_an_input_of_any_name_and_a_fixed_size_are_copied_at_any_size():
    pixels = keras.Input((8, 8, 3), name="pixels")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(pixels))
    encoder = randomize(keras.Model(pixels, x))
    copy = plain_copy(encoder)
    assert copy.input_shape == (None, None, None, 3)
    assert_same_weights(copy, encoder)
