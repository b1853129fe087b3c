"""Gaussian blur."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import apply_blur, sample_blur
from simclr_tf.augment.operators.blur import kernel_radius
from simclr_tf.errors import ConfigError
from tests.oracles.augment_filters import blur


def seeds(count):
    return tf.stack([tf.range(count), tf.fill([count], 5)], axis=1)


def random_images(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("height", "taps"), [(32, 3), (96, 9), (160, 17), (224, 23), (299, 29), (19, 1)]
)
def test_the_kernel_has_the_references_size(height, taps):
    assert 2 * kernel_radius(height) + 1 == taps


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_blur_equals_the_oracle_with_a_sigma_of_its_own_an_image(channels):
    images, sigmas = random_images(3, 20, 13, channels), [0.1, 0.7, 2.0]
    outputs = apply_blur(images, tf.constant(sigmas), kernel_fraction=0.35)
    for image, sigma, output in zip(images, sigmas, outputs, strict=True):
        expected = blur(image.astype(np.float64), sigma, radius=3)
        np.testing.assert_allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize("size", [32, 96])
def test_a_constant_image_stays_constant_up_to_its_corners(size):
    images = np.full((2, size, size, 3), 0.7, np.float32)
    outputs = apply_blur(images, tf.constant([0.5, 2.0]))
    np.testing.assert_allclose(outputs, images, atol=1e-6)


def test_sigma_0_keeps_every_bit_and_others_blur():
    images = random_images(2, 32, 32, 3)
    outputs = apply_blur(images, tf.constant([0.0, 1.0])).numpy()
    np.testing.assert_array_equal(outputs[0], images[0])
    assert outputs[1].std() < 0.8 * images[1].std()


def test_a_larger_sigma_blurs_more():
    images = np.repeat(random_images(1, 64, 64, 1), 5, axis=0)
    outputs = apply_blur(images, tf.constant([0.1, 0.4, 0.8, 1.4, 2.0])).numpy()
    assert np.all(np.diff(outputs.std(axis=(1, 2, 3))) < 0)


def test_sigma_is_uniform_in_its_range_where_applied():
    sigmas = sample_blur(seeds(20000)).numpy()
    applied = sigmas[sigmas > 0]
    assert abs(len(applied) / 20000 - 0.5) < 4 * 0.5 / np.sqrt(20000)
    assert 0.1 <= applied.min() < 0.11 and 1.99 < applied.max() < 2.0
    assert abs(applied.mean() - 1.05) < 4 * 1.9 / np.sqrt(12 * len(applied))


@pytest.mark.parametrize(
    "keywords",
    [{"probability": 1.1}, {"sigma_min_pixels": 0.0}, {"sigma_max_pixels": 0.05}],
)
def test_sample_blur_refuses_values_outside_their_range(keywords):
    with pytest.raises(ConfigError, match=f"`{next(iter(keywords))}`"):
        sample_blur(seeds(1), **keywords)
