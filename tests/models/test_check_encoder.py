"""Encoders that users bring."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import check_encoder, endpoints, fitting_encoder

layers = keras.layers


class SmallNetwork(keras.Model):
    """A user's subclassed encoder; `pooled` decides its rank."""

    def __init__(self, pooled):
        super().__init__(name="small_network")
        self.conv = layers.Conv2D(5, 3, 2)
        self.norm = layers.BatchNormalization()
        self.pool = layers.GlobalAveragePooling2D() if pooled else None

    def call(self, images, training=False):
        maps = self.norm(self.conv(images), training=training)
        return maps if self.pool is None else self.pool(maps)


def functional(*stack, shape=(None, None, 3)):
    images = x = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(images, x)


def test_good_encoder_comes_back_as_it_is(tiny_resnet18):
    assert check_encoder(tiny_resnet18) is tiny_resnet18


def test_feature_maps_are_averaged_and_share_their_weights(images):
    maps = functional(layers.Conv2D(5, 3), layers.BatchNormalization())
    encoder = check_encoder(maps)
    expected = maps(images).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(encoder(images), expected, rtol=1e-4, atol=1e-6)
    assert list(endpoints(encoder)) == ["final_avg_pool"]
    assert [id(w) for w in encoder.weights] == [id(w) for w in maps.weights]


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("called_before", [False, True])
def test_subclassed_model_becomes_an_encoder(pooled, called_before, images):
    network = SmallNetwork(pooled)
    if called_before:
        network(images)
    encoder = check_encoder(network)
    assert encoder.output_shape == (None, 5)
    assert list(endpoints(encoder)) == ["final_avg_pool"]
    output = network(images).numpy()
    expected = output if pooled else output.mean(axis=(1, 2))
    np.testing.assert_allclose(encoder(images), expected, rtol=1e-5)
    encoder(images, training=True)
    assert np.any(network.norm.moving_mean), "the wrapper must pass `training` on"
    assert len(encoder.trainable_weights) == 4


def test_sequential_model_becomes_an_encoder_before_and_after_it_is_built(images):
    built = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(5, 3)])
    for model in (built, keras.Sequential([layers.Conv2D(5, 3)])):
        encoder = check_encoder(model)
        expected = model(images).numpy().mean(axis=(1, 2))
        np.testing.assert_allclose(encoder(images), expected, rtol=1e-4, atol=1e-6)


def test_keras_applications_become_encoders():
    network = keras.applications.MobileNet(
        input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None
    )
    encoder = check_encoder(network)
    assert encoder(tf.zeros([2, 32, 32, 3])).shape == [2, 256]
    assert set(map(id, encoder.weights)) == set(map(id, network.weights))


def test_image_shape_is_for_models_that_need_a_certain_one():
    class Fixed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)
            self.flatten = layers.Flatten()

        def call(self, images):
            return self.dense(self.flatten(images))

    with pytest.raises(ConfigError, match="pass `image_shape=.*Fixed"):
        check_encoder(Fixed())
    encoder = check_encoder(Fixed(), image_shape=(8, 8, 1))
    assert encoder(tf.zeros([2, 8, 8, 1])).shape == [2, 4]
    with pytest.raises(ConfigError, match="height, width, channels"):
        check_encoder(Fixed(), image_shape=(8, 8))


def test_sixteen_bit_features_become_float32(mixed_bfloat16, images):
    for stack in (
        [layers.Conv2D(5, 3)],
        [layers.Conv2D(5, 3), layers.GlobalAveragePooling2D()],
    ):
        network = functional(*stack)
        assert network(images).dtype == tf.bfloat16
        assert check_encoder(network)(images).dtype == tf.float32
    subclassed = check_encoder(SmallNetwork(pooled=True))
    assert subclassed(images).dtype == tf.float32


def test_layer_that_is_called_final_avg_pool_already_is_no_obstacle(images):
    pool = layers.GlobalAveragePooling2D(keepdims=True, name="final_avg_pool")
    encoder = check_encoder(functional(layers.Conv2D(5, 3), pool))
    assert endpoints(encoder)["final_avg_pool"].shape.as_list() == [None, 5]


def test_checked_encoder_passes_the_check(images):
    encoder = check_encoder(SmallNetwork(pooled=False))
    assert check_encoder(encoder) is encoder


def two_inputs():
    a, b = keras.Input((4, 4, 3)), keras.Input((4, 4, 3))
    return keras.Model([a, b], layers.Add()([a, b]))


def named_outputs():
    images = keras.Input((4, 4, 3))
    return keras.Model(images, {"features": layers.Flatten()(images)})


class ListOutput(keras.Model):
    def call(self, images):
        return [images, images]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: object(), "must be a `keras.Model`.*builtins.object"),
        (lambda: layers.Dense(3), "must be a `keras.Model`.*Dense"),
        (two_inputs, "must have one input, a tensor"),
        (named_outputs, "must have one output, a tensor.*features"),
        (ListOutput, "must have one output, a tensor"),
        (lambda: functional(shape=(8,)), r"input must have the shape \[N, H, W, C\]"),
        (
            lambda: functional(layers.Reshape((-1, 3)), shape=(4, 4, 3)),
            r"output must have the shape \[N, F\] or \[N, H, W, F\].*16, 3",
        ),
        (
            lambda: functional(layers.Flatten()),
            "known last axis.*None, None",
        ),
        (
            lambda: keras.Model(x := keras.Input((4, 4, 3), dtype="uint8"), x),
            "input must hold floats.*uint8",
        ),
    ],
)
def test_models_that_are_no_encoders_are_refused_in_one_line(make, words):
    with pytest.raises(ConfigError, match=words) as caught:
        check_encoder(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("strides", "words"),
    [
        (2, r"conv2.*Negative dimension size"),
        (1, r"strided_slice leaves maps of \(1, 0, 0, 4\)"),
    ],
)
def test_images_that_shrink_to_nothing_are_refused_in_one_line(strides, words):
    stack = [layers.Conv2D(4, 3, strides, name=f"conv{n}") for n in (1, 2)]
    if strides == 1:
        stack.append(lambda maps: maps[:, 1:, 1:])
    network = functional(*stack)
    assert fitting_encoder(network, (9, 9, 3)).output_shape == (None, 4)
    with pytest.raises(ConfigError, match=words) as caught:
        fitting_encoder(network, (5, 5, 3))
    assert "\n" not in str(caught.value)
    assert "does not take images of (5, 5, 3)" in str(caught.value)
