"""What must not change, held to the files that `record.py` wrote with version 0.1.0."""

import math

import numpy as np
import pytest

from simclr_tf.config.moved import flat_with_present_names
from tests.golden import record, runs, tables, views

RUNS, VIEWS, SEED_TREE, STUDIES, PRESETS, EXPORT = (
    record.read(name)
    for name in ("runs", "views", "seed_tree", "studies", "presets", "export")
)
# (of the first loss, before any update; of what follows.) Sums of another order change
# the last of float32's seven digits, and four steps of training make that a few hundred
# times larger (measured without oneDNN: 7e-7, 9e-5).
FLOAT32 = 1e-5, 3e-4
# A last digit of float32 changes a roundoff to bfloat16's two to three digits here and
# there, and gradients are not much larger than that (between TensorFlow 2.15 and 2.21:
# 1e-7, 2e-2). A processor that rounds otherwise changes all of them (without oneDNN:
# 8e-4, 0.15).
BFLOAT16 = 1e-4, 0.05
BFLOAT16_ROUNDED_OTHERWISE = 5e-3, 0.3
# An element of a variable counts as at least this large: some are still zero, but for
# what rounding left there.
SMALLEST_SCALE = 0.1


@pytest.mark.parametrize("name", RUNS)
def test_a_seeded_run_has_the_losses_and_the_weights_that_it_had(name, tmp_path):
    found, expected = runs.measure(name, tmp_path), RUNS[name]
    first, tolerance = _tolerances(name)
    np.testing.assert_allclose(found["losses"][0], expected["losses"][0], first)
    np.testing.assert_allclose(found["losses"], expected["losses"], tolerance)
    assert found["figures"].keys() >= expected["figures"].keys()
    for figure, value in expected["figures"].items():
        assert found["figures"][figure] == pytest.approx(value, tolerance, tolerance)
    for part in ("encoder", "projection_head"):
        assert len(found[part]) == len(expected[part])
        for place, (now, then) in enumerate(
            zip(found[part], expected[part], strict=True)
        ):
            _same_variable(now, then, tolerance, f"{part}, variable {place}")


def _same_variable(now, then, tolerance, where):
    (shape, *numbers), (former_shape, *former) = now, then
    assert shape == former_shape, where
    root = math.sqrt(math.prod(shape))
    # An error e of the whole vector changes its mean by e / sqrt(n) at most, its norm
    # by e, and its product with n signs by e * sqrt(n).
    allowed = tolerance * (former[1] + SMALLEST_SCALE * root)
    bounds = (allowed / root, allowed, allowed * root)
    for value, expected, bound in zip(numbers, former, bounds, strict=True):
        assert abs(value - expected) <= bound, (where, value, expected)


def _tolerances(name):
    if not name.endswith("bfloat16"):
        return FLOAT32
    recorded = record.read("rounding")["bfloat16"]
    is_recorded = np.allclose(runs.bfloat16_rounding(), recorded, 1e-7)
    return BFLOAT16 if is_recorded else BFLOAT16_ROUNDED_OTHERWISE


def test_the_runs_are_those_written_down():
    assert list(runs.RUNS) == list(RUNS)
    names = " ".join(RUNS)
    for kind in ("nt_xent", "nt_logistic", "margin_triplet", "lars", "lamb", "sgd"):
        assert f"{kind}_" in f"{names} ", kind


@pytest.mark.parametrize("name", VIEWS)
def test_a_recipe_shows_of_given_seeds_what_it_showed(name):
    found = views.measure(name)
    for path in ("batch", "file"):
        np.testing.assert_allclose(found[path], VIEWS[name][path], 0, 2e-5, path)


def test_every_recipe_of_version_0_1_0_is_still_there():
    assert set(VIEWS) <= set(views.VIEWS)


def test_seeds_orders_and_draws_are_those_of_every_earlier_run():
    found = views.measure_seed_tree()
    draws, former_draws = found.pop("draws"), dict(SEED_TREE)["draws"]
    for name, value in found.items():
        if name == "operator_ids":
            assert value.items() >= SEED_TREE[name].items()
        elif name == "normal":  # Of logarithm and cosine.
            np.testing.assert_allclose(value, SEED_TREE[name], 1e-5, 1e-6)
        else:
            np.testing.assert_array_equal(
                np.float32(value) if name == "uniform" else value,
                np.float32(SEED_TREE[name]) if name == "uniform" else SEED_TREE[name],
                name,
            )
    assert draws.keys() == former_draws.keys()
    for name, draw in draws.items():
        _same_draw(draw, former_draws[name], name)


def _same_draw(now, then, name):
    """Integers and booleans exactly; floats were scaled from exact ones."""
    if name == "color_jitter":
        assert len(now) == len(then)
        for part, former in zip(now, then, strict=True):
            _same_draw(part, former, "")
        return
    now, then = np.asarray(now), np.asarray(then)
    assert now.shape == then.shape
    if now.dtype.kind in "bi":
        np.testing.assert_array_equal(now, then)
    else:
        np.testing.assert_allclose(now, then, 1e-5, 1e-6)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_has_the_tables_that_it_had(name):
    assert tables.measure_study(name) == STUDIES[name]


@pytest.mark.parametrize("name", PRESETS)
def test_every_option_of_a_preset_has_the_value_that_it_had(name):
    former = flat_with_present_names(PRESETS[name])
    del former["data.slices"]  # Presets take whole splits, of which it changes nothing.
    now = tables.measure_preset(name)
    assert {option: now.get(option) for option in former} == former


@pytest.mark.parametrize("way", EXPORT)
def test_the_shipped_encoder_gives_the_features_that_it_gave(way, features):
    np.testing.assert_allclose(features[way], EXPORT[way], 1e-5, 1e-5)


@pytest.fixture(scope="module")
def features():
    return tables.measure_export()
