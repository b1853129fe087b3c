"""Cross-entropy with missing labels."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import supervised_cross_entropy


def test_equals_the_loops_and_skips_unlabelled_rows():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 4)).astype(np.float32), [3, -1, 0, 1, -1]
    expected = []
    for row, label in zip(logits.astype(np.float64), labels, strict=True):
        total = sum(math.exp(x) for x in row)
        expected.append(0.0 if label < 0 else -math.log(math.exp(row[label]) / total))
    losses = supervised_cross_entropy(np.array(labels), logits)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_equal_logits_give_the_log_of_the_number_of_classes():
    losses = supervised_cross_entropy([0, 6], tf.zeros([2, 7]))
    np.testing.assert_allclose(losses, [math.log(7)] * 2, rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_batch_without_labels_gives_zero_loss_and_zero_gradient(jit_compile):
    logits = tf.constant([[1.0, 2.0], [np.nan, np.inf]])

    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = supervised_cross_entropy(tf.constant([-1, -1]), logits)
        return loss, tape.gradient(loss, logits)

    loss, gradient = value_and_gradient(logits)
    np.testing.assert_array_equal(loss, [0, 0])
    np.testing.assert_array_equal(gradient, np.zeros([2, 2]))


def test_low_precision_logits_give_a_float32_loss():
    loss = supervised_cross_entropy([0], tf.constant([[300.0, 0.0]], tf.bfloat16))
    assert loss.dtype == tf.float32 and float(loss[0]) == 0


def test_one_hot_labels_are_refused():
    with pytest.raises(ConfigError, match="take their argmax"):
        supervised_cross_entropy(tf.one_hot([0, 1], 2), tf.zeros([2, 2]))
