"""Colour jitter and grayscale."""

import itertools
import logging

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    ColorJitter,
    apply_color_jitter,
    apply_grayscale,
    colors,
    sample_color_jitter,
)
from simclr_tf.errors import ConfigError
from tests.oracles import augment_color as oracle

ORDERS = np.array(list(itertools.permutations(range(4))), np.int32)


def seeds(count, key=3):
    return tf.stack([tf.range(count), tf.fill([count], key)], axis=1)


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def hard_pixels():
    """An image of corners, grays, near-grays and ties between channels."""
    levels = np.array([0.0, 1.0, 0.5, 0.5 + 1e-7, 1e-6, 0.25], np.float32)
    return np.array(list(itertools.product(levels, repeat=3)), np.float32).reshape(
        1, 12, 18, 3
    )


def jitter_of(count, **changes):
    """A jitter of `count` images that changes nothing but what is said."""
    ones = np.ones(count, np.float32)
    values = {
        "applied": np.ones(count, bool),
        "order": np.tile(np.arange(4, dtype=np.int32), (count, 1)),
        "brightness_scale": ones,
        "brightness_offset": 0 * ones,
        "contrast": ones,
        "saturation": ones,
        "hue": 0 * ones,
    }
    for name, value in changes.items():
        dtype = values[name].dtype
        values[name] = np.broadcast_to(value, values[name].shape).astype(dtype)
    return ColorJitter(**{name: tf.constant(v) for name, v in values.items()})


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_all_24_orders_equal_the_oracle(mode):
    images = random_images(24, 5, 6, 3)
    jitter = sample_color_jitter(seeds(24), probability=1.0, brightness_mode=mode)
    jitter = jitter._replace(order=tf.constant(ORDERS))
    outputs = apply_color_jitter(images, jitter).numpy()
    for index, order in enumerate(ORDERS):
        expected = oracle.jitter(
            images[index].astype(np.float64),
            order,
            *(float(values[index]) for values in jitter[2:]),
        )
        np.testing.assert_allclose(outputs[index], expected, atol=1e-5)


def test_the_order_matters():
    images = np.repeat(random_images(1, 5, 6, 3), 24, axis=0)
    jitter = jitter_of(
        24, brightness_scale=1.7, contrast=0.4, saturation=1.8, hue=0.2, order=ORDERS
    )
    outputs = apply_color_jitter(images, jitter).numpy()
    # Saturation and hue commute: the 12 orders that have them side by side are 6.
    distinct = {tuple(np.round(output.ravel(), 4)) for output in outputs}
    assert len(distinct) == 18


@pytest.mark.parametrize("turns", [-0.5, -0.2, 0.05, 0.2, 0.5])
def test_hue_equals_tf_image_adjust_hue(turns):
    for images in (random_images(2, 8, 8, 3), hard_pixels()):
        outputs = apply_color_jitter(images, jitter_of(len(images), hue=turns))
        np.testing.assert_allclose(
            outputs, tf.image.adjust_hue(images, turns), atol=1e-5
        )


@pytest.mark.parametrize("factor", [0.0, 0.2, 1.3, 1.8])
def test_saturation_equals_tf_image_adjust_saturation(factor):
    for images in (random_images(2, 8, 8, 3), hard_pixels()):
        outputs = apply_color_jitter(images, jitter_of(len(images), saturation=factor))
        np.testing.assert_allclose(
            outputs, tf.image.adjust_saturation(images, factor), atol=1e-5
        )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_contrast_equals_tf_image_adjust_contrast_clipped(channels):
    images = random_images(2, 8, 6, channels)
    outputs = apply_color_jitter(images, jitter_of(2, contrast=1.7))
    expected = tf.clip_by_value(tf.image.adjust_contrast(images, 1.7), 0, 1)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_factors_differ_from_image_to_image():
    images = np.repeat(random_images(1, 4, 4, 3), 3, axis=0)
    scales = [0.5, 1.0, 0.25]
    outputs = apply_color_jitter(images, jitter_of(3, brightness_scale=scales))
    for output, scale in zip(outputs, scales, strict=True):
        np.testing.assert_allclose(output, images[0] * scale, atol=1e-6)


def test_an_image_that_is_not_jittered_keeps_every_bit():
    images = random_images(2, 8, 8, 3)
    jitter = jitter_of(2, applied=[False, True], contrast=0.5, hue=0.1)
    outputs = apply_color_jitter(images, jitter).numpy()
    np.testing.assert_array_equal(outputs[0], images[0])
    assert np.abs(outputs[1] - images[1]).max() > 0.01


def test_outputs_are_finite_and_in_range_on_hard_pixels():
    images = np.repeat(hard_pixels(), 200, axis=0)
    jitter = sample_color_jitter(seeds(200), probability=1.0, strength=1.5)
    outputs = apply_color_jitter(images, jitter).numpy()
    assert np.isfinite(outputs).all()
    assert outputs.min() >= 0.0 and outputs.max() <= 1.0


def test_the_24_orders_are_equally_likely():
    order = sample_color_jitter(seeds(24000)).order.numpy()
    counts = np.unique(order, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    # Chi-square with 23 degrees of freedom exceeds 49.7 once in a thousand.
    assert np.sum((counts - 1000.0) ** 2 / 1000.0) < 49.7


def test_factors_fill_their_ranges_uniformly():
    jitter = sample_color_jitter(seeds(20000), strength=0.5)
    for values, center, width in (
        (jitter.brightness_scale, 1.0, 0.4),
        (jitter.contrast, 1.0, 0.4),
        (jitter.saturation, 1.0, 0.4),
        (jitter.hue, 0.0, 0.1),
    ):
        values = (values.numpy() - center) / width
        assert -1.0 <= values.min() < -0.999 and 0.999 < values.max() <= 1.0 + 1e-6
        assert abs(values.mean()) < 4 / np.sqrt(3 * 20000)
        assert abs((values**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / 20000)


def test_gate_order_and_factors_are_drawn_independently():
    jitter = sample_color_jitter(seeds(20000))
    draws = [jitter.applied, jitter.order[:, 0], jitter.brightness_scale]
    draws += [jitter.contrast, jitter.saturation, jitter.hue]
    correlations = np.corrcoef(np.stack([np.float64(draw) for draw in draws]))
    assert np.abs(correlations - np.eye(6)).max() < 4 / np.sqrt(20000)


def test_strong_ranges_start_at_zero_and_hue_stops_at_half_a_turn():
    jitter = sample_color_jitter(seeds(5000), strength=3.0)
    assert 0.0 <= jitter.contrast.numpy().min() < 0.01
    assert 3.3 < jitter.contrast.numpy().max() <= 3.4
    assert 0.0 <= jitter.brightness_scale.numpy().min()
    assert 0.49 < np.abs(jitter.hue).max() <= 0.5


def test_v1_adds_brightness_and_v2_multiplies_it():
    v1 = sample_color_jitter(seeds(5000), brightness_mode="additive")
    v2 = sample_color_jitter(seeds(5000), brightness_mode="multiplicative")
    assert np.all(v1.brightness_scale == 1.0) and np.all(v2.brightness_offset == 0.0)
    assert -0.8 <= v1.brightness_offset.numpy().min() < -0.79
    assert 0.2 <= v2.brightness_scale.numpy().min() < 0.21


def test_zero_saturation_and_hue_are_not_drawn():
    jitter = sample_color_jitter(seeds(4), saturation=0.0, hue=0.0)
    assert jitter.saturation is None and jitter.hue is None
    images = random_images(4, 5, 5, 3)
    neutral = jitter._replace(saturation=tf.ones(4), hue=tf.zeros(4))
    np.testing.assert_allclose(
        apply_color_jitter(images, jitter),
        apply_color_jitter(images, neutral),
        atol=1e-5,
    )


@pytest.mark.parametrize("channels", [1, 4])
def test_without_3_channels_hue_and_saturation_are_skipped_and_said_once(
    channels, caplog, monkeypatch
):
    monkeypatch.setattr(colors, "_warned", set())
    images = random_images(3, 4, 4, channels)
    jitter = jitter_of(3, brightness_scale=0.5, saturation=0.1, hue=0.3)
    with caplog.at_level(logging.INFO, logger="simclr_tf"):
        outputs = apply_color_jitter(images, jitter)
        apply_color_jitter(images, jitter)
        gray = apply_grayscale(images, tf.constant([True] * 3))
    np.testing.assert_allclose(outputs, images * 0.5, atol=1e-6)
    np.testing.assert_array_equal(gray, images)
    assert len(caplog.records) == 1
    assert f"{channels} channel" in caplog.text and "skipped" in caplog.text


def test_grayscale_equals_the_oracle_on_the_chosen_images_only():
    images = random_images(3, 5, 4, 3)
    outputs = apply_grayscale(images, tf.constant([True, False, True])).numpy()
    np.testing.assert_array_equal(outputs[1], images[1])
    for index in (0, 2):
        expected = oracle.grayscale(images[index])
        np.testing.assert_allclose(outputs[index], expected, atol=1e-6)


@pytest.mark.parametrize(
    "keywords",
    [{"probability": 2.0}, {"strength": -1.0}, {"hue": -0.1}, {"brightness_mode": "x"}],
)
def test_sample_color_jitter_refuses_values_outside_their_range(keywords):
    with pytest.raises(ConfigError, match=f"`{next(iter(keywords))}`"):
        sample_color_jitter(seeds(1), **keywords)
