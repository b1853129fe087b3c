"""Bad recipes are told from good ones by figures that loops confirm."""

import dataclasses

import numpy as np
import pytest

from simclr_tf.augment import get_recipe
from simclr_tf.commands.view_checks import (
    FEWEST_TO_SEARCH,
    measure_views,
    measures_table,
    view_warnings,
)
from simclr_tf.commands.view_pairs import view_pairs
from simclr_tf.data import open_source
from simclr_tf.errors import DataError


def random_views(number, seed=0, size=6, channels=3):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(number, size, size, channels)).astype(np.float32)


def test_measures_are_those_of_loops_over_all_pairs():
    images, number = random_views(40, 1), 40
    # Views between "the same" and "anything", and some flat ones.
    mix = np.linspace(0, 1, number)[:, None, None, None]
    view_a = images.copy()
    view_b = (1 - mix) * images + mix * random_views(40, 2)
    view_b[3] = view_b[3].mean()
    images[7] = 0.25

    def rms(a, b):
        return np.sqrt(np.mean((a.astype(float) - b) ** 2))

    def histogram(view):
        return [
            np.mean((view[..., c] >= k / 8) & (view[..., c] < (k + 1) / 8))
            for c in range(3)
            for k in range(8)
        ]

    distance = np.array([[rms(a, b) for b in view_b] for a in view_a])
    usual = np.median(
        [distance[i, j] for i in range(number) for j in range(number) if i != j]
    )
    bars_a, bars_b = [np.array([histogram(v) for v in x]) for x in (view_a, view_b)]

    def is_found(i, all_of_it):  # Nearer than any other: a tie finds nothing.
        others = [all_of_it[j] for j in range(number) if j != i]
        return all_of_it[i] < min(others) - 1e-9

    matched = [
        is_found(i, [rms(bars_a[i], bar) for bar in bars_b]) for i in range(number)
    ]
    found = measure_views(images, view_a, view_b)
    assert found.near_identical == np.mean(
        [distance[i, i] <= 0.3 * usual for i in range(number)]
    )
    assert found.by_pixels == np.mean([is_found(i, distance[i]) for i in range(number)])
    assert found.by_histograms == np.mean(matched)
    assert found.near_empty == found.near_empty_images == 1 / number
    assert 0 < found.near_identical < 1 and found.by_histograms < found.by_pixels


def test_equal_views_leave_no_task_and_all_three_warnings_say_so():
    images = random_views(FEWEST_TO_SEARCH)
    warnings = view_warnings(measure_views(images, images, images))
    assert [w.split(":")[0] for w in warnings] == [
        "Near-identical pairs",
        "Solved by pixels",
        "Solved by colours",
    ]
    assert all("100% of 64 pairs" in warning for warning in warnings)
    assert not any("\n" in warning for warning in warnings)


def test_unrelated_views_are_no_reason_to_warn():
    views = [random_views(FEWEST_TO_SEARCH, seed) for seed in range(3)]
    assert view_warnings(measure_views(*views)) == []


def test_shuffled_pixels_are_found_by_colour_alone():
    # Images of one hue each: places say nothing, histograms everything.
    rng = np.random.default_rng(0)
    hues = rng.uniform(size=(80, 1, 1, 3))
    view_a = np.clip(hues + 0.2 * rng.normal(size=(80, 8, 8, 3)), 0, 1)
    view_b = rng.permutation(view_a.reshape(80, 64, 3), axis=1).reshape(80, 8, 8, 3)
    warnings = view_warnings(measure_views(view_a, view_a, view_b))
    assert any(warning.startswith("Solved by colours") for warning in warnings)


def test_flat_views_are_near_empty_unless_the_images_are_flat_themselves():
    images, flat = random_views(64), np.full([64, 6, 6, 3], 0.4, np.float32)
    emptied = view_warnings(measure_views(images, images, flat))
    assert [w.split(":")[0] for w in emptied] == ["Near-empty views"]
    assert "100% of 64 pairs" in emptied[0] and "themselves 0%" in emptied[0]
    of_flat = view_warnings(measure_views(flat, flat, random_views(64)))
    assert not any(w.startswith("Near-empty") for w in of_flat)


def test_few_pairs_are_not_searched_for_partners():
    images = random_views(8)
    measures = measure_views(images, images, images)
    assert len(view_warnings(measures)) == 1
    assert [row[2] for row in measures_table(measures)][1:3] == ["needs 64 pairs"] * 2


@pytest.mark.parametrize(
    "parts",
    [
        (random_views(1),) * 3,
        (random_views(3), random_views(3), random_views(4)),
        (random_views(2), random_views(3), random_views(3)),
    ],
)
def test_pairs_that_do_not_fit_are_refused(parts):
    with pytest.raises(DataError, match="at least two pairs"):
        measure_views(*parts)


@pytest.mark.parametrize(
    "recipe, changes, expected",
    [
        ("cifar", {}, []),
        (
            "evaluate",
            {},
            ["Near-identical pairs", "Solved by pixels", "Solved by colours"],
        ),
        (
            "cifar",
            {"crop_area_min_fraction": 0.001, "crop_area_max_fraction": 0.003},
            ["Near-empty views"],
        ),
    ],
)
def test_recipes_on_real_images_get_the_verdicts_of_the_table(
    recipe, changes, expected
):
    source = open_source("embedded:freedoom_12", split="train[:400]")
    pairs = view_pairs(
        source,
        dataclasses.replace(get_recipe(recipe), **changes),
        image_size_pixels=16,
        number=128,
    )
    warnings = view_warnings(measure_views(*pairs[1:4]))
    assert [warning.split(":")[0] for warning in warnings] == expected
