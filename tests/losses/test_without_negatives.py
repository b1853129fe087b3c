"""Negative cosine, Barlow Twins and VICReg: closed forms and invariances."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import (
    barlow_twins,
    cross_correlation,
    negative_cosine,
    vicreg,
    vicreg_terms,
)

# All combinations of signs: mean 0, biased variance 1, no covariance.
WHITE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
WHITE = WHITE.astype(np.float32)


def projections(number=8, width=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, number, width)).astype(np.float32)


def test_negative_cosine_knows_directions_alone_and_stops_at_its_target():
    p, z = (tf.constant(x) for x in projections())
    with tf.GradientTape() as tape:
        tape.watch([p, z])
        loss = negative_cosine(p, z)
    to_prediction, to_target = tape.gradient(loss, [p, z])
    assert to_target is None
    # No gradient along the prediction itself.
    np.testing.assert_allclose(np.sum(p * to_prediction, axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(negative_cosine(9 * p, 0.1 * z), loss, rtol=1e-5)
    np.testing.assert_allclose(negative_cosine(p, 3 * p), [-1] * 8, rtol=1e-6)
    np.testing.assert_allclose(negative_cosine(p, -p), [1] * 8, rtol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 1.0, 1000.1])
def test_barlow_twins_of_a_constant_output_is_the_number_of_dimensions(constant):
    z = tf.Variable(tf.fill([7, 5], constant))
    with tf.GradientTape() as tape:
        loss = barlow_twins(z, z)
    assert float(loss) == 5
    assert not np.any(tape.gradient(loss, z))


def test_barlow_twins_of_equal_dimensions_pays_for_every_pair():
    column = projections()[0][:, :1]
    z = np.tile(column, [1, 4])
    loss = barlow_twins(z, z, off_diagonal_weight=0.01)
    np.testing.assert_allclose(loss, 0.01 * 4 * 3, rtol=1e-4)


def test_barlow_twins_of_independent_noise():
    number, width, weight = 4000, 10, 0.5
    a, b = projections(number, width)
    expected = width + weight * width * (width - 1) / number + width / number
    loss = barlow_twins(a, b, off_diagonal_weight=weight)
    np.testing.assert_allclose(loss, expected, rtol=0.1)


def test_barlow_twins_is_blind_to_scale_and_offset_of_a_dimension():
    a, b = projections()
    loss = barlow_twins(a, b)
    moved = barlow_twins(a * [3.0, 0.01, 50.0] + [0.0, 5.0, -9.0], b - 2.0)
    np.testing.assert_allclose(moved, loss, rtol=1e-4)


def test_the_correlation_of_a_view_with_itself_is_one_on_the_diagonal():
    a, _ = projections()
    np.testing.assert_allclose(
        cross_correlation(a, a), np.corrcoef(a, rowvar=False), rtol=1e-4, atol=1e-6
    )


def test_vicreg_of_a_collapse_is_its_variance_term_alone():
    z = tf.ones([6, 4])
    terms = vicreg_terms(z, z)
    np.testing.assert_allclose(terms, [0, 0.99, 0], atol=1e-6)
    np.testing.assert_allclose(vicreg(z, z), 24.75, rtol=1e-6)


def test_vicreg_of_white_views_is_the_distance_of_the_views_alone():
    terms = vicreg_terms(WHITE, WHITE[::-1])  # Every sign turned: 2 apart.
    np.testing.assert_allclose(terms, [4, 0, 0], atol=1e-6)


def test_vicreg_divides_variances_and_covariances_by_one_less_than_the_batch():
    z = 0.1 * WHITE + 0.05 * WHITE[:, ::-1]
    covariance = np.cov(z, rowvar=False)
    assert covariance[0, 2] == pytest.approx(8 / 7 * 0.01)
    beside = covariance - np.diag(np.diag(covariance))
    hinge = [1 - math.sqrt(v + 1e-4) for v in np.diag(covariance)]
    expected = [0, np.mean(hinge), 2 * np.sum(beside**2) / 3]
    np.testing.assert_allclose(vicreg_terms(z, z), expected, rtol=1e-4, atol=1e-7)


def test_vicreg_variance_and_covariance_are_blind_to_an_offset():
    a, b = projections()
    terms, moved = vicreg_terms(a, b), vicreg_terms(a + 7.0, b - [1.0, 2.0, 3.0])
    np.testing.assert_allclose(moved[1:], terms[1:], rtol=1e-4)


def test_each_term_of_vicreg_has_its_weight():
    a, b = 0.4 * projections()
    names = ("invariance_weight", "variance_weight", "covariance_weight")
    for name, term in zip(names, vicreg_terms(a, b), strict=True):
        weights = {**dict.fromkeys(names, 0.0), name: 3.0}
        assert float(term) > 1e-3
        np.testing.assert_allclose(vicreg(a, b, **weights), 3 * term, rtol=1e-6)


@pytest.mark.parametrize(
    "loss_of, name",
    [
        (barlow_twins, "off_diagonal_weight"),
        (vicreg, "invariance_weight"),
        (vicreg, "variance_weight"),
        (vicreg, "covariance_weight"),
    ],
)
def test_negative_weights_are_refused(loss_of, name):
    with pytest.raises(ConfigError, match=f"`{name}` must be >= 0.*{name}=-1"):
        loss_of(*projections(), **{name: -1})
