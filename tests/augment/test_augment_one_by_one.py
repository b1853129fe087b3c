"""Operators on one image after the other: the same views, and what is left out."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import OPERATORS, Recipe, get_recipe, one_by_one, two_views
from simclr_tf.augment.recipes import DEFAULT_ORDER

EVERYTHING = Recipe(
    brightness_mode="additive",
    cutout_probability=0.5,
    rotate_probability=0.5,
    noise_probability=0.5,
    sobel_probability=0.3,
    grayscale_probability=0.5,
)


def seeds(count):
    return tf.stack([tf.range(count), tf.fill([count], 3)], axis=1)


def images(count, channels=3):
    rng = np.random.default_rng(0)
    return rng.random((count, 24, 24, channels)).astype(np.float32)


@pytest.mark.parametrize(
    "recipe, channels",
    [("simclr_v1", 3), ("simclr_v2", 1), (EVERYTHING, 3), ((EVERYTHING, "cifar"), 3)],
    ids=["v1", "v2-grey", "all", "pair"],
)
def test_views_made_one_by_one_are_those_of_the_batch(recipe, channels, monkeypatch):
    arguments = images(4, channels), seeds(4), recipe
    batch = two_views(*arguments)
    calls, is_cheaper = [], one_by_one.is_cheaper
    monkeypatch.setattr(
        one_by_one,
        "is_cheaper",
        lambda images: bool(calls.append(is_cheaper(images)) or True),
    )
    for view, expected in zip(two_views(*arguments), batch, strict=True):
        np.testing.assert_allclose(view, expected, atol=2e-6)
    assert calls and not any(calls)  # The first ones came from the batch.


@pytest.mark.parametrize("name", DEFAULT_ORDER)
def test_an_operator_leaves_images_alone_that_it_is_not_chosen_for(name):
    before, keys, operator = images(24), seeds(24), OPERATORS[name]
    after = operator.change(before, keys, EVERYTHING).numpy()
    chosen = operator.chosen(operator.own_seeds(keys), EVERYTHING).numpy()
    changed = np.any(after != before, axis=(1, 2, 3))
    if name in ("flip", "color_jitter", "grayscale", "blur"):
        np.testing.assert_array_equal(changed, chosen)
        assert 0 < chosen.sum() < 24
    else:
        assert chosen.all() and 0 < changed.sum() < 24


def test_an_operator_that_a_recipe_lacks_is_chosen_for_none():
    blur, recipe = OPERATORS["blur"], get_recipe("cifar")
    assert not blur.is_on(recipe)
    assert not blur.chosen(seeds(9), recipe).numpy().any()


@pytest.mark.parametrize(
    "size, cores, devices, cheaper",
    [
        (224, 2, (), True),
        (224, 64, (), False),
        (32, 2, (), False),
        (224, 2, ("GPU",), False),
        (224, 2, ("TPU",), False),
    ],
)
def test_only_large_images_on_few_cores_without_an_accelerator_go_one_by_one(
    size, cores, devices, cheaper, monkeypatch
):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(
        tf.config,
        "list_logical_devices",
        lambda kind: [kind] if kind in devices else [],
    )
    assert one_by_one.is_cheaper(tf.zeros([1, size, size, 3])) == cheaper
