import numpy as np
import pytest

from simclr_tf.data import label_subset
from simclr_tf.errors import ConfigError, DataError
from tests.oracles.data_label_subset import share_bounds


@pytest.fixture
def labels(rng):
    """Unbalanced, with unlabelled examples in between."""
    return rng.permutation(np.repeat([-1, 0, 1, 2, 7], [30, 200, 55, 33, 4]))


@pytest.mark.parametrize("fraction", ["1/100", "1/20", "1/10", "1/3", "1/2", "1"])
def test_every_class_gets_its_fair_share(labels, fraction):
    numerator, _, denominator = fraction.partition("/")
    subset = label_subset(labels, int(numerator) / int(denominator or 1), seed=5)
    for label, (least, largest) in share_bounds(labels.tolist(), fraction).items():
        assert least <= (labels[subset] == label).sum() <= largest
    assert (labels[subset] >= 0).all()


def test_smaller_fractions_lie_inside_larger_ones(labels):
    subsets = [set(label_subset(labels, f, seed=2)) for f in (0.01, 0.1, 0.11, 0.7, 1)]
    assert all(a <= b for a, b in zip(subsets, subsets[1:], strict=False))
    assert len(subsets[-1]) == 292


def test_balanced_classes_get_equal_parts():
    labels = np.tile(np.arange(10), 50)
    assert np.bincount(labels[label_subset(labels, 0.1)]).tolist() == [5] * 10


def test_equal_remainders_are_not_all_rounded_the_same_way():
    labels = np.tile(np.arange(10), 25)  # 2.5 a class.
    counts = np.bincount(labels[label_subset(labels, 0.1)])
    assert counts.sum() == 25 and set(counts) == {2, 3}


def test_per_class_counts_are_exact_and_nested(labels):
    subset = label_subset(labels, per_class=4, seed=1)
    assert np.unique(labels[subset], return_counts=True)[1].tolist() == [4] * 4
    assert set(label_subset(labels, per_class=2, seed=1)) <= set(subset)


def test_subsets_are_sorted_ids_that_depend_on_the_seed_alone(labels):
    one, same, other = (label_subset(labels, 0.3, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.dtype == np.int64 and (np.diff(one) > 0).all()
    assert set(one) != set(other)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fraction": 0.1, "per_class": 1},
        {"fraction": 0.0},
        {"fraction": 1.1},
        {"per_class": 0},
    ],
)
def test_impossible_requests_for_labels_are_refused(labels, options):
    with pytest.raises(ConfigError):
        label_subset(labels, **options)


def test_of_too_small_classes_all_labels_are_taken(labels):
    subset = label_subset(labels, per_class=5)
    assert np.unique(labels[subset], return_counts=True)[1].tolist() == [5, 5, 5, 4]


def test_more_labels_than_any_class_has_are_refused(labels):
    with pytest.raises(DataError, match="No class has 201.*per_class=200"):
        label_subset(labels, per_class=201)


def test_unlabelled_data_are_refused():
    with pytest.raises(DataError, match="labelled=0"):
        label_subset(np.full(5, -1), per_class=1)
