"""Features of a set: in order, once compiled, and the encoder untouched."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import DataError, NonFiniteError
from simclr_tf.evaluation import extract_features, raw_pixels

IMAGES = np.random.default_rng(0).uniform(size=(7, 6, 5, 3)).astype(np.float32)
LABELS = np.array([3, 1, 0, 0, 2, 1, 3])


def batches_of(images=IMAGES, labels=LABELS, size=3):
    dataset = {"images": images, "ids": np.arange(len(images)) * 10}
    if labels is not None:
        dataset["labels"] = labels.astype(np.int32)
    return tf.data.Dataset.from_tensor_slices(dataset).batch(size)


@pytest.fixture
def encoder():
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    # Moving statistics far from the batches': inference mode shows.
    model.set_weights([w + 0.3 for w in model.get_weights()])
    return model


def test_features_are_those_of_inference_mode(encoder):
    features, labels, ids = extract_features(encoder, batches_of())
    assert features.dtype == np.float32 and labels.dtype == np.int64
    np.testing.assert_allclose(features, encoder(IMAGES, training=False), atol=1e-6)
    assert np.abs(features - encoder(IMAGES, training=True)).max() > 0.01
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(ids, np.arange(7) * 10)


def test_encoder_is_bit_identical_afterwards(encoder):
    before = encoder.get_weights()
    assert any("moving" in v.name for v in encoder.variables)
    extract_features(encoder, batches_of())
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_encoder_is_traced_once_although_the_last_batch_is_smaller():
    traces = []

    class Counting(keras.Model):
        def call(self, images, training=None):
            traces.append(training)
            return tf.reduce_mean(images, [1, 2])

    extract_features(Counting(), batches_of())
    assert traces == [False]


def test_feature_maps_are_averaged_over_positions():
    identity = keras.Sequential([keras.layers.Activation("linear")])
    features, _, _ = extract_features(identity, batches_of())
    np.testing.assert_allclose(features, IMAGES.mean(axis=(1, 2)), atol=1e-6)


def test_16_bit_features_come_as_float32():
    model = keras.Sequential([keras.layers.GlobalAveragePooling2D(dtype="bfloat16")])
    assert extract_features(model, batches_of())[0].dtype == np.float32


def test_raw_pixels_are_the_pixels():
    features, labels, _ = raw_pixels(batches_of())
    np.testing.assert_array_equal(features, IMAGES.reshape(7, -1))
    np.testing.assert_array_equal(labels, LABELS)


def test_uint8_images_are_divided_by_255():
    bytes_ = (IMAGES * 255).astype(np.uint8)
    features, _, _ = raw_pixels(batches_of(bytes_))
    np.testing.assert_allclose(features, bytes_.reshape(7, -1) / 255, atol=1e-7)


def test_large_raw_images_shrink_by_area_averaging():
    blocks = np.kron(IMAGES[:, :4, :2], np.ones([1, 16, 16, 1], np.float32))
    features, _, _ = raw_pixels(batches_of(blocks), max_side_pixels=4)
    np.testing.assert_allclose(features, IMAGES[:, :4, :2].reshape(7, -1), atol=1e-6)
    assert raw_pixels(batches_of(blocks), max_side_pixels=None)[0].shape[1] == 64 * 96


def test_unlabelled_sets_have_features_and_no_labels(encoder):
    features, labels, _ = extract_features(encoder, batches_of(labels=None))
    assert features.shape == (7, 4) and labels is None


def test_labels_in_some_batches_only_are_refused():
    labelled = {"images": IMAGES, "ids": np.arange(7), "labels": LABELS}
    unlabelled = {"images": IMAGES, "ids": np.arange(7)}
    with pytest.raises(DataError, match="1 of 2 batches have labels"):
        raw_pixels([labelled, unlabelled])


def test_images_of_two_sizes_are_refused_with_both():
    batches = [{"images": IMAGES, "ids": [0]}, {"images": IMAGES[:, 1:], "ids": [1]}]
    with pytest.raises(DataError, match=r"\(6, 5, 3\) and \(5, 5, 3\)"):
        raw_pixels(batches)


def test_empty_set_is_refused():
    with pytest.raises(DataError, match="no images"):
        raw_pixels([])


def test_nan_features_name_the_first_image(encoder):
    images = IMAGES.copy()
    images[4] = np.nan
    with pytest.raises(NonFiniteError, match="1 of 7 images .*40"):
        extract_features(encoder, batches_of(images))
