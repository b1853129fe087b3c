"""Networks that Keras 3 writes otherwise: depthwise, attention, transformers."""

import numpy as np
import pytest

from simclr_tf._keras import ADDONS_LANE, keras
from simclr_tf.export.keras3 import write_keras3
from simclr_tf.export.parity import parity_cases
from simclr_tf.export.plain_copy import plain_copy
from simclr_tf.models import check_encoder, describe_network, vision_transformer

layers = keras.layers


def with_changed_weights(encoder):
    """Nothing at its initial value, which both Keras would find by themselves."""
    rng = np.random.default_rng(0)
    encoder.set_weights(
        [w + rng.uniform(0.05, 0.2, w.shape) for w in encoder.get_weights()]
    )
    return encoder


def convolutions():
    """Layers with options of Keras 2 alone, and one with a named tensor."""
    images = keras.Input((None, None, 3))
    x = layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)(images)
    x = layers.SpatialDropout2D(0.1)(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(4, 3)(x)
    x = layers.EinsumDense("abcd,d->abcd", (None, None, 4))(x)
    x = layers.Reshape((-1, 4))(x)
    x = layers.MultiHeadAttention(2, 3)(x, value=layers.Dense(4, "gelu")(x))
    return check_encoder(
        keras.Model(images, layers.GlobalAveragePooling1D()(x), name="convolutions")
    )


def transformer():
    """At another size than its own too: cases have 32 pixels and more."""
    return vision_transformer(8, 1, 2, patch_size=8, image_size_pixels=(16, 32), seed=0)


if not ADDONS_LANE:  # TensorFlow 2.15 has no Keras 3 beside it.

    @pytest.mark.parametrize("make", [convolutions, transformer])
    def test_keras_3_computes_the_same_features_without_this_package(make, tmp_path):
        encoder = plain_copy(with_changed_weights(make()))
        cases = parity_cases(encoder, encoder)
        assert [cases[f"images{n}"].shape[1:3] for n in (0, 1)] == (
            [(32, 32), (39, 44)] if make is convolutions else [(32, 32), (40, 48)]
        )
        difference = write_keras3(
            tmp_path / "encoder.keras", encoder, describe_network(encoder), cases
        )
        assert difference <= 1e-5


def test_a_transformer_is_copied_in_float32_whatever_it_was_trained_in():
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        trained = with_changed_weights(transformer())
    finally:
        keras.mixed_precision.set_global_policy(before)
    copy = plain_copy(trained)
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    expected = transformer()
    expected.set_weights(trained.get_weights())
    images = np.random.default_rng(0).uniform(size=(2, 16, 24, 3)).astype("float32")
    np.testing.assert_array_equal(copy(images), expected(images))
