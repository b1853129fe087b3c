"""A loaded encoder refuses images of another range; its copies and files do not."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder
from simclr_tf._keras import keras
from simclr_tf.errors import DataError
from tests.export.tiny_encoder import tiny_encoder

IMAGES = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
BYTES = (255 * IMAGES).astype(np.uint8)
EXPECTED = tiny_encoder()(IMAGES, training=False)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "encoder.keras"
    tiny_encoder().save(path)
    return path


@pytest.fixture(scope="module")
def encoder(path):
    return load_encoder(path)


def test_floats_in_the_unit_interval_give_the_features(encoder):
    np.testing.assert_allclose(encoder(IMAGES, training=False), EXPECTED, rtol=1e-5)
    np.testing.assert_allclose(encoder.predict(IMAGES, verbose=0), EXPECTED, rtol=1e-5)


@pytest.mark.parametrize(
    "images, words",
    [
        (BYTES, "divide 0 to 255 by 255. Received: dtype=uint8"),
        (BYTES.astype(np.int64), "dtype=int64"),
        (BYTES.astype(np.float32), r"largest value=2\d\d"),
    ],
)
def test_images_of_another_range_are_refused(encoder, images, words):
    with pytest.raises(DataError, match=words):
        encoder(images)


def test_other_types_are_refused_in_graphs_too(encoder):
    with pytest.raises(DataError, match="dtype=uint8"):
        tf.function(lambda x: encoder(x, training=False))(BYTES)
    with pytest.raises(DataError, match="dtype=uint8"):
        keras.Model(x := keras.Input((8, 8, 3), dtype="uint8"), encoder(x))


def test_endpoints_are_refused_them_too(path):
    with pytest.raises(DataError, match="dtype=uint8"):
        load_encoder(path, endpoints=True)(BYTES)


def test_it_can_be_trained_built_upon_saved_and_read_again(encoder, tmp_path):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder(IMAGES, training=True))
    gradients = tape.gradient(loss, encoder.trainable_variables)
    assert all(g is not None for g in gradients)
    head = keras.Model(x := keras.Input((8, 8, 3)), encoder(x, training=False))
    features = encoder(IMAGES, training=False)
    np.testing.assert_allclose(head(IMAGES), features, rtol=1e-5)
    encoder.save(tmp_path / "again.keras")
    again = load_encoder(tmp_path / "again.keras")
    np.testing.assert_allclose(again(IMAGES, training=False), features, rtol=1e-5)
    encoder.save(tmp_path / "saved_model", save_format="tf")
    signature = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    (name,) = signature["serving_default"].structured_input_signature[1]
    many = signature["serving_default"](**{name: BYTES.astype(np.float32)})
    assert np.isfinite(next(iter(many.values()))).all()
