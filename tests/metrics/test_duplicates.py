"""Groups of near-duplicates against union-find over all pairs."""

import numpy as np
import pytest

from simclr_tf.errors import ConfigError
from simclr_tf.metrics import duplicates
from simclr_tf.metrics.duplicates import duplicate_groups
from tests.oracles import metrics_knn as oracle


@pytest.fixture(scope="module")
def features():
    """Chains of rows that turn little by little, in random order, and lone rows."""
    rng = np.random.default_rng(0)
    starts, ends = rng.normal(size=(2, 9, 5))
    steps = np.linspace(0, 1, 8)[:, np.newaxis]
    chains = [s + steps * (e - s) for s, e in zip(starts, ends, strict=True)]
    rows = np.concatenate([*chains, rng.normal(size=(30, 5))])
    return rng.permutation(rows) * rng.uniform(0.1, 9, (len(rows), 1))


def rows_of_groups(groups):
    return [np.flatnonzero(groups == g).tolist() for g in range(groups.max() + 1)]


@pytest.mark.parametrize("threshold", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("block", [(1024, 4096), (7, 11), (13, 5)])
def test_groups_equal_the_oracle_for_any_blocks(
    features, threshold, block, monkeypatch
):
    monkeypatch.setattr(duplicates, "_ROWS", block[0])
    monkeypatch.setattr(duplicates, "_COLUMNS", block[1])
    groups, similarities = duplicate_groups(features, threshold)
    expected = oracle.duplicate_groups(features, threshold)
    assert rows_of_groups(groups) == expected and len(expected) > 3
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ unit.T - 3 * np.eye(len(unit))
    np.testing.assert_allclose(similarities, cosines.max(axis=1), atol=1e-6)


def test_a_threshold_of_one_finds_copies_of_any_length(features):
    twice = np.concatenate([features, 3 * features])
    groups, _ = duplicate_groups(twice, 1.0)
    number = len(features)
    assert rows_of_groups(groups) == [[i, i + number] for i in range(number)]


def test_rows_of_zeros_are_alone():
    groups, similarities = duplicate_groups(np.zeros([3, 2]), 0.5)
    assert groups.tolist() == [-1, -1, -1] and not similarities.any()


def test_one_row_has_no_duplicate():
    groups, similarities = duplicate_groups([[1.0, 2.0]], 0.5)
    assert groups.tolist() == [-1] and similarities.tolist() == [-1]


@pytest.mark.parametrize("threshold", [0, 1.5, float("nan")])
def test_other_thresholds_are_refused(threshold):
    with pytest.raises(ConfigError, match=r"`threshold` must be in \(0, 1\]"):
        duplicate_groups(np.ones([2, 2]), threshold)
