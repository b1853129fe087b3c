"""Top-k accuracy with missing labels."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.metrics import label_weights, top_k_accuracy, top_k_correct


@pytest.mark.parametrize("k", [1, 2, 5])
def test_equals_the_loops(k):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 5)), rng.integers(-1, 5, 40)
    expected = []
    for row, label in zip(logits, labels, strict=True):
        larger = sum(value > row[label] for value in row)
        expected.append(float(label >= 0 and larger < k))
    np.testing.assert_array_equal(top_k_correct(labels, logits, k=k), expected)
    accuracy = sum(expected) / sum(labels >= 0)
    assert float(top_k_accuracy(labels, logits, k=k)) == pytest.approx(accuracy)


def test_a_head_that_says_nothing_scores_chance():
    labels = np.repeat(np.arange(10), 3)
    assert float(top_k_accuracy(labels, tf.zeros([30, 10]))) == pytest.approx(0.1)
    assert float(top_k_accuracy(labels, tf.zeros([30, 10]), k=5)) == pytest.approx(0.5)


def test_weights_and_hits_of_two_batches_add_up_to_the_accuracy_of_both():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(12, 3)), rng.integers(-1, 3, 12)
    hits = sum(
        tf.reduce_sum(top_k_correct(labels[part], logits[part]))
        for part in (slice(0, 5), slice(5, 12))
    )
    accuracy = hits / tf.reduce_sum(label_weights(labels))
    assert float(accuracy) == pytest.approx(float(top_k_accuracy(labels, logits)))


def test_a_batch_without_labels_scores_zero():
    assert float(top_k_accuracy([-1, -1], tf.zeros([2, 3]))) == 0


@pytest.mark.parametrize("k", [0, 4])
def test_a_k_outside_the_classes_is_refused(k):
    with pytest.raises(ConfigError, match="between 1 and the number of classes.*k="):
        top_k_correct([0], tf.zeros([1, 3]), k=k)


def test_one_hot_labels_are_refused():
    with pytest.raises(ConfigError, match="take their argmax"):
        top_k_correct(tf.one_hot([0], 3), tf.zeros([1, 3]))
