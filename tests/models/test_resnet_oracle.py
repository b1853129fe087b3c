"""Whole networks against NumPy loops, endpoint by endpoint."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.models import resnet, with_endpoints
from simclr_tf.models.conv_norm import ConvNorm
from tests.models.conftest import randomize
from tests.oracles import models_networks as oracle

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def weights_of(encoder):
    """Layer name to float64 arrays."""
    return {
        layer.name: [weight.numpy().astype(np.float64) for weight in layer.weights]
        for layer in encoder.layers
    }


def assert_equals_oracle(encoder, images, depth, stem, **switches):
    expected = oracle.resnet(
        images.astype(np.float64),
        weights_of(encoder),
        blocks=BLOCKS[depth],
        bottleneck=depth >= 50,
        stem=stem,
        **switches,
    )
    outputs = with_endpoints(encoder)(images, training=False)
    assert set(outputs) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(
            outputs[name], values, rtol=2e-4, atol=2e-4, err_msg=name
        )
        assert values.std() > 1e-3, f"{name} is too dull to compare"


@pytest.mark.parametrize(
    ("depth", "stem", "sk", "se"),
    [
        (18, "imagenet", False, False),
        (10, "small", True, True),
        (50, "cifar", False, False),
    ],
)
def test_network_equals_the_loops(depth, stem, sk, se, images):
    encoder = resnet(
        depth,
        width_multiplier=1 / 16,
        stem=stem,
        sk_ratio=0.0625 if sk else 0.0,
        se_ratio=0.25 if se else 0.0,
        seed=3,
    )
    randomize(encoder)
    images = images if stem == "imagenet" else images[:, :7, :8]
    assert_equals_oracle(encoder, images, depth, stem, sk=sk, se=se)


def test_selective_kernel_network_equals_the_loops(full_featured, images):
    assert_equals_oracle(full_featured, images, 50, "imagenet", sk=True, se=True)


def test_selective_kernel_squeezes_to_at_least_32_features(full_featured):
    layer = full_featured.get_layer("block_group4_block1_conv2_sk_reduce")
    assert layer.filters == 32


def test_squeeze_excitation_reduces_by_the_width_before_expansion(full_featured):
    # Group 4 has 32 channels before the expansion to 128.
    assert full_featured.get_layer("block_group4_block1_se_reduce").filters == 8
    assert full_featured.get_layer("block_group4_block1_se_expand").filters == 128


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
@pytest.mark.parametrize("size", [8, 9])
def test_strided_convolution_pads_without_looking_at_the_size(kernel_size, size):
    net = ConvNorm(seed=0, synchronized=False, momentum=0.9, epsilon=1e-5)
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, net.conv(inputs, 3, kernel_size, 2, name="conv"))
    x = np.random.default_rng(0).normal(size=(1, size, size, 2)).astype(np.float32)
    before = (kernel_size - 1) // 2
    after = kernel_size - 1 - before
    pads = [[0, 0], [before, after], [before, after], [0, 0]]
    kernel = model.get_layer("conv").kernel
    expected = tf.nn.conv2d(tf.pad(x, pads), kernel, 2, "VALID")
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
