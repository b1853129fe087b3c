"""Counted operations against published numbers and closed forms."""

import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import (
    ProjectionHead,
    count_parameters,
    flops_per_example,
    flops_per_image,
)

layers = keras.layers


def test_resnet50_costs_the_published_multiplications(resnet50):
    # torchvision lists 4.09 GFLOPS (multiply-adds) for its v1.5 network at 224.
    assert flops_per_image(resnet50, 224) / 2 == pytest.approx(4.09e9, rel=0.005)


def test_resnet18_at_32_pixels_costs_the_published_multiplications(resnet18_cifar):
    assert flops_per_image(resnet18_cifar, 32) / 2 == pytest.approx(0.56e9, rel=0.01)


def test_cost_of_a_fully_convolutional_network_grows_with_the_area(tiny_resnet18):
    small, large = (flops_per_image(tiny_resnet18, size) for size in (16, 64))
    assert large == 16 * small


@pytest.mark.parametrize(
    ("layer", "multiplications"),
    [
        (layers.Conv2D(7, 3, 2, "same"), 4 * 4 * 7 * 9 * 6),
        (layers.Conv2D(8, 3, groups=2, padding="same"), 8 * 8 * 8 * 9 * 3),
        (layers.DepthwiseConv2D(3, padding="same"), 8 * 8 * 6 * 9),
        (
            layers.SeparableConv2D(5, 3, padding="same"),
            8 * 8 * 6 * 9 + 8 * 8 * 5 * 6,
        ),
        (layers.Dense(5), 8 * 8 * 5 * 6),
        (layers.EinsumDense("nhwc,cd->nhwd", output_shape=(8, 8, 5)), 8 * 8 * 5 * 6),
        (layers.BatchNormalization(), 0),
        (layers.MaxPooling2D(), 0),
    ],
)
def test_every_layer_costs_its_closed_form(layer, multiplications):
    images = keras.Input((8, 8, 6))
    model = keras.Model(images, layer(images))
    assert flops_per_image(model, 8, channels=6) == 2 * multiplications


def test_similarities_of_all_rows_cost_their_products():
    images = keras.Input((8, 8, 6))
    rows = layers.Reshape((8, 48))(images)
    model = keras.Model(images, layers.Dot(axes=2)([rows, rows]))
    assert flops_per_image(model, 8, channels=6) == 2 * 8 * 8 * 48


def test_projection_head_costs_its_products():
    head = ProjectionHead(num_layers=3, hidden_features=5, out_features=4)
    head.build((None, 6))
    assert flops_per_example(head, (6,)) == 2 * (6 * 5 + 5 * 5 + 5 * 4)


def test_nested_and_subclassed_models_cost_what_their_layers_cost():
    conv = layers.Conv2D(7, 3)
    images = keras.Input((None, None, 3))
    inner = keras.Model(images, conv(images))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def call(self, images):
            return self.inner(images)

    nested = keras.Model(images, inner(images))
    expected = 2 * 6 * 6 * 7 * 9 * 3
    assert flops_per_image(nested, 8) == flops_per_image(Outer(), 8) == expected


def test_functions_inside_a_model_are_counted_too():
    kernel = tf.ones([4, 5])
    model = layers.Lambda(tf.function(lambda x: tf.matmul(x, kernel)))
    assert flops_per_example(model, (4,)) == 2 * 4 * 5


@pytest.mark.parametrize("eagerly", [False, True])
def test_counting_changes_nothing(eagerly, tiny_resnet18):
    before = [weight.numpy().sum() for weight in tiny_resnet18.weights]
    tf.config.run_functions_eagerly(eagerly)
    try:
        flops_per_image(tiny_resnet18, 16)
        assert tf.config.functions_run_eagerly() is eagerly
    finally:
        tf.config.run_functions_eagerly(False)
    assert before == [weight.numpy().sum() for weight in tiny_resnet18.weights]


def test_frozen_parameters_count_as_not_trainable():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(5)])
    assert count_parameters(model) == (3 * 4 + 4 + 4 * 5 + 5, 0)
    model.layers[0].trainable = False
    assert count_parameters(model) == (4 * 5 + 5, 3 * 4 + 4)


def test_bad_sizes_are_refused():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3)])
    with pytest.raises(ConfigError, match="integer >= 1.*image_size_pixels=0"):
        flops_per_image(model, 0)


def test_product_of_unknown_size_is_refused():
    class Random(keras.Model):
        def call(self, x):
            rows = tf.random.uniform([], 1, 9, tf.int32)
            return tf.matmul(tf.ones([rows, 4]), tf.ones([4, 4]))

    with pytest.raises(ConfigError, match="size of a product"):
        flops_per_example(Random(), (4,))
