"""The gradient of a kernel by the sums of this package, beside TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.models import kernel_gradients, resnet
from simclr_tf.models.kernel_gradients import (
    by_batch,
    by_shifts,
    faster_kernel_gradients,
    prepare_kernel_gradients,
)


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding"),
    [
        ((4, 4), (3, 3), (1, 1), "same"),
        ((5, 7), (3, 3), (1, 1), "same"),
        ((1, 1), (3, 3), (1, 1), "same"),
        ((4, 6), (2, 2), (1, 1), "same"),  # One more row of zeros at the end.
        ((6, 5), (5, 4), (1, 1), "same"),
        ((6, 6), (3, 3), (1, 1), "valid"),
        ((6, 6), (3, 3), (2, 2), "valid"),  # The last row is under no kernel.
        ((7, 9), (3, 3), (2, 2), "valid"),
        ((9, 8), (3, 2), (3, 2), "valid"),
        ((8, 8), (7, 7), (2, 2), "valid"),
        ((6, 4), (1, 1), (2, 2), "valid"),
    ],
)
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("function", [by_batch, by_shifts])
def test_it_is_tensorflows_gradient(size, kernel, strides, padding, kind, function):
    # Small whole numbers: all sums are exact, in any order.
    generator = np.random.default_rng(0)
    draw = lambda shape: tf.constant(generator.integers(-2, 3, shape), kind)  # noqa: E731
    images, weights = draw((5, *size, 3)), draw((*kernel, 3, 4))
    with tf.GradientTape() as tape:
        tape.watch(weights)
        output = tf.nn.conv2d(images, weights, strides, padding.upper())
    d_output = draw(output.shape)
    expected = tape.gradient(output, weights, output_gradients=d_output)
    found = function(images, d_output, kernel, strides, padding)
    assert found.dtype == expected.dtype == kind
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(found, expected)


def small_network(side=6):
    images = keras.Input((side, side, 64))
    x = keras.layers.Conv2D(8, 3, padding="same", name="first")(images)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(8, 3, 2, name="second")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def operations(function, *inputs):
    graph = tf.function(function).get_concrete_function(*inputs).graph
    return [operation.type for operation in graph.get_operations()]


def gradients(network, images, *, is_used):
    with faster_kernel_gradients(is_used), tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images, training=True) ** 2)
    return tape.gradient(loss, network.trainable_variables)


@pytest.mark.parametrize("batch", [3, None])
def test_a_prepared_network_has_the_same_gradients_by_other_operations(batch):
    images = tf.random.stateless_normal((3, 3, 3, 64), (0, 1))
    network = small_network(side=3)
    plain = gradients(network, images, is_used=False)
    prepare_kernel_gradients(network)
    spec = tf.TensorSpec([batch, 3, 3, 64])
    step = tf.function(lambda x: gradients(network, x, is_used=True))
    graph = step.get_concrete_function(spec).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert "Conv2DBackpropFilter" not in kinds and kinds.count("Conv2D") == 4
    for ours, theirs in zip(step(images), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_large_outputs_keep_tensorflows_kernel():
    network = small_network(side=12)
    prepare_kernel_gradients(network)
    kinds = operations(
        lambda x: gradients(network, x, is_used=True), tf.TensorSpec([2, 12, 12, 64])
    )
    assert kinds.count("Conv2DBackpropFilter") == 2


@pytest.mark.parametrize(
    ("flags", "side", "kind"),
    [
        ("fma amx_bf16", 8, "MatMul"),
        ("fma amx_bf16", 9, "Conv2DBackpropFilter"),
        ("fma", 8, "Conv2D"),
        (None, 8, "Conv2D"),
    ],
)
def test_the_processor_decides(monkeypatch, flags, side, kind):
    fields = {} if flags is None else {"flags": flags}
    monkeypatch.setattr(kernel_gradients, "processor_fields", lambda: fields)
    uncached = kernel_gradients._faster_functions.__wrapped__
    monkeypatch.setattr(kernel_gradients, "_faster_functions", uncached)
    layer = keras.layers.Conv2D(4, 3, padding="same", dtype="mixed_bfloat16")
    network = keras.Sequential([keras.Input((side, side, 256)), layer])
    prepare_kernel_gradients(network)
    kinds = operations(
        lambda x: gradients(network, x, is_used=True),
        tf.TensorSpec([2, side, side, 256]),
    )
    found = {"MatMul", "Conv2DBackpropFilter"} & set(kinds) or {"Conv2D"}
    assert found == {kind}


def test_convolutions_of_more_than_one_batch_axis_keep_tensorflows_kernel():
    layer = keras.layers.Conv2D(4, 3, padding="same")
    videos = tf.random.stateless_normal((2, 3, 3, 3, 64), (0, 1))
    layer(videos)
    network = keras.Sequential([layer])
    plain = gradients(network, videos, is_used=False)
    prepare_kernel_gradients(network)
    for ours, theirs in zip(
        gradients(network, videos, is_used=True), plain, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_outside_the_context_nothing_changes():
    network = small_network(side=3)
    image = tf.TensorSpec([1, 3, 3, 64])
    before = operations(network, image)
    prepare_kernel_gradients(network)
    assert operations(network, image) == before
    with faster_kernel_gradients():
        assert operations(network, image) != before
        with faster_kernel_gradients(False):  # Changes nothing.
            assert operations(network, image) != before
    assert operations(network, image) == before


def test_a_prepared_network_is_saved_and_copied_as_it_was(tmp_path):
    network = resnet(10, width_multiplier=0.1, stem="small", seed=0)
    config = network.get_config()
    prepare_kernel_gradients(network)
    assert network.get_config() == config
    path = tmp_path / "network.keras"
    network.save(path)
    copies = keras.models.load_model(path), keras.models.clone_model(network)
    image = tf.random.stateless_uniform((2, 16, 16, 3), (0, 1))
    np.testing.assert_array_equal(copies[0](image), network(image))
    for copy in copies:
        assert not any("convolution_op" in vars(layer) for layer in copy.submodules)


def test_other_convolutions_are_left_alone():
    images = keras.Input((4, 4, 8))
    layers = [
        keras.layers.Conv2D(8, 1),
        keras.layers.Conv2D(8, 3, 2, "same"),
        keras.layers.Conv2D(8, 2, dilation_rate=2),
        keras.layers.Conv2D(8, 3, padding="same", groups=2),
        keras.layers.DepthwiseConv2D(3),
    ]
    network = keras.Model(images, [layer(images) for layer in layers])
    prepare_kernel_gradients(network)
    assert not any("convolution_op" in vars(layer) for layer in layers)
