"""Contrastive metrics and measures of features: loops, closed forms, properties."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import candidate_logits, nt_xent
from simclr_tf.metrics import (
    alignment,
    chance_contrastive_loss,
    contrastive_accuracy,
    contrastive_entropy,
    effective_rank,
    feature_standard_deviation,
    uniformity,
)
from tests.oracles import metrics_contrastive as oracle


def _views(number=8, features=5, noise=0.8, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(number, features))
    b = a + noise * rng.normal(size=(number, features))
    return a.astype(np.float32), b.astype(np.float32)


def test_contrastive_accuracy_equals_the_loops():
    a, b = _views(noise=1.5)
    accuracy = contrastive_accuracy(candidate_logits(a, b, temperature=0.3))
    expected = oracle.contrastive_accuracy(a, b)
    assert set(expected) == {0.0, 0.5, 1.0}
    np.testing.assert_array_equal(accuracy, expected)


def test_contrastive_accuracy_counts_negatives_of_the_same_view():
    # (a, 0) and (a, 1) coincide: nearer to each other than to their other views.
    a, b = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 1.0], [1.0, -1.0]])
    accuracy = contrastive_accuracy(candidate_logits(a, b))
    np.testing.assert_array_equal(accuracy, oracle.contrastive_accuracy(a, b))
    assert (accuracy.numpy() < 1).all()


@pytest.mark.parametrize("shape", [[5, 3], [32, 16], [256, 128]])
def test_collapsed_projections_have_no_contrastive_accuracy(shape):
    same = tf.fill(shape, 0.1)
    accuracy = contrastive_accuracy(candidate_logits(same, same, temperature=0.1))
    assert float(tf.reduce_max(accuracy)) == 0


def test_contrastive_entropy_equals_the_loops():
    a, b = _views()
    entropy = contrastive_entropy(candidate_logits(a, b, temperature=0.3))
    np.testing.assert_allclose(
        entropy, oracle.contrastive_entropy(a, b, 0.3), rtol=1e-5
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_contrastive_entropy_runs_from_zero_to_the_log_of_the_candidates(jit_compile):
    @tf.function(jit_compile=jit_compile, autograph=False)
    def entropy_of(a, b):
        return contrastive_entropy(candidate_logits(a, b, temperature=0.01))

    same, apart = tf.ones([4, 4]), tf.eye(4)
    np.testing.assert_allclose(entropy_of(same, same), [math.log(7)] * 4, rtol=1e-6)
    np.testing.assert_allclose(entropy_of(apart, apart), [0.0] * 4, atol=1e-6)


@pytest.mark.parametrize("number", [1, 2, 64])
def test_chance_loss_is_the_loss_of_a_collapsed_network(number):
    same = tf.ones([number, 3])
    loss = float(tf.reduce_mean(nt_xent(same, same, temperature=0.1)))
    assert chance_contrastive_loss(number) == pytest.approx(loss, abs=1e-6)


def test_chance_loss_of_an_empty_batch_is_refused():
    with pytest.raises(ConfigError, match="at least 1.*global_batch_size=0"):
        chance_contrastive_loss(0)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_alignment_equals_the_loops(exponent):
    a, b = _views()
    expected = oracle.alignment(a, b, exponent)
    assert float(alignment(a, b, exponent=exponent)) == pytest.approx(expected, 1e-5)


def test_alignment_is_zero_for_equal_directions_and_four_for_opposite_ones():
    a, _ = _views()
    assert float(alignment(a, 3 * a)) == pytest.approx(0, abs=1e-6)
    assert float(alignment(a, -a)) == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_uniformity_equals_the_loops(scale):
    features, _ = _views()
    expected = oracle.uniformity(features, scale)
    assert float(uniformity(features, scale=scale)) == pytest.approx(expected, 1e-4)


def test_uniformity_is_zero_when_collapsed_and_needs_two_rows():
    assert float(uniformity(np.ones([6, 3]))) == pytest.approx(0, abs=1e-5)
    with pytest.raises(ConfigError, match="at least two rows"):
        uniformity(np.ones([1, 3]))


def test_effective_rank_equals_the_other_route():
    features, _ = _views()
    expected = oracle.effective_rank(features)
    assert float(effective_rank(features)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_effective_rank_counts_equal_directions(rank):
    rng = np.random.default_rng(0)
    left = np.linalg.qr(rng.normal(size=(20, rank)))[0]
    right = np.linalg.qr(rng.normal(size=(6, rank)))[0]
    features = 5 * left @ right.T
    assert float(effective_rank(features)) == pytest.approx(rank, rel=1e-3)


def test_feature_standard_deviation_equals_the_loops():
    features, _ = _views()
    expected = oracle.feature_standard_deviation(features)
    assert float(feature_standard_deviation(features)) == pytest.approx(expected, 1e-5)


def test_feature_standard_deviation_is_one_for_isotropic_and_zero_for_collapsed():
    axes = np.concatenate([np.eye(4), -np.eye(4)])
    assert float(feature_standard_deviation(7 * axes)) == pytest.approx(1, rel=1e-6)
    collapsed = np.outer([1.0, 2.0, 5.0], [3.0, 4.0])
    value = float(feature_standard_deviation(collapsed))
    assert value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "measure", [uniformity, effective_rank, feature_standard_deviation]
)
def test_measures_of_zero_features_are_finite(measure):
    assert np.isfinite(float(measure(tf.zeros([4, 3], tf.bfloat16))))


def test_features_that_are_not_a_matrix_are_refused():
    with pytest.raises(ConfigError, match=r"must be \[N, F\].*\(2, 3, 3, 4\)"):
        effective_rank(np.ones([2, 3, 3, 4]))
