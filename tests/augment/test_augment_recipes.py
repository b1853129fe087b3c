"""Recipes: the paper's constants, by name, and what a recipe refuses."""

import dataclasses

import pytest

from simclr_tf.augment import RECIPES, Recipe, get_recipe
from simclr_tf.errors import ConfigError


def test_simclr_v1_has_the_constants_of_the_papers_appendix_a():
    recipe = get_recipe("simclr_v1")
    assert (recipe.crop_area_min_fraction, recipe.crop_area_max_fraction) == (0.08, 1)
    assert recipe.crop_aspect_min == 3 / 4 and recipe.crop_aspect_max == 4 / 3
    assert (recipe.flip_probability, recipe.color_strength) == (0.5, 1.0)
    assert (recipe.brightness, recipe.contrast) == (0.8, 0.8)
    assert (recipe.saturation, recipe.hue) == (0.8, 0.2)
    assert recipe.jitter_probability == 0.8
    assert recipe.grayscale_probability == 0.2
    assert recipe.blur_probability == 0.5
    assert recipe.blur_sigma_min_pixels == 0.1
    assert recipe.blur_sigma_max_pixels == 2.0
    assert recipe.blur_kernel_fraction == 0.1
    assert recipe.crop_floor == "exact"


def test_v1_and_v2_differ_in_the_brightness_mode_only():
    v1 = get_recipe("simclr_v1")
    assert v1.brightness_mode == "additive"
    assert dataclasses.replace(v1, brightness_mode="multiplicative") == get_recipe(
        "simclr_v2"
    )


def test_the_six_named_recipes_leave_the_ablation_operators_off():
    assert sorted(RECIPES) == [
        "cifar",
        "evaluate",
        "finetune",
        "simclr_v1",
        "simclr_v2",
        "small_grey",
    ]
    for recipe in RECIPES.values():
        assert recipe.cutout_probability == recipe.rotate_probability == 0
        assert recipe.noise_probability == recipe.sobel_probability == 0


def test_cifar_has_half_the_color_strength_and_no_blur():
    recipe = get_recipe("cifar")
    assert (recipe.color_strength, recipe.blur_probability) == (0.5, 0.0)


def test_small_grey_crops_from_three_tenths_and_uses_no_color():
    recipe = get_recipe("small_grey")
    assert recipe.crop_area_min_fraction == 0.3
    assert recipe.saturation == recipe.hue == recipe.grayscale_probability == 0
    assert recipe.brightness > 0 and recipe.contrast > 0
    assert recipe.blur_probability == 0


def test_get_recipe_returns_a_recipe_object_as_it_is():
    recipe = Recipe(hue=0.1)
    assert get_recipe(recipe) is recipe


def test_an_unknown_name_is_answered_with_the_nearest_and_all_names():
    with pytest.raises(ConfigError, match="Did you mean simclr_v1.*Choices: .*cifar"):
        get_recipe("simclr_v11")


@pytest.mark.parametrize("recipe", [None, 3, {"hue": 0.1}])
def test_what_is_neither_name_nor_recipe_is_refused(recipe):
    with pytest.raises(ConfigError, match="`recipe` must be a name or a Recipe"):
        get_recipe(recipe)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("geometry", "crop"),
        ("crop_area_min_fraction", 0.0),
        ("crop_area_min_fraction", -0.1),
        ("crop_area_max_fraction", 1.1),
        ("crop_area_max_fraction", 0.01),
        ("crop_aspect_min", 2.0),
        ("crop_aspect_max", float("inf")),
        ("crop_floor", "0.1"),
        ("center_crop_fraction", 1.5),
        ("center_crop_above_pixels", -1),
        ("flip_probability", 1.5),
        ("jitter_probability", -0.1),
        ("jitter_probability", float("nan")),
        ("color_strength", -1.0),
        ("brightness", "0.8"),
        ("hue", True),
        ("brightness_mode", "both"),
        ("blur_sigma_min_pixels", 0.0),
        ("blur_sigma_max_pixels", 0.05),
        ("blur_kernel_fraction", 0.0),
        ("cutout_size_fraction", 1.1),
        ("cutout_fill", 2.0),
        ("noise_stddev_min", 0.3),
        ("order", ("flip",)),
        ("order", ["flip"]),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name_in_one_line(field, value):
    with pytest.raises(ConfigError, match=f"`{field}`") as caught:
        Recipe(**{field: value})
    assert "\n" not in str(caught.value) and "Received: " in str(caught.value)


def test_the_reference_floor_needs_room_above_a_tenth():
    with pytest.raises(ConfigError, match="crop_floor"):
        Recipe(crop_floor="reference", crop_area_max_fraction=0.09)
