"""Cutout, rotation, Gaussian noise and Sobel filtering."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    apply_cutout,
    apply_noise,
    apply_rotate,
    apply_sobel,
    sample_color_jitter,
    sample_cutout,
    sample_flip,
    sample_grayscale,
    sample_noise,
    sample_rotate,
    sample_sobel,
)
from simclr_tf.errors import ConfigError
from tests.oracles import augment_filters as oracle


def seeds(count):
    return tf.stack([tf.range(count), tf.fill([count], 11)], axis=1)


def random_images(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


@pytest.mark.parametrize(
    "applied",
    [
        lambda s, p: sample_flip(s, probability=p),
        lambda s, p: sample_grayscale(s, probability=p),
        lambda s, p: sample_color_jitter(s, probability=p).applied,
        lambda s, p: sample_cutout(s, 8, 8, probability=p)[:, 2] > 0,
        lambda s, p: sample_rotate(s, probability=p) > 0,
        lambda s, p: sample_noise(s, (1, 1, 1), probability=p)[:, 0, 0, 0] != 0,
        lambda s, p: sample_sobel(s, probability=p),
    ],
    ids=["flip", "grayscale", "jitter", "cutout", "rotate", "noise", "sobel"],
)
def test_every_gate_opens_as_often_as_its_probability_says(applied):
    for probability in (0.0, 0.2, 0.8, 1.0):
        share = np.mean(applied(seeds(20000), probability))
        spread = np.sqrt(probability * (1 - probability) / 20000)
        assert abs(share - probability) <= 4 * spread


def test_cutout_equals_the_oracle_and_may_reach_beyond_the_image():
    images = random_images(3, 6, 7, 2)
    boxes = np.array([[-2, 3, 4, 4], [5, -1, 4, 4], [2, 2, 0, 0]], np.int32)
    outputs = apply_cutout(images, tf.constant(boxes), fill=0.25)
    for image, box, output in zip(images, boxes, outputs, strict=True):
        np.testing.assert_array_equal(output, oracle.cutout(image, box, 0.25))


def test_cutout_hides_each_pixel_near_the_middle_equally_often():
    boxes = sample_cutout(seeds(20000), 8, 8, size_fraction=0.5)
    shown = apply_cutout(np.ones((20000, 8, 8, 1), np.float32), boxes, fill=0.0)
    hidden = 1.0 - shown.numpy().mean(axis=0)[1:6, 1:6, 0]
    np.testing.assert_allclose(hidden, 0.25, atol=4 * np.sqrt(3 / 16 / 20000))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_equals_the_oracle_and_numpy(turns):
    images = random_images(2, 5, 5, 3)
    outputs = apply_rotate(images, tf.constant([turns, 0])).numpy()
    np.testing.assert_array_equal(outputs[0], oracle.rotate(images[0], turns))
    np.testing.assert_array_equal(outputs[0], np.rot90(images[0], turns))
    np.testing.assert_array_equal(outputs[1], images[1])


def test_the_three_rotations_are_equally_likely():
    turns = sample_rotate(seeds(30000)).numpy()
    assert sorted(set(turns)) == [1, 2, 3]
    np.testing.assert_allclose(
        np.bincount(turns)[1:] / 30000, 1 / 3, atol=4 * np.sqrt(2 / 9 / 30000)
    )


def test_rotation_of_images_that_are_not_square_is_refused():
    with pytest.raises(ConfigError, match="square.*height=4, width=5"):
        apply_rotate(random_images(1, 4, 5, 3), tf.constant([1]))


def test_noise_is_gaussian_with_the_strength_asked_for():
    noise = sample_noise(seeds(50), (16, 16, 3), stddev_min=0.1, stddev_max=0.1)
    noise = noise.numpy().ravel() / 0.1
    count = noise.size
    assert abs(noise.mean()) < 4 / np.sqrt(count)
    assert abs((noise**2).mean() - 1) < 4 * np.sqrt(2 / count)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / count)


def test_noise_strength_is_drawn_per_image():
    noise = sample_noise(seeds(500), (32, 32, 1), stddev_min=0.05, stddev_max=0.2)
    spread = noise.numpy().std(axis=(1, 2, 3))
    assert 0.045 < spread.min() < 0.06 and 0.19 < spread.max() < 0.22


def test_noisy_images_are_clipped():
    images = random_images(2, 8, 8, 3)
    outputs = apply_noise(images, sample_noise(seeds(2), (8, 8, 3), stddev_max=2.0))
    assert 0.0 <= np.min(outputs) and np.max(outputs) <= 1.0


def test_sobel_equals_the_oracle_on_the_chosen_images_only():
    images = random_images(3, 6, 5, 2)
    outputs = apply_sobel(images, tf.constant([True, False, True])).numpy()
    np.testing.assert_array_equal(outputs[1], images[1])
    for index in (0, 2):
        expected = oracle.sobel(images[index].astype(np.float64))
        np.testing.assert_allclose(outputs[index], expected, atol=1e-6)


def test_sobel_is_the_magnitude_of_tf_image_sobel_edges():
    images = random_images(2, 9, 8, 3) * 0.3
    edges = tf.image.sobel_edges(tf.constant(images))
    expected = tf.sqrt(tf.reduce_sum(edges**2, axis=-1)) / 4
    outputs = apply_sobel(images, tf.constant([True, True]))
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_a_constant_image_has_no_edges():
    outputs = apply_sobel(np.full((1, 5, 5, 1), 0.6, np.float32), tf.constant([True]))
    np.testing.assert_allclose(outputs, 0.0, atol=1e-6)


def test_sobel_of_a_single_row_is_refused():
    with pytest.raises(ConfigError, match="2 x 2"):
        apply_sobel(random_images(1, 1, 5, 1), tf.constant([True]))
