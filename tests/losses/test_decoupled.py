"""DCL and DCLW: closed forms, and how they differ from NT-Xent."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import dcl, dclw, nt_xent
from tests.oracles import losses_contrastive as oracle


def projections(number=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, number, 4)).astype(np.float32)


@pytest.mark.parametrize("loss_of", [dcl, dclw])
@pytest.mark.parametrize("number", [2, 16])
def test_equal_projections_give_the_log_of_the_number_of_negatives(loss_of, number):
    same = tf.ones([number, 3])
    loss = loss_of(same, same, temperature=0.1)
    np.testing.assert_allclose(loss, [math.log(2 * number - 2)] * number, atol=2e-6)


def test_orthogonal_images_give_a_negative_loss():
    z = np.eye(6, dtype=np.float32)
    loss = dcl(z, z, temperature=0.2)
    np.testing.assert_allclose(loss, [math.log(10) - 5] * 6, rtol=1e-6)


def test_nt_xent_is_larger_by_what_the_positive_adds_to_the_denominator():
    a, b = projections()
    plain, decoupled = (f(a, b, temperature=0.3).numpy() for f in (nt_xent, dcl))
    gaps = []
    for _, _, positive, negatives in oracle.candidates_of(a, b):
        others = sum(math.exp(s / 0.3) for s in negatives)
        gaps.append(math.log1p(math.exp(positive / 0.3) / others))
    np.testing.assert_allclose(
        plain - decoupled, np.reshape(gaps, [2, 5]).mean(axis=0), rtol=1e-4
    )


def test_an_easy_positive_still_pulls_where_nt_xent_has_stopped():
    a = tf.constant([[1.0, 0.1], [-1.0, 0.0]])
    b = tf.constant([[1.0, 0.0], [-1.0, 0.1]])
    norms = []
    for loss_of in (nt_xent, dcl):
        with tf.GradientTape() as tape:
            tape.watch(a)
            loss = tf.reduce_mean(loss_of(a, b, temperature=0.07))
        norms.append(float(tf.norm(tape.gradient(loss, a))))
    assert norms[1] > 1.0 > 1e-3 > norms[0]


def test_the_weights_of_dclw_have_mean_one_and_fall_with_the_similarity():
    a, b = projections()
    temperature = 0.4
    pulls = dcl(a, b, temperature=temperature) - dclw(a, b, temperature=temperature)
    similarities = np.array([p for _, d, p, _ in oracle.candidates_of(a, b) if d == 0])
    weights = 1 + pulls.numpy() * temperature / similarities
    np.testing.assert_allclose(weights, oracle.dclw_weights(a, b), rtol=1e-4)
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-4)
    assert (np.argsort(weights) == np.argsort(-similarities)).all()


def test_a_large_sigma_is_dcl():
    a, b = projections()
    loss = dclw(a, b, temperature=0.3, sigma=1e6)
    np.testing.assert_allclose(loss, dcl(a, b, temperature=0.3), atol=1e-5)


def test_a_sigma_that_is_not_positive_is_refused():
    a, b = projections()
    with pytest.raises(ConfigError, match="`sigma` must be > 0.*Received: sigma=0"):
        dclw(a, b, temperature=0.3, sigma=0)
