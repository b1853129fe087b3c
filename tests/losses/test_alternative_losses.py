"""NT-Logistic and margin triplet against loops, closed forms and symmetries."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import margin_triplet, nt_logistic
from tests.oracles import losses_contrastive as oracle

ALL = [
    functools.partial(nt_logistic, temperature=0.2),
    functools.partial(nt_logistic, temperature=0.2, semi_hard=True),
    functools.partial(margin_triplet, margin=0.8),
    functools.partial(margin_triplet, margin=0.8, semi_hard=True),
]


def _projections(number=6, features=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, number, features)).astype(np.float32)


@pytest.mark.parametrize("semi_hard", [False, True])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_nt_logistic_equals_the_loops(temperature, semi_hard):
    a, b = _projections()
    loss = nt_logistic(a, b, temperature=temperature, semi_hard=semi_hard)
    expected = oracle.nt_logistic(a, b, temperature, semi_hard)
    np.testing.assert_allclose(loss, expected, rtol=2e-5)


@pytest.mark.parametrize("semi_hard", [False, True])
@pytest.mark.parametrize("margin", [0.1, 0.8])
def test_margin_triplet_equals_the_loops(margin, semi_hard):
    a, b = _projections()
    loss = margin_triplet(a, b, margin=margin, semi_hard=semi_hard)
    expected = oracle.margin_triplet(a, b, margin, semi_hard)
    assert expected.max() > 0
    np.testing.assert_allclose(loss, expected, rtol=2e-5, atol=1e-6)


def test_equal_projections_give_the_closed_forms():
    same = tf.ones([4, 3])
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    plain = nt_logistic(same, same, temperature=0.5)
    mined = nt_logistic(same, same, temperature=0.5, semi_hard=True)
    np.testing.assert_allclose(plain, [softplus(-2) + softplus(2)] * 4, rtol=1e-5)
    np.testing.assert_allclose(mined, [softplus(-2)] * 4, rtol=1e-5)
    np.testing.assert_allclose(margin_triplet(same, same, margin=0.8), [0.8] * 4)
    mined = margin_triplet(same, same, margin=0.8, semi_hard=True)
    np.testing.assert_array_equal(mined, [0.0] * 4)


def test_triplets_that_keep_the_margin_cost_nothing():
    z = np.eye(5, dtype=np.float32)
    np.testing.assert_array_equal(margin_triplet(z, z, margin=0.9), np.zeros(5))


def test_semi_hard_mining_takes_the_closest_negative_beyond_the_positive():
    # Angles: the anchor (a, 0) at 0, its positive at 60 degrees; negatives at 30 (too
    # close), 80 (semi-hard) and further. Similarities are cosines.
    angles_a, angles_b = np.radians([0.0, 80.0, 170.0]), np.radians([60.0, 30.0, 180.0])
    a, b = (np.stack([np.cos(t), np.sin(t)], 1) for t in (angles_a, angles_b))
    _, _, positive, negatives = next(oracle.candidates_of(a, b))
    assert positive == pytest.approx(0.5) and max(negatives) > positive
    cosines = np.cos(np.radians([80.0, 60.0]))
    # The other direction's anchor (b, 0) at 60: positive at 60 degrees from it,
    # negatives at 20, 30 (too close) and 110, 120 (beyond the margin of 0.5).
    expected = (cosines[0] - cosines[1] + 0.5 + 0.0) / 2
    loss = margin_triplet(a, b, margin=0.5, semi_hard=True)
    np.testing.assert_allclose(loss[0], expected, rtol=1e-5)


@pytest.mark.parametrize("loss_of", ALL)
def test_symmetries(loss_of):
    a, b = _projections()
    loss, order = loss_of(a, b).numpy(), [2, 5, 1, 0, 4, 3]
    np.testing.assert_allclose(loss_of(b, a), loss, rtol=1e-5)
    np.testing.assert_allclose(loss_of(a[order], b[order]), loss[order], rtol=1e-5)
    a[1] *= 50.0
    np.testing.assert_allclose(loss_of(a, b), loss, rtol=1e-5)


@pytest.mark.parametrize("loss_of", ALL)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_inputs_give_float32_losses_and_finite_gradients(loss_of, dtype):
    a, b = (tf.Variable(tf.cast(p, dtype)) for p in _projections())
    with tf.GradientTape() as tape:
        loss = loss_of(a, b)
    assert loss.dtype == tf.float32 and np.isfinite(loss).all()
    for gradient in tape.gradient(loss, [a, b]):
        gradient = tf.cast(gradient, tf.float32).numpy()
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_nt_logistic_is_finite_at_temperature_a_hundredth_and_for_zero_rows():
    a, b = (tf.Variable(p) for p in _projections())
    b.assign(tf.zeros_like(b))
    for semi_hard in (False, True):
        with tf.GradientTape() as tape:
            loss = nt_logistic(a, b, temperature=0.01, semi_hard=semi_hard)
        assert np.isfinite(loss).all()
        assert all(np.isfinite(g).all() for g in tape.gradient(loss, [a, b]))


def test_a_single_image_has_no_negatives():
    z = tf.ones([1, 3])
    assert float(margin_triplet(z, z, margin=0.8)[0]) == 0
    logistic = nt_logistic(z, z, temperature=1.0)
    np.testing.assert_allclose(logistic, [math.log1p(math.exp(-1))], rtol=1e-6)


def test_values_outside_their_range_are_refused():
    a, b = _projections()
    with pytest.raises(ConfigError, match="`margin` must be >= 0.*margin=-0.1"):
        margin_triplet(a, b, margin=-0.1)
    with pytest.raises(ConfigError, match="`temperature` must be > 0"):
        nt_logistic(a, b, temperature=0.0)
