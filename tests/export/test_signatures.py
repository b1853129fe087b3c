"""What the signatures of an exported module take, and what they refuse."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.export import ReusableModule
from simclr_tf.export.preprocessing import resizing_text, views_from_bytes


def tiny_encoder(size=(None, None), channels=3):
    images = keras.Input((*size, channels), name="images")
    x = keras.layers.Conv2D(4, 3, name="initial_conv")(images)
    x = keras.layers.GlobalAveragePooling2D(name="final_avg_pool")(x)
    return keras.Model(images, x)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("module"))
    module = ReusableModule(tiny_encoder())
    tf.saved_model.save(module.root, folder, signatures=module.signatures)
    return tf.saved_model.load(folder)


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    return rng.uniform(size=(3, 12, 17, 3)).astype(np.float32)


WRONG = {
    "uint8": np.zeros([1, 8, 8, 3], np.uint8),
    "one channel": np.zeros([1, 8, 8, 1], np.float32),
    "no batch": np.zeros([8, 8, 3], np.float32),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_dtype_channels_and_rank_are_refused_with_what_is_expected(loaded, wrong):
    expected = r"TensorSpec\(shape=\(None, None, None, 3\), dtype=tf.float32"
    with pytest.raises(ValueError, match=expected):
        loaded(wrong)


@pytest.mark.parametrize(
    "wrong, reason",
    [
        (WRONG["uint8"], "expected to be a float tensor but is a uint8 tensor"),
        (
            WRONG["one channel"],
            r"\[1,8,8,1\] is not compatible with expected shape "
            r"\[\?,\?,\?,3\]",
        ),
        (WRONG["no batch"], r"\[8,8,3\] is not compatible with expected shape"),
    ],
    ids=WRONG,
)
def test_signatures_refuse_them_too_and_name_the_reason(loaded, wrong, reason):
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        loaded.signatures["serving_default"](images=tf.constant(wrong))


@pytest.mark.parametrize(
    "wrong, reason",
    [
        (np.zeros([1, 8, 8, 3], np.float32), "a uint8 tensor but is a float"),
        (np.zeros([1, 8, 8, 1], np.uint8), r"\[1,8,8,1\] is not compatible"),
        (np.zeros([8, 8, 3], np.uint8), r"\[8,8,3\] is not compatible"),
    ],
    ids=["float", "one channel", "no batch"],
)
def test_uint8_signature_refuses_the_same(loaded, wrong, reason):
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        loaded.signatures["image_feature_vector_uint8"](images=tf.constant(wrong))


def test_floats_outside_the_unit_interval_are_not_refused(loaded):
    assert np.isfinite(loaded(np.full([1, 8, 8, 3], 255, np.float32))).all()


def test_uint8_signature_divides_by_255(loaded, images):
    pixels = (images * 255).astype(np.uint8)
    outputs = loaded.signatures["image_feature_vector_uint8"](
        images=tf.constant(pixels)
    )
    expected = loaded.signatures["serving_default"](
        images=tf.constant(pixels / np.float32(255))
    )
    assert set(outputs) == set(expected)
    for name in expected:
        # TensorFlow multiplies by 1/255: a pixel is up to one rounding off, of 6e-8.
        np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-6, atol=1e-6)


WHOLE = (0, 0, 40, 60)


@pytest.mark.parametrize(
    "size, box",
    [((28, 28), WHOLE), ((32, 24), WHOLE), ((48, 36), (3, 17, 35, 26))],
)
def test_small_views_show_the_whole_image_and_larger_ones_its_centre(size, box):
    """As `resizing_text` describes it: 0.875 of 40 x 30, the largest of that shape."""
    assert ("whole image" in resizing_text(size)) == (box == WHOLE)
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)
    views = views_from_bytes(tf.io.encode_png(image[np.newaxis]), size, 3)
    y, x, height, width = box
    part = image[y : y + height, x : x + width]
    expected = tf.clip_by_value(tf.image.resize(part, size, "bicubic") / 255, 0, 1)
    np.testing.assert_allclose(views[0], expected, atol=2e-3)


@pytest.mark.parametrize(
    "size, channels, words",
    [((8, 8), 3, "fixed image size"), ((None, None), 4, "decoded to 1 or 3 channels")],
)
def test_bytes_are_only_decoded_to_what_the_encoder_takes(size, channels, words):
    with pytest.raises(ConfigError, match=words):
        ReusableModule(tiny_encoder(size, channels), image_size_pixels=16)
