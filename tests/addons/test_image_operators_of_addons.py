"""Our operators at equal draws, against those of TensorFlow Addons."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_addons as tfa

from simclr_tf.augment import (
    apply_blur,
    apply_cutout,
    apply_rotate,
    sample_blur,
    sample_cutout,
    sample_rotate,
)

NUMBER = 24
SEEDS = tf.stack([tf.zeros(NUMBER, tf.int32), tf.range(NUMBER)], axis=1)


def pictures(height, width, channels=3):
    rng = np.random.default_rng(0)
    return tf.constant(rng.random((NUMBER, height, width, channels)), tf.float32)


@pytest.mark.parametrize("size", [15, 16])
def test_rotations_by_quarter_turns(size):
    images, turns = pictures(size, size), sample_rotate(SEEDS, probability=0.8)
    assert set(turns.numpy()) == {0, 1, 2, 3}
    expected = tfa.image.rotate(
        images,
        tf.cast(turns, tf.float32) * math.pi / 2,
        interpolation="bilinear",
        fill_mode="nearest",
    )
    np.testing.assert_allclose(apply_rotate(images, turns), expected, atol=1e-4)


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_cutout_of_our_boxes(fill):
    images = pictures(20, 30)
    boxes = sample_cutout(SEEDS, 20, 30, probability=1.0, size_fraction=0.4)
    side = int(boxes[0, 2])
    assert side == 8
    beyond = (boxes[:, :2] < 0) | (boxes[:, :2] + side > [20, 30])
    assert 0 < int(tf.reduce_sum(tf.cast(beyond, tf.int32)))
    expected = tfa.image.cutout(
        images, side, offset=boxes[:, :2] + side // 2, constant_values=fill
    )
    np.testing.assert_array_equal(apply_cutout(images, boxes, fill=fill), expected)


def test_cutout_of_the_boxes_that_addons_draws():
    images = pictures(20, 30)
    # The same seeds draw the same boxes again: first on white, where they show.
    tf.random.set_seed(1)
    white = tfa.image.random_cutout(tf.ones_like(images), (6, 10), seed=2).numpy()
    tf.random.set_seed(1)
    expected = tfa.image.random_cutout(images, (6, 10), seed=2)
    corners = [np.argwhere(image[..., 0] == 0).min(axis=0) for image in white]
    assert len({tuple(corner) for corner in corners}) > NUMBER / 2
    boxes = tf.constant([[y, x, 6, 10] for y, x in corners], tf.int32)
    np.testing.assert_array_equal(apply_cutout(images, boxes, fill=0.0), expected)


@pytest.mark.parametrize("height, width", [(32, 32), (40, 24)])
def test_gaussian_blur(height, width):
    images = pictures(height, width)
    sigmas = sample_blur(SEEDS, probability=0.7)
    radius = round(0.1 * height) // 2
    ours = apply_blur(images, sigmas).numpy()
    blurred = [i for i in range(NUMBER) if sigmas[i] > 0]
    assert 0 < len(blurred) < NUMBER
    for i in range(NUMBER):
        if i not in blurred:
            np.testing.assert_array_equal(ours[i], images[i])
            continue

        def filtered(image, sigma=float(sigmas[i])):
            return tfa.image.gaussian_filter2d(
                image, 2 * radius + 1, sigma, padding="CONSTANT"
            ).numpy()

        # Ours cuts the kernel at the borders and rescales it; with zeros beyond the
        # border, what is missing is what an image of ones loses.
        expected = filtered(images[i]) / filtered(tf.ones_like(images[i]))
        np.testing.assert_allclose(ours[i], expected, atol=2e-6)
        inside = (slice(radius, -radius), slice(radius, -radius))
        np.testing.assert_allclose(
            ours[i][inside], filtered(images[i])[inside], atol=2e-6
        )
