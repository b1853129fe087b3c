"""Plans of views: which there are, and that all ways to make them agree."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf.augment import (
    OneBranch,
    Recipe,
    ViewGroup,
    crop_draws,
    crop_views,
    finish_views,
    get_recipe,
    make_views,
    one_view,
    plan_views,
    two_views,
)
from simclr_tf.data import open_source, training_dataset
from simclr_tf.errors import ConfigError

# SwAV's: two large views, six small ones of small crops.
GROUPS = (ViewGroup(2), ViewGroup(6, size_fraction=0.5, crop_area=(0.05, 0.3)))
SIZES = [24] * 2 + [12] * 6
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 30, 34, 3)).astype(np.uint8)
SEEDS = np.stack([np.arange(4), np.full(4, 7)], axis=1).astype(np.int32)


def test_a_plan_numbers_its_views_and_gives_each_its_size_and_recipe():
    plan = plan_views("cifar", 24, GROUPS)
    assert [view.number for view in plan.views] == list(range(8))
    assert [view.size for view in plan.views] == [(size, size) for size in SIZES]
    assert plan.num_full_views == 2 and plan.one_branch is None
    assert {view.recipe for view in plan.views[:2]} == {get_recipe("cifar")}
    small = dataclasses.replace(
        get_recipe("cifar"), crop_area_min_fraction=0.05, crop_area_max_fraction=0.3
    )
    assert {view.recipe for view in plan.views[2:]} == {small}


def test_recipes_of_their_own_are_those_of_the_full_views_in_order():
    plan = plan_views(("evaluate", "cifar"), 24, (ViewGroup(2), ViewGroup(1, 0.5)))
    names = ("evaluate", "cifar", "evaluate")
    assert [view.recipe for view in plan.views] == list(map(get_recipe, names))


@pytest.mark.parametrize("groups", [(ViewGroup(1),), (ViewGroup(3),), GROUPS])
def test_every_view_of_a_plan_is_the_view_of_its_number(groups):
    plan = plan_views("simclr_v2", 24, groups)
    made = make_views(IMAGES, SEEDS, plan)
    assert len(made) == len(plan.views)
    for view, ours in zip(plan.views, made, strict=True):
        alone = one_view(
            IMAGES, SEEDS, view.recipe, view=view.number, image_size_pixels=view.size
        )
        np.testing.assert_allclose(ours, alone, atol=1e-5)


def test_more_views_leave_the_first_two_as_they_are():
    two = two_views(IMAGES, SEEDS, "cifar", image_size_pixels=24)
    more = make_views(IMAGES, SEEDS, plan_views("cifar", 24, GROUPS))
    for ours, theirs in zip(more[:2], two, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    flat = [np.asarray(view)[:, :12, :12].ravel() for view in more[2:]]
    assert np.abs(np.corrcoef(flat) - np.eye(6)).max() < 0.9  # No view twice.


@pytest.mark.parametrize("draws_ahead", [False, True])
def test_crops_of_every_size_are_finished_to_the_views_of_the_batch(draws_ahead):
    plan = plan_views("simclr_v2", 24, GROUPS)
    draws = crop_draws(SEEDS, plan) if draws_ahead else [None] * len(SEEDS)
    assert not draws_ahead or draws.shape == (4, 8, 4)
    crops = [
        crop_views(image, seed, plan, draws=draw)
        for image, seed, draw in zip(IMAGES, SEEDS, draws, strict=True)
    ]
    crops = [tf.stack(view) for view in zip(*crops, strict=True)]
    finished = finish_views(crops, SEEDS, plan)
    for ours, whole in zip(finished, make_views(IMAGES, SEEDS, plan), strict=True):
        np.testing.assert_allclose(ours, whole, atol=1e-5)


def photograph(height, width, seed=0):
    coarse = np.random.default_rng(seed).random((5, 6, 3))
    image = tf.clip_by_value(tf.image.resize(coarse, (height, width), "bicubic"), 0, 1)
    return tf.cast(image * 255.0, tf.uint8)


def test_jpeg_bytes_are_decoded_once_and_only_under_all_boxes(monkeypatch):
    contents = tf.io.encode_jpeg(photograph(90, 120), quality=95)
    # Eight small crops of a large image: no box reaches its corners.
    recipe = Recipe(crop_area_min_fraction=0.01, crop_area_max_fraction=0.02)
    plan = plan_views(recipe, 16, (ViewGroup(2), ViewGroup(2, 0.5)))
    windows, decode = [], tf.image.decode_and_crop_jpeg

    def recording(contents, window, **options):
        windows.append(np.asarray(window))
        return decode(contents, window, **options)

    monkeypatch.setattr(tf.image, "decode_and_crop_jpeg", recording)
    crops = crop_views(contents, SEEDS[0], plan)
    whole = tf.io.decode_jpeg(contents, dct_method="INTEGER_ACCURATE")
    for ours, expected in zip(crops, crop_views(whole, SEEDS[0], plan), strict=True):
        np.testing.assert_array_equal(ours, expected)
    (window,) = windows
    assert window[2] * window[3] < 90 * 120


@pytest.mark.parametrize("groups", [(ViewGroup(1),), GROUPS])
def test_batches_of_files_hold_one_crop_for_each_view(groups, tmp_path):
    for number in range(4):
        pixels = photograph(30 + number, 34, number).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    plan = plan_views("cifar", 24, groups)
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    dataset = training_dataset(
        source, global_batch_size=4, seed=3, total_steps=1, plan=plan
    )
    batch = next(iter(dataset))
    assert [crop.shape for crop in batch["crops"]] == [
        (4, size, size, 3) for size in SIZES[: len(plan.views)]
    ]
    for row, example in enumerate(batch["ids"].numpy()):
        with Image.open(tmp_path / f"{example}.png") as image:
            expected = crop_views(np.asarray(image), batch["seeds"][row], plan)
        for ours, theirs in zip(batch["crops"], expected, strict=True):
            np.testing.assert_array_equal(ours[row], theirs)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: ViewGroup(0), "`count` must be >= 1"),
        (lambda: ViewGroup(2, 1.5), "`size_fraction` must be in"),
        (lambda: plan_views("cifarr"), "Did you mean cifar"),
        (lambda: plan_views(("cifar",) * 3), "recipes=3, views=2"),
        (lambda: plan_views("cifar", None, GROUPS), "`image_size_pixels`"),
        (
            lambda: plan_views(OneBranch("cifar", ("blur",)), 24, GROUPS),
            "for two views of one size",
        ),
        (
            lambda: plan_views("cifar", 24, (ViewGroup(2, 1.0, (0.5, 0.2)),)),
            "`crop_area_min_fraction` <= `crop_area_max_fraction`",
        ),
        (
            lambda: finish_views((IMAGES,), SEEDS, plan_views("cifar", 24)),
            "crops=1, views=2",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
