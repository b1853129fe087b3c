"""Logistic and ridge probes against other solvers, closed forms and loops."""

import numpy as np
import pytest
import threadpoolctl
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV

from simclr_tf.errors import ConfigError, DataError
from simclr_tf.evaluation import few_label_probe, fit_ridge, linear_probe
from simclr_tf.evaluation.blas_threads import threads_for
from simclr_tf.evaluation.logistic import fit_logistic
from simclr_tf.evaluation.principal_axes import PrincipalAxes
from tests.oracles import evaluation_ridge as oracle


def blobs(num_images, num_features=6, num_classes=3, seed=0, spread=1.0):
    """Overlapping classes with correlated features of very different scales."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(42)  # The same classes for every seed.
    centers = world.normal(size=(num_classes, num_features))
    mixing = world.normal(size=(num_features, num_features))
    labels = np.arange(num_images) % num_classes
    x = centers[labels] + spread * rng.normal(size=(num_images, num_features))
    scales = np.logspace(-1, 1, num_features)
    return (x @ mixing * scales + 3).astype(np.float32), labels


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_logistic_regression_equals_scikit_learn(l2):
    x, y = blobs(90)
    z = PrincipalAxes(x).transform(x).astype(np.float64)
    weights, _ = fit_logistic(z, y, 3, l2, tolerance=1e-7)
    other = LogisticRegression(C=1 / (len(z) * l2), tol=1e-10, max_iter=10000)
    with threads_for(z):
        other.fit(z, y)
    np.testing.assert_allclose(weights[:-1], other.coef_.T, atol=2e-4 / np.sqrt(l2))
    ours = z @ weights[:-1] + weights[-1]
    np.testing.assert_allclose(
        ours - ours.mean(axis=1, keepdims=True),
        other.decision_function(z) - other.decision_function(z).mean(1, keepdims=True),
        atol=2e-3,
    )


def test_gradient_vanishes_at_the_solution():
    x, y = blobs(60)
    z = PrincipalAxes(x).transform(x).astype(np.float64)
    weights, _ = fit_logistic(z, y, 3, 0.01, tolerance=1e-8)
    logits = z @ weights[:-1] + weights[-1]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    errors = (p - np.eye(3)[y]) / len(z)
    np.testing.assert_allclose(z.T @ errors + 0.01 * weights[:-1], 0, atol=1e-7)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=1e-7)


def test_one_feature_two_points_has_the_known_solution():
    # Points -1 and 1, weights -w and w: the slope of the loss is 2 l2 w, so
    # w = sigmoid(-2 w) / (2 l2) * ... solved here by bisection.
    l2, low, high = 0.1, 0.0, 10.0
    for _ in range(100):
        w = (low + high) / 2
        slope = -1 / (1 + np.exp(2 * w)) + l2 * w
        low, high = (w, high) if slope < 0 else (low, w)
    weights, _ = fit_logistic(
        np.array([[-1.0], [1.0]]), np.array([0, 1]), 2, l2, tolerance=1e-9
    )
    np.testing.assert_allclose(weights[0], [-w, w], atol=1e-6)


def test_start_at_the_solution_stays_there():
    x, y = blobs(120)
    z = PrincipalAxes(x).transform(x).astype(np.float64)
    solution, cold = fit_logistic(z, y, 3, 1e-3, tolerance=1e-6)
    again, warm = fit_logistic(z, y, 3, 1e-3, tolerance=1e-5, start=solution)
    assert cold > 5 and warm <= 1
    np.testing.assert_allclose(again, solution, atol=1e-4)


@pytest.mark.parametrize("num_images", [30, 8])  # More and fewer than features.
def test_principal_axes_keep_all_distances(num_images):
    x, _ = blobs(num_images, num_features=12)
    axes = PrincipalAxes(x)
    z = axes.transform(x)
    assert z.shape[1] == min(12, num_images - 1) or num_images > 12
    centered = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0).mean())
    np.testing.assert_allclose(z @ z.T, centered @ centered.T, atol=2e-4)
    np.testing.assert_allclose(np.mean(z**2, axis=0), axes.variances, atol=1e-4)
    assert np.all(np.diff(axes.variances) <= 0)


def test_standardized_axes_ignore_the_scale_of_single_features():
    x, _ = blobs(40)
    scaled = x * np.array([1, 100, 1e-3, 1, 7, 1], np.float32)
    z, w = (PrincipalAxes(a, "standardize").transform(a) for a in (x, scaled))
    np.testing.assert_allclose(np.abs(w), np.abs(z), atol=1e-3)


@pytest.mark.parametrize("scaling", ["center", "standardize"])
def test_constant_feature_changes_nothing(scaling):
    x, _ = blobs(60)
    wide = np.concatenate([x, np.full([60, 1], 0.1, np.float32)], axis=1)
    wide[7, 6] = np.nextafter(wide[7, 6], 1, dtype=np.float32)  # All but constant.
    found = PrincipalAxes(wide, scaling).transform(wide)
    expected = PrincipalAxes(x, scaling).transform(x)
    # The zero variance counts in the common scale of "center".
    found *= np.sqrt(6 / 7) if scaling == "center" else 1
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def test_unknown_scaling_lists_the_choices():
    with pytest.raises(ConfigError, match="Did you mean center"):
        PrincipalAxes(np.eye(3), "centre")


@pytest.mark.parametrize("num_images, num_features", [(40, 6), (12, 20)])
def test_ridge_equals_normal_equations_and_leave_one_out_loops(
    num_images, num_features
):
    x, y = blobs(num_images, num_features)
    z = ((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0).mean())).astype(np.float64)
    targets = np.where(y[:, np.newaxis] == np.arange(3), 1.0, -1.0)
    alphas = [0.1, 1.0, 10.0]
    probe = fit_ridge(x, y, alphas=alphas)
    expected = {a: oracle.leave_one_out_error(z, targets, a) for a in alphas}
    for alpha in alphas:
        np.testing.assert_allclose(
            probe.leave_one_out_errors[alpha], expected[alpha], rtol=1e-4
        )
    assert probe.alpha == min(expected, key=expected.get)
    weights, offset = oracle.ridge(z, targets, probe.alpha)
    new, _ = blobs(50, num_features, seed=9)
    scores = (new - x.mean(0)) / np.sqrt(x.var(0).mean()) @ weights + offset
    np.testing.assert_array_equal(probe.predict(new), scores.argmax(axis=1))


def test_ridge_chooses_and_predicts_as_scikit_learn():
    x, y = blobs(75, num_features=10)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    alphas = np.logspace(-2, 3, 11)
    ours = fit_ridge(x, y, alphas=alphas, scaling="standardize")
    other = RidgeClassifierCV(alphas=alphas).fit(z, y)
    assert ours.alpha == pytest.approx(other.alpha_)
    np.testing.assert_array_equal(ours.predict(x), other.predict(z))


def test_linear_probe_tests_the_refitted_classifier_of_the_best_penalty():
    x, y = blobs(150)
    new, new_labels = blobs(60, seed=1)
    probe = linear_probe(x, y, new, new_labels)
    held_out = probe.held_out_accuracies_percent
    assert held_out[probe.l2] == max(held_out.values())
    assert probe.num_held_out == 30 and len(held_out) == 17
    scale = np.sqrt(x.var(axis=0).mean())
    z, new_z = ((a.astype(np.float64) - x.mean(axis=0)) / scale for a in (x, new))
    other = LogisticRegression(C=1 / (150 * probe.l2), tol=1e-8, max_iter=1000)
    with threads_for(z):
        agreeing = other.fit(z, y).predict(new_z) == probe.predictions
    assert agreeing.mean() >= 59 / 60
    assert probe.accuracy_percent == pytest.approx(
        100 * np.mean(probe.predictions == new_labels)
    )
    assert probe.accuracy_percent > 60


def test_held_out_images_are_not_fitted():
    # More features than images and random labels: what is fitted is known by heart.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 200)), rng.integers(0, 4, 80)
    probe = linear_probe(x, y, x, y, l2_values=[1e-3])
    assert probe.accuracy_percent == 100
    assert probe.held_out_accuracies_percent[1e-3] < 60


def test_test_labels_do_not_reach_the_choice():
    x, y = blobs(90)
    new, new_labels = blobs(30, seed=1)
    first = linear_probe(x, y, new, new_labels)
    second = linear_probe(x, y, new, np.roll(new_labels, 1))
    assert first.l2 == second.l2
    assert first.held_out_accuracies_percent == second.held_out_accuracies_percent
    np.testing.assert_array_equal(first.predictions, second.predictions)


def test_choice_at_the_edge_of_the_sweep_is_said():
    x, y = blobs(90)
    assert linear_probe(x, y, x, y, l2_values=[50.0, 100.0]).l2_is_at_edge
    assert not linear_probe(x, y, x, y, l2_values=[0.01]).l2_is_at_edge


def test_labels_need_not_start_at_zero():
    x, y = blobs(90)
    plain = linear_probe(x, y, x, y, l2_values=[0.01])
    sparse = linear_probe(x, y * 7 + 4, x, y * 7 + 4, l2_values=[0.01])
    np.testing.assert_array_equal(sparse.predictions, plain.predictions * 7 + 4)
    assert sparse.accuracy_percent == plain.accuracy_percent > 60


def test_few_label_probe_is_the_mean_over_ridge_on_each_draw():
    from simclr_tf.data import label_subset

    x, y = blobs(90)
    new, new_labels = blobs(60, seed=1)
    probe = few_label_probe(x, y, new, new_labels, per_class=4, draws=3, seed=5)
    expected = []
    for seed in (5, 6, 7):
        rows = label_subset(y, per_class=4, seed=seed)
        ridge = fit_ridge(x[rows], y[rows])
        expected.append(100 * np.mean(ridge.predict(new) == new_labels))
    assert probe.accuracies_percent == pytest.approx(tuple(expected))
    assert probe.accuracy_percent == pytest.approx(np.mean(expected))
    assert probe.std_percent == pytest.approx(np.std(expected, ddof=1))
    assert probe.num_labels == 12


def test_few_label_probe_repeats_for_one_seed_and_differs_for_another():
    x, y = blobs(90, spread=3.0)
    new, new_labels = blobs(60, seed=1, spread=3.0)
    first, again, other = (
        few_label_probe(x, y, new, new_labels, per_class=3, seed=seed)
        for seed in (0, 0, 100)
    )
    assert first == again
    assert first.accuracies_percent != other.accuracies_percent
    assert len(set(first.accuracies_percent)) > 1


def test_one_draw_has_no_deviation():
    x, y = blobs(30)
    assert few_label_probe(x, y, x, y, per_class=3, draws=1).std_percent is None


def test_more_labels_than_a_class_has_are_refused():
    x, y = blobs(30)
    with pytest.raises(DataError, match="No class has 11 labelled"):
        few_label_probe(x, y, x, y, per_class=11)


@pytest.mark.parametrize("probe", [linear_probe, few_label_probe])
def test_sets_without_labels_get_one_clear_error(probe):
    x, y = blobs(30)
    with pytest.raises(DataError, match="training set has no labels"):
        probe(x, None, x, y)
    with pytest.raises(DataError, match="test set has no labels"):
        probe(x, y, x, None)
    with pytest.raises(DataError, match="two classes"):
        probe(x, np.zeros(30, int), x, y)


def test_unlabelled_images_are_left_out():
    x, y = blobs(90)
    strange = np.concatenate([x, 1e3 * np.ones_like(x)])
    partly = np.concatenate([y, np.full(90, -1)])
    assert (
        linear_probe(strange, partly, x, y).accuracy_percent
        == linear_probe(x, y, x, y).accuracy_percent
    )


@pytest.mark.parametrize(
    "wrong", [{"l2_values": [0.0]}, {"l2_values": []}, {"held_out_fraction": 1.0}]
)
def test_settings_outside_their_range_are_refused(wrong):
    x, y = blobs(30)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        linear_probe(x, y, x, y, **wrong)


def test_small_fits_get_one_thread_and_give_the_others_back():
    def blas_threads():
        pools = threadpoolctl.threadpool_info()
        return {
            p["filepath"]: p["num_threads"] for p in pools if p["user_api"] == "blas"
        }

    before = blas_threads()
    with threads_for(np.zeros(8)):
        assert set(blas_threads().values()) == {1}
    assert blas_threads() == before
