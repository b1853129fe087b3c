"""Networks that Keras 3 writes otherwise: depthwise, attention, transformers."""

import numpy as np
import pytest

from simclr_tf._keras import ADDONS_LANE, keras, keras3
from simclr_tf.errors import ConfigError
from simclr_tf.export import export_saved_model
from simclr_tf.export.keras3 import write_keras3, write_keras3_here
from simclr_tf.export.parity import parity_cases
from simclr_tf.export.plain_copy import plain_copy
from simclr_tf.models import (
    check_encoder,
    classifier_network,
    describe_network,
    vision_transformer,
)
from simclr_tf.training import load_encoder
from simclr_tf.training.classifier_records import ClassifierRecord, add_record
from simclr_tf.training.keras_files import load_classifier
from tests.models.keras3_networks import nested_network

layers = keras.layers


def with_changed_weights(encoder):
    """Nothing at its initial value, which both Keras would find by themselves."""
    rng = np.random.default_rng(0)
    encoder.set_weights(
        [
            (w + rng.uniform(0.05, 0.2, w.shape)).astype(w.dtype)
            for w in encoder.get_weights()
        ]
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


def a_keras3_network():
    return check_encoder(nested_network(dropout=0.2))


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

    @pytest.mark.parametrize("make", [convolutions, transformer, a_keras3_network])
    def test_a_classifier_opens_in_keras_3_and_in_keras_2(make, tmp_path):
        classifier = with_changed_weights(classifier_network(make(), 3))
        classifier = plain_copy(classifier)
        write_keras3_here(tmp_path / "keras3.keras", classifier)
        classifier.save(tmp_path / "keras2.keras")
        for path in tmp_path.iterdir():
            add_record(path, ClassifierRecord(("a", "b", "c"), 16))
        images = np.random.default_rng(1).random((2, 16, 16, 3), np.float32)
        expected = classifier(images)
        assert np.ptp(expected) > 0.01
        three = keras3().models.load_model(tmp_path / "keras3.keras")
        two = keras.models.load_model(tmp_path / "keras2.keras")
        ours = load_classifier(tmp_path / "keras2.keras")
        for network in (three, two, ours):
            np.testing.assert_allclose(network(images), expected, atol=1e-5)
        assert isinstance(three, keras3().Model) and isinstance(two, keras.Model)

    def test_a_keras_3_encoder_is_exported_for_keras_3_and_for_everyone(tmp_path):
        network = nested_network()
        for variable in network.trainable_variables:
            variable.assign_add(0.1 * np.ones(variable.shape))
        record = export_saved_model(
            check_encoder(network),
            tmp_path / "export",
            formats=["saved_model", "keras3"],
            image_size_pixels=16,
        )
        assert record["input"]["shape"] == [None, 16, 16, 3]
        assert "image_feature_vector_bytes" in record["signatures"]
        images = np.random.default_rng(1).random((2, 16, 16, 3), np.float32)
        expected = np.mean(network(images, training=False), axis=(1, 2))
        loaded = keras3().models.load_model(tmp_path / "export" / "encoder.keras")
        np.testing.assert_allclose(loaded(images), expected, atol=1e-6)
        pixels = (255 * images).astype(np.uint8)  # Taken, but not divided.
        as_floats = loaded(pixels.astype(np.float32))
        np.testing.assert_allclose(loaded(pixels), as_floats, atol=1e-6)
        assert "Keras 3 casts" in (tmp_path / "export" / "card.md").read_text()
        encoder = load_encoder(tmp_path / "export")
        np.testing.assert_allclose(encoder(images), expected, atol=1e-6)

    def test_a_format_of_our_own_layers_is_refused_for_a_keras_3_network(tmp_path):
        with pytest.raises(ConfigError, match="is of Keras 3"):
            export_saved_model(
                check_encoder(nested_network()), tmp_path / "e", formats=["safetensors"]
            )

    def test_a_network_without_a_twin_in_keras_3_is_one_line(tmp_path):
        images = keras.Input((8, 8, 3))
        inner = keras.Sequential([layers.Conv2D(2, 3), layers.GlobalMaxPooling2D()])
        with pytest.raises(ConfigError, match="Keras 3 cannot build.*nested"):
            write_keras3_here(tmp_path / "n.keras", keras.Model(images, inner(images)))


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
