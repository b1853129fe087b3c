"""Two views of a batch: the contract of `two_views` and `one_view`."""

import dataclasses
import logging

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    OPERATORS,
    RECIPES,
    Recipe,
    colors,
    get_recipe,
    one_view,
    resizing,
    two_views,
    views,
)
from simclr_tf.augment.recipes import DEFAULT_ORDER
from simclr_tf.errors import ConfigError

EVERYTHING = Recipe(
    brightness_mode="additive",
    cutout_probability=0.7,
    rotate_probability=0.7,
    noise_probability=0.7,
    sobel_probability=0.3,
)
NOTHING = Recipe(
    geometry="center_crop",
    flip_probability=0.0,
    jitter_probability=0.0,
    grayscale_probability=0.0,
    blur_probability=0.0,
)


def seeds(count, key=1):
    return tf.stack([tf.range(count), tf.fill([count], key)], axis=1)


def byte_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def pair(*arguments, **keywords):
    """Both views as one NumPy array `[2, B, S, S, C]`."""
    return np.stack([view.numpy() for view in two_views(*arguments, **keywords)])


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_views_are_finite_float32_in_range_of_the_asked_size(recipe, channels):
    views = pair(
        byte_images(6, 36, 34, channels), seeds(6), recipe, image_size_pixels=33
    )
    assert views.dtype == np.float32 and views.shape == (2, 6, 33, 33, channels)
    assert np.isfinite(views).all() and views.min() >= 0.0 and views.max() <= 1.0


def test_the_size_defaults_to_the_images_own_and_may_be_a_pair():
    images = byte_images(2, 12, 10, 3)
    assert pair(images, seeds(2), "cifar").shape[2:4] == (12, 10)
    views = pair(images, seeds(2), "cifar", image_size_pixels=(7, 9))
    assert views.shape[2:4] == (7, 9)


def test_the_same_seeds_give_the_same_views_and_others_do_not():
    images = byte_images(8, 24, 24, 3)
    views = pair(images, seeds(8), "simclr_v2")
    np.testing.assert_array_equal(views, pair(images, seeds(8), "simclr_v2"))
    others = pair(images, seeds(8, key=2), "simclr_v2")
    assert np.abs(views - others).mean(axis=(2, 3, 4)).min() > 0.01


def test_the_two_views_of_every_image_differ():
    view_a, view_b = pair(byte_images(32, 24, 24, 3), seeds(32), "simclr_v2")
    assert np.abs(view_a - view_b).mean(axis=(1, 2, 3)).min() > 0.01


def test_equal_images_with_their_own_seeds_get_their_own_views():
    images = np.repeat(byte_images(1, 24, 24, 3), 16, axis=0)
    view = one_view(images, seeds(16), "simclr_v2").numpy().reshape(16, -1)
    gaps = np.abs(view[:, None] - view[None]).mean(axis=2) + np.eye(16)
    assert gaps.min() > 0.01


@pytest.mark.parametrize("recipe", ["simclr_v1", EVERYTHING], ids=["v1", "all"])
def test_a_view_does_not_depend_on_the_rest_of_the_batch(recipe):
    images, keys = byte_images(8, 20, 20, 3), seeds(8).numpy()
    views = pair(images, keys, recipe)
    order = np.random.default_rng(1).permutation(8)
    permuted = pair(images[order], keys[order], recipe)
    np.testing.assert_allclose(permuted, views[:, order], atol=1e-6)
    halves = [pair(images[i : i + 4], keys[i : i + 4], recipe) for i in (0, 4)]
    np.testing.assert_allclose(np.concatenate(halves, 1), views, atol=1e-6)
    single = pair(images[5:6], keys[5:6], recipe)
    np.testing.assert_allclose(single[:, 0], views[:, 5], atol=1e-6)


def test_one_view_gives_each_of_the_two_views_and_more():
    images = byte_images(4, 20, 20, 3)
    views = pair(images, seeds(4), "simclr_v2")
    for view in (0, 1):
        alone = one_view(images, seeds(4), "simclr_v2", view=view)
        np.testing.assert_allclose(alone, views[view], atol=1e-6)
    third = one_view(images, seeds(4), "simclr_v2", view=2).numpy()
    assert np.abs(third - views).mean(axis=(2, 3, 4)).min() > 0.01


def test_a_pair_of_recipes_is_one_for_each_view():
    images = byte_images(4, 20, 20, 3)
    view_a, view_b = pair(images, seeds(4), (NOTHING, "simclr_v2"))
    np.testing.assert_array_equal(view_a, images * np.float32(1 / 255))
    expected = one_view(images, seeds(4), "simclr_v2", view=1)
    np.testing.assert_allclose(view_b, expected, atol=1e-6)


def test_uint8_and_float_images_agree():
    images = byte_images(4, 20, 20, 3)
    views = pair(images, seeds(4), "simclr_v2")
    for dtype, atol in ((np.float32, 1e-5), (np.float64, 1e-5), (np.float16, 3e-2)):
        floats = (images / 255.0).astype(dtype)
        np.testing.assert_allclose(
            pair(floats, seeds(4), "simclr_v2"), views, atol=atol
        )


@pytest.mark.parametrize(
    "recipe",
    [
        # Compiled in every suite by test_xla_step.
        pytest.param("simclr_v2", id="v2", marks=pytest.mark.slow),
        pytest.param((NOTHING, EVERYTHING), id="pair"),
    ],
)
def test_xla_and_graph_mode_give_the_eager_views(recipe):
    images, keys = tf.constant(byte_images(6, 32, 32, 3)), seeds(6)
    eager = pair(images, keys, recipe)
    for jit_compile in (False, True):

        @tf.function(jit_compile=jit_compile, autograph=False)  # As in a run.
        def compiled(images, keys):
            return two_views(images, keys, recipe)

        np.testing.assert_allclose(compiled(images, keys), eager, atol=1e-5)


def test_a_graph_may_leave_the_batch_size_open():
    images, keys = byte_images(3, 12, 12, 3), seeds(3)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 12, 12, 3], tf.uint8),
            tf.TensorSpec([None, 2], tf.int32),
        ]
    )
    def views_of(images, keys):
        return two_views(images, keys, "simclr_v2")

    np.testing.assert_allclose(
        views_of(images, keys), pair(images, keys, "simclr_v2"), atol=1e-5
    )


def test_black_stays_black_under_v2_and_brightens_under_v1():
    black = np.zeros((64, 8, 8, 3), np.uint8)
    assert pair(black, seeds(64), "simclr_v2").max() == 0.0
    brightened = pair(black, seeds(64), "simclr_v1").max(axis=(2, 3, 4)) > 0.0
    # 0.8 are jittered, half of them upward; contrast and saturation keep black.
    assert 0.25 < brightened.mean() < 0.55


def test_evaluate_is_the_image_itself_at_small_sizes_and_resizes_otherwise():
    images = byte_images(3, 32, 32, 3)
    view_a, view_b = pair(images, seeds(3), "evaluate")
    np.testing.assert_array_equal(view_a, images * np.float32(1 / 255))
    np.testing.assert_array_equal(view_a, view_b)
    smaller = one_view(images, seeds(3), "evaluate", image_size_pixels=20)
    expected = tf.clip_by_value(tf.image.resize(images, (20, 20), "bicubic"), 0, 255)
    np.testing.assert_allclose(smaller, expected / 255.0, atol=1e-5)


def test_evaluate_crops_the_center_at_larger_sizes():
    images = byte_images(2, 64, 80, 3)
    view = one_view(images, seeds(2), "evaluate", image_size_pixels=48)
    center = images[:, 4:60, 12:68]  # 0.875 * 64 = 56
    expected = tf.clip_by_value(tf.image.resize(center, (48, 48), "bicubic"), 0, 255)
    np.testing.assert_allclose(view, expected / 255.0, atol=1e-5)


def test_finetune_only_crops_and_flips():
    constant = np.full((16, 20, 20, 3), (50, 100, 150), np.uint8)
    np.testing.assert_allclose(
        pair(constant, seeds(16), "finetune"),
        np.broadcast_to(constant / 255.0, (2, 16, 20, 20, 3)),
        atol=1e-6,
    )


def test_small_grey_says_nothing_about_missing_colors(caplog, monkeypatch):
    monkeypatch.setattr(colors, "_warned", set())
    with caplog.at_level(logging.INFO, logger="simclr_tf"):
        pair(byte_images(2, 28, 28, 1), seeds(2), "small_grey")
        assert not caplog.records
        pair(byte_images(2, 28, 28, 1), seeds(2), "simclr_v2")
        pair(byte_images(2, 28, 28, 1), seeds(2), "simclr_v2")
    assert len(caplog.records) == 1


def test_the_operators_follow_the_recipes_order():
    images = byte_images(8, 12, 12, 3)
    first = dataclasses.replace(NOTHING, cutout_probability=1.0, rotate_probability=1.0)
    swapped = list(DEFAULT_ORDER)
    i, j = swapped.index("cutout"), swapped.index("rotate")
    swapped[i], swapped[j] = swapped[j], swapped[i]
    second = dataclasses.replace(first, order=tuple(swapped))
    gap = pair(images, seeds(8), first) - pair(images, seeds(8), second)
    assert np.abs(gap).max(axis=(2, 3, 4)).min() > 0.1


def test_flips_are_folded_into_the_crop_only_where_nothing_comes_between(monkeypatch):
    order = ("rotate", *(name for name in DEFAULT_ORDER if name != "rotate"))
    idle = dataclasses.replace(NOTHING, flip_probability=0.5, order=order)
    busy = dataclasses.replace(idle, rotate_probability=0.5)
    folded = []

    def recording(images, boxes, size, *, flips):
        folded.append(flips)
        return resizing.apply_crop(images, boxes, size, flips=flips)

    monkeypatch.setattr(views, "apply_crop", recording)
    # A crop of the whole image at its own size, and the same without a crop.
    images = byte_images(9, 33, 33, 3)
    for recipe in (NOTHING, busy, idle):
        whole = dataclasses.replace(recipe, center_crop_fraction=1.0)
        uncropped = dataclasses.replace(whole, center_crop_above_pixels=33)
        np.testing.assert_allclose(
            pair(images, seeds(9), whole), pair(images, seeds(9), uncropped), atol=1e-6
        )
    none, blocked, flips = folded
    assert none is None and blocked is None
    assert 0 < np.sum(flips) < 18


def test_views_and_operators_draw_independently():
    flips = dataclasses.replace(NOTHING, flip_probability=0.5)
    sobels = dataclasses.replace(NOTHING, sobel_probability=0.5)
    images = np.tile(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1), (8000, 2, 1, 1))
    flipped = pair(images, seeds(8000), flips)[:, :, 0, 0, 0] > 0.5
    filtered = pair(images, seeds(8000), sobels)[:, :, 0, 1, 0] < 0.5
    correlations = np.corrcoef(np.concatenate([flipped, filtered]).astype(float))
    assert np.abs(correlations - np.eye(4)).max() < 4 / np.sqrt(8000)


@pytest.mark.parametrize("field", [OPERATORS[name].switch for name in DEFAULT_ORDER])
def test_each_probability_switches_its_operator_on(field):
    images = byte_images(4, 24, 24, 3)
    recipe = dataclasses.replace(NOTHING, **{field: 1.0})
    gap = pair(images, seeds(4), recipe) - images / 255.0
    assert np.abs(gap).max(axis=(2, 3, 4)).min() > 0.05


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"`images` must be \[batch, height, width"),
        (np.zeros((2, 0, 8, 3), np.uint8), "at least 1"),
        (np.zeros((2, 8, 8, 3), np.int64), "uint8 in 0..255 or floating.*int64"),
    ],
)
def test_other_images_are_refused_in_one_line(images, message):
    with pytest.raises(ConfigError, match=message):
        two_views(images, seeds(2), "cifar")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 2), np.int64), "`seeds` must be int32.*int64"),
        (np.zeros(2, np.int32), "`seeds` must be int32"),
        (np.zeros((2, 3), np.int32), "`seeds` must be int32"),
        (np.zeros((3, 2), np.int32), "same batch size.*seeds=3, images=2"),
    ],
)
def test_other_seeds_are_refused_in_one_line(wrong, message):
    with pytest.raises(ConfigError, match=message):
        two_views(byte_images(2, 8, 8, 3), wrong, "cifar")


@pytest.mark.parametrize("size", [0, -3, 2.5, (8,), (8, 0), "8"])
def test_other_sizes_are_refused(size):
    with pytest.raises(ConfigError, match="`image_size_pixels`"):
        two_views(byte_images(2, 8, 8, 3), seeds(2), "cifar", image_size_pixels=size)


def test_recipes_that_are_not_a_pair_are_refused():
    with pytest.raises(ConfigError, match="one for each view"):
        two_views(byte_images(2, 8, 8, 3), seeds(2), ("cifar",))
    with pytest.raises(ConfigError, match="Did you mean cifar"):
        two_views(byte_images(2, 8, 8, 3), seeds(2), ("cifar", "cifarr"))


def test_get_recipe_and_two_views_take_the_same_names():
    images = byte_images(2, 8, 8, 3)
    by_name = pair(images, seeds(2), "cifar")
    np.testing.assert_array_equal(by_name, pair(images, seeds(2), get_recipe("cifar")))
