"""The ablation of operators: a shared crop, and only the first view changed further."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.augment import (
    OneBranch,
    Recipe,
    crop_views,
    finish_views,
    one_branch_operators,
    plan_views,
    two_views,
)
from simclr_tf.config.data import AugmentConfig
from simclr_tf.errors import ConfigError
from simclr_tf.training.assembly import build_recipe

SEEDS = np.stack([np.arange(6), np.full(6, 9)], axis=1).astype(np.int32)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3)).astype(np.uint8)
WHOLE = Recipe(
    crop_area_min_fraction=1.0,
    crop_aspect_min=0.999999,
    crop_aspect_max=1.000001,
    blur_sigma_min_pixels=1.0,
    blur_kernel_fraction=0.5,
)


def views(*operators, recipe=WHOLE, size=12):
    pair = two_views(
        IMAGES, SEEDS, OneBranch(recipe, operators), image_size_pixels=size
    )
    return [view.numpy() for view in pair]


def test_the_second_view_is_the_crop_alone_whatever_happens_to_the_first():
    crops = Recipe(crop_area_max_fraction=0.5)
    (first, second), (other_first, other_second) = (
        views(*names, recipe=crops, size=8) for names in (("color",), ("sobel", "crop"))
    )
    np.testing.assert_array_equal(second, other_second)
    assert np.abs(first - other_first).max() > 0.1
    assert np.abs(second - tf.image.resize(IMAGES / 255.0, (8, 8))).max() > 0.1


@pytest.mark.parametrize("operator", sorted(set(one_branch_operators()) - {"crop"}))
def test_an_operator_changes_the_first_view_and_not_its_partner(operator):
    first, second = views(operator)
    np.testing.assert_allclose(second, IMAGES / np.float32(255), atol=1e-5)
    changed = np.abs(first - second).max(axis=(1, 2, 3)) > 1e-3
    # Colour keeps its own probabilities; the others change every image.
    assert changed.any() if operator == "color" else changed.all()


def test_rotation_of_the_first_view_is_a_quarter_turn_of_the_second():
    first, second = views("rotate")
    for one, other in zip(first, second, strict=True):
        turns = [np.abs(one - np.rot90(other, k)).max() for k in range(4)]
        assert min(turns[1:]) < 1e-5 < turns[0]


def test_operators_are_applied_in_their_order():
    # Cutout's grey square has no edges inside; seen before Sobel it shows as a frame.
    grey_last = (views("sobel", "cutout")[0] == 0.5).all(axis=-1).sum(axis=(1, 2))
    grey_first = (views("cutout", "sobel")[0] == 0.5).all(axis=-1).sum(axis=(1, 2))
    assert grey_last.min() > 5 > grey_first.max()


def test_crops_made_at_decoding_are_finished_to_the_same_views():
    recipe = OneBranch(Recipe(), ("crop", "color"))
    plan = plan_views(recipe, 8)
    whole = two_views(IMAGES, SEEDS, recipe, image_size_pixels=8)
    crops = [
        crop_views(image, seed, plan) for image, seed in zip(IMAGES, SEEDS, strict=True)
    ]
    crops_a, crops_b = (tf.stack(part) for part in zip(*crops, strict=True))
    for ours, theirs in zip(
        finish_views((crops_a, crops_b), SEEDS, plan), whole, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_the_option_names_the_operators_of_the_augmentation():
    recipe = build_recipe(
        AugmentConfig(recipe="cifar", color_strength=0.2, one_branch="color, crop")
    )
    assert recipe.operators == ("color", "crop")
    assert recipe.recipe.color_strength == 0.2
    assert recipe.stages[1].flip_probability == 0.5 == recipe.recipe.flip_probability


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: AugmentConfig(one_branch="crop,colour"), "Did you mean color"),
        (lambda: AugmentConfig(one_branch=""), "Unknown `augment.one_branch`"),
        (lambda: OneBranch("cifar", ("blurr",)), "Did you mean blur"),
        (lambda: OneBranch("cifar", ()), "at least one name"),
    ],
)
def test_operators_that_are_not_there_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
