"""Objectives of a batch alone: their options reach the loss; what their figures are."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.objectives import OBJECTIVES, Outputs
from simclr_tf.objectives.swav import usage_figures
from tests.oracles import losses_contrastive, losses_without_negatives

LABELS = [0, 1, 0, 2, -1, 1, 0, -1]


def some_views(seed=0):
    return np.random.default_rng(seed).normal(size=(2, 8, 5)).astype("float32")


def outputs_of(a, b):
    return Outputs((), (tf.constant(a), tf.constant(b)), labels=tf.constant(LABELS))


@pytest.mark.parametrize(
    "name, options, expected",
    [
        (
            "dcl",
            {"temperature": 0.3},
            lambda a, b: losses_contrastive.dcl(a, b, 0.3),
        ),
        (
            "dclw",
            {"temperature": 0.3, "sigma": 0.7},
            lambda a, b: losses_contrastive.dclw(a, b, 0.3, 0.7),
        ),
        (
            "sup_con",
            {"temperature": 0.3},
            lambda a, b: losses_contrastive.sup_con(a, b, LABELS, 0.3),
        ),
        (
            "barlow_twins",
            {"off_diagonal_weight": 0.1},
            lambda a, b: losses_without_negatives.barlow_twins(a, b, 0.1),
        ),
        (
            "vicreg",
            {
                "invariance_weight": 3.0,
                "variance_weight": 5.0,
                "covariance_weight": 7.0,
            },
            lambda a, b: losses_without_negatives.vicreg(a, b, (3.0, 5.0, 7.0)),
        ),
    ],
)
def test_the_options_of_an_objective_reach_its_loss(name, options, expected):
    a, b = some_views()
    objective = OBJECTIVES[name](**options)
    loss, figures = objective.loss(outputs_of(a, b))
    np.testing.assert_allclose(loss, expected(a, b), rtol=1e-4)
    assert set(figures) == {figure.name for figure in objective.figures}


def test_small_views_are_compared_with_both_full_ones():
    a, b = some_views()
    small = some_views(seed=1)
    objective = OBJECTIVES["nt_xent"](temperature=0.3, small_views=2)
    views = [tf.constant(view) for view in (a, b, *small)]
    loss, figures = objective.loss(Outputs((), tuple(views)))
    pairs = [(a, b), *((full, other) for full in (a, b) for other in small)]
    expected = [losses_contrastive.nt_xent(*pair, 0.3) for pair in pairs]
    np.testing.assert_allclose(tf.reduce_mean(loss), np.mean(expected), rtol=1e-5)
    _, of_full = OBJECTIVES["nt_xent"](temperature=0.3).loss(outputs_of(a, b))
    for name in ("contrastive_accuracy", "contrastive_entropy"):
        np.testing.assert_allclose(figures[name], of_full[name], rtol=1e-6)


def test_sup_con_counts_positives_and_who_finds_one():
    a, b = some_views()
    _, figures = OBJECTIVES["sup_con"](temperature=0.3).loss(outputs_of(a, b))
    views = np.concatenate([a, b])
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    labels = np.array([*LABELS, *LABELS])
    images = np.tile(np.arange(8), 2)
    right, number = [], []
    for i, view in enumerate(views):
        others = [k for k in range(16) if k != i]
        is_positive = [
            images[k] == images[i] or labels[k] == labels[i] != -1 for k in others
        ]
        right.append(is_positive[int(np.argmax(views[others] @ view))])
        number.append(sum(is_positive))
    assert 0 < np.mean(right) < 1
    np.testing.assert_allclose(figures["class_accuracy"], np.mean(right), rtol=1e-6)
    np.testing.assert_allclose(figures["positives"], np.mean(number), rtol=1e-6)


def test_the_correlations_of_barlow_twins_are_those_of_numpy():
    a, b = some_views()
    _, figures = OBJECTIVES["barlow_twins"]().loss(outputs_of(a, b))
    crossed = np.corrcoef(a, b, rowvar=False)[:5, 5:]
    others = crossed[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(
        figures["view_correlation"], np.diag(crossed).mean(), rtol=1e-4
    )
    np.testing.assert_allclose(
        figures["dimension_correlation"], np.sqrt(np.mean(others**2)), rtol=1e-4
    )


def test_the_use_of_clusters_is_the_exponential_of_an_entropy():
    sure = tf.one_hot([0, 0, 3, 3], 4)
    figures = usage_figures(sure)
    assert float(figures["prediction_entropy"]) == 0.0
    assert float(figures["outputs_in_use"]) == pytest.approx(2.0)
    figures = usage_figures(tf.fill([3, 4], 0.25))
    assert float(figures["prediction_entropy"]) == pytest.approx(np.log(4))
    assert float(figures["outputs_in_use"]) == pytest.approx(4.0)
