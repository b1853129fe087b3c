"""Weighted kNN against loops, its ties, and its blocks."""

import numpy as np
import pytest

from simclr_tf.errors import ConfigError, DataError
from simclr_tf.metrics import knn
from simclr_tf.metrics.knn import (
    knn_classify,
    nearest_neighbours,
    neighbours_of_rows,
)
from tests.oracles import metrics_knn as oracle


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(3)
    train = rng.normal(size=(60, 7)).astype(np.float32)
    labels = rng.choice([2, 5, 11], size=60)
    return train, labels, rng.normal(size=(25, 7)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 7, 60])
@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_predictions_equal_the_oracle(sets, k, temperature):
    train, labels, test = sets
    expected = [oracle.knn_predict(train, labels, q, k, temperature) for q in test]
    found = knn_classify(train, labels, test, k=k, temperature=temperature)
    assert found.tolist() == expected


def test_neighbours_and_similarities_equal_the_oracle(sets):
    train, _, test = sets
    indices, similarities = nearest_neighbours(train, test, 5)
    for row, query in enumerate(test):
        expected = oracle.neighbours(train, query, 5)
        assert indices[row].tolist() == [j for _, j in expected]
        np.testing.assert_allclose(
            similarities[row], [s for s, _ in expected], atol=1e-6
        )


def test_blocks_do_not_change_the_neighbours(sets, monkeypatch):
    train, _, test = sets
    whole = nearest_neighbours(train, test, 9)[0]
    # 11 candidates at a time for 4 queries at a time: many blocks, uneven ends.
    monkeypatch.setattr(knn, "_SIMILARITIES_A_BLOCK", 44)
    np.testing.assert_array_equal(
        nearest_neighbours(train, test, 9, query_block=4)[0], whole
    )


@pytest.mark.parametrize("rows", [None, [31, 4]])
def test_other_rows_equal_the_oracle(sets, rows):
    train, _, _ = sets
    indices, similarities = neighbours_of_rows(train, 4, rows)
    for place, row in enumerate(range(len(train)) if rows is None else rows):
        others = [i for i in range(len(train)) if i != row]
        expected = oracle.neighbours(train[others], train[row], 4)
        assert indices[place].tolist() == [others[j] for _, j in expected]
        np.testing.assert_allclose(
            similarities[place], [s for s, _ in expected], atol=1e-6
        )


def test_a_row_is_not_its_own_neighbour_among_copies():
    copies = np.tile([[1.0, 0]], (6, 1))
    indices, _ = neighbours_of_rows(copies, 2)
    assert indices.tolist() == [[1, 2], [0, 2], *[[0, 1]] * 4]
    assert neighbours_of_rows(copies, 5)[0][3].tolist() == [0, 1, 2, 4, 5]
    with pytest.raises(ConfigError, match=r"number of other images \(5\)"):
        neighbours_of_rows(copies, 6)


def test_of_equally_similar_images_the_first_are_neighbours(monkeypatch):
    # Powers of two normalise exactly: every row has the same similarity.
    train = np.array([[1.0, 0], [2, 0], [4, 0], [8, 0], [16, 0]])
    for block in (2**24, 1024):
        monkeypatch.setattr(knn, "_SIMILARITIES_A_BLOCK", block)
        indices, _ = nearest_neighbours(train, [[1.0, 0]], 3)
        assert indices.tolist() == [[0, 1, 2]]


def test_of_equal_votes_the_lowest_label_wins():
    train = np.array([[1.0, 0], [0, 1.0]])
    assert knn_classify(train, [9, 4], [[1.0, 1.0]], k=2).tolist() == [4]
    assert knn_classify(train, [4, 9], [[1.0, 1.0]], k=2).tolist() == [4]


def test_length_of_the_features_does_not_matter(sets):
    train, labels, test = sets
    scales = np.linspace(0.01, 100, len(train))[:, np.newaxis]
    np.testing.assert_array_equal(
        knn_classify(train * scales, labels, test * 7, k=5),
        knn_classify(train, labels, test, k=5),
    )


def test_all_images_with_equal_weights_vote_for_the_commonest_label(sets):
    train, labels, test = sets
    found = knn_classify(train, labels, test, k=len(train), temperature=1e6)
    assert set(found) == {np.bincount(labels).argmax()}


def test_tiny_temperature_is_the_nearest_neighbour_without_overflow(sets):
    train, labels, test = sets
    np.testing.assert_array_equal(
        knn_classify(train, labels, test, k=20, temperature=1e-6),
        knn_classify(train, labels, test, k=1),
    )


def test_black_image_is_similar_to_nothing():
    _, similarities = nearest_neighbours([[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0]], 2)
    assert similarities.tolist() == [[0.0, 0.0]]


def test_more_neighbours_than_images_are_refused_with_the_limit(sets):
    train, labels, test = sets
    with pytest.raises(ConfigError, match=r"training images \(60\).*k=61"):
        knn_classify(train, labels, test, k=61)
    with pytest.raises(ConfigError, match="k=0"):
        knn_classify(train, labels, test, k=0)


@pytest.mark.parametrize("temperature", [0, -1])
def test_temperature_must_be_positive(sets, temperature):
    train, labels, test = sets
    with pytest.raises(ConfigError, match="temperature"):
        knn_classify(train, labels, test, temperature=temperature)


def test_images_without_labels_have_no_vote():
    train = [[1.0, 0], [1.0, 0.1], [0, 1.0]]
    assert knn_classify(train, [-1, -1, 6], [[1.0, 0]], k=1).tolist() == [6]
    with pytest.raises(DataError, match="training set has no labels"):
        knn_classify(train, None, [[1.0, 0]])
    with pytest.raises(DataError, match="training set has no labels"):
        knn_classify(train, [-1, -1, -1], [[1.0, 0]])
