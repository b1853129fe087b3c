"""Cross-entropy with missing labels, and SupCon."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import nt_xent, sup_con, supervised_cross_entropy


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

    @tf.function(jit_compile=jit_compile, autograph=False)
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


def projections(number=6):
    rng = np.random.default_rng(1)
    return rng.normal(size=(2, number, 4)).astype(np.float32)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4, 5], [-1] * 6])
def test_sup_con_with_no_two_labels_alike_is_nt_xent(labels):
    a, b = projections()
    loss = sup_con(a, b, labels, temperature=0.2)
    np.testing.assert_allclose(loss, nt_xent(a, b, temperature=0.2), rtol=1e-5)


@pytest.mark.parametrize("labels", [[0] * 6, [0, 0, 1, 1, -1, -1]])
def test_sup_con_of_equal_projections_is_the_log_of_the_number_of_candidates(labels):
    same = tf.ones([6, 3])
    loss = sup_con(same, same, labels, temperature=0.07)
    np.testing.assert_allclose(loss, [math.log(11)] * 6, rtol=1e-6)


def test_sup_con_takes_the_mean_outside_the_logarithm():
    # One class, at right angles: two of each anchor's five are equal to it or its own.
    z = np.eye(3, dtype=np.float32)
    total = math.exp(1 / 0.5) + 4
    expected = -(math.log(math.exp(2) / total) + 4 * math.log(1 / total)) / 5
    loss = sup_con(z, z, [7, 7, 7], temperature=0.5)
    np.testing.assert_allclose(loss, [expected] * 3, rtol=1e-6)


def test_sup_con_pulls_a_class_together():
    a, b = (tf.Variable(p) for p in projections())
    labels = tf.constant([0, 0, 0, 1, 1, 1])
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(sup_con(a, b, labels, temperature=0.5))
        for variable, gradient in zip((a, b), tape.gradient(loss, [a, b]), strict=True):
            variable.assign_sub(5.0 * gradient)
    z = tf.math.l2_normalize(tf.concat([a, b], axis=0), axis=1).numpy()
    same = np.tile(labels, 2)[:, np.newaxis] == np.tile(labels, 2)
    assert (z @ z.T)[same].min() > 0.9 > -0.5 > (z @ z.T)[~same].max()


@pytest.mark.parametrize("labels", [[0, 1], [[0] * 6], [0.0] * 6])
def test_labels_that_are_not_one_integer_an_image_are_refused(labels):
    with pytest.raises(ConfigError, match=r"`labels` must be integers \[N\].*Received"):
        sup_con(*projections(), labels, temperature=0.1)
