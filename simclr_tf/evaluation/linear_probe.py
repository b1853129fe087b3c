"""Linear probes on frozen features: with all labels, and with a few a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from simclr_tf.array_types import Array
from simclr_tf.data.label_budgets import label_subset
from simclr_tf.errors import DataError, require
from simclr_tf.evaluation.blas_threads import threads_for
from simclr_tf.evaluation.logistic import L2_VALUES, fit_logistic
from simclr_tf.evaluation.principal_axes import PrincipalAxes
from simclr_tf.evaluation.ridge import ALPHAS, fit_ridge
from simclr_tf.metrics.classification import check_labelled

# Ten times coarser than for the final fit: half the time, the same choices.
_SWEEP_TOLERANCE = 1e-3
HELD_OUT_FRACTION = 0.2  # Of each class, to choose a setting on.


@dataclasses.dataclass(frozen=True, eq=False)
class LinearProbe:
    """The result of `linear_probe`.

    Attributes:
      accuracy_percent: float, on the test set.
      l2: float, the chosen weight of the penalty.
      held_out_accuracies_percent: dict of l2 to accuracy on the held-out part.
      num_held_out: int, images of that part.
      predictions: int64 `[m]`, labels given to the test set.
      classes: int64 `[C]`, the labels of the training set, ascending.
      weights: float64 `[F + 1, C]`, of the logits of these classes on the features; the
        last row is the biases.
    """

    accuracy_percent: float
    l2: float
    held_out_accuracies_percent: dict
    num_held_out: int
    predictions: np.ndarray
    classes: np.ndarray
    weights: np.ndarray

    @property
    def l2_is_at_edge(self) -> bool:
        """Whether the best value is the first or the last: then widen the sweep."""
        values = sorted(self.held_out_accuracies_percent)
        return len(values) > 1 and self.l2 in (values[0], values[-1])


@dataclasses.dataclass(frozen=True)
class FewLabelProbe:
    """The result of `few_label_probe`.

    Attributes:
      accuracy_percent: float, mean over the draws, each on the whole test set.
      std_percent: float, sample standard deviation over the draws; None for one.
      accuracies_percent: tuple of floats, one a draw.
      alphas: tuple of floats, the penalty chosen in each draw.
      num_labels: int, labels of one draw.
    """

    accuracy_percent: float
    std_percent: float | None
    accuracies_percent: tuple
    alphas: tuple
    num_labels: int


def linear_probe(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    test_labels: Array,
    *,
    l2_values: Sequence[float] = L2_VALUES,
    held_out_fraction: float = HELD_OUT_FRACTION,
    scaling: str = "center",
    seed: int = 0,
) -> LinearProbe:
    """Measure an L2-regularised logistic regression on frozen features.

    The penalty is the value with the best accuracy on a held-out, stratified part of
    the *training* set (of equal ones, the lowest loss there); the classifier is then
    fitted to the whole training set and tested once. The sweep goes from strong to
    weak; each fit starts from the one before. Scale and rotation of the features come
    from the whole training set, without labels.

    Args:
      train_features, test_features: float arrays `[n, F]`, `[m, F]`.
      train_labels, test_labels: int arrays `[n]`, `[m]`.
      l2_values: floats > 0 to choose from, against the mean loss (default: 17 from
        1e-6 to 100; see `named_l2_values` for the paper's 45).
      held_out_fraction: float in (0, 1), share of each class held out for the choice.
      scaling: "center" or "standardize", as in `PrincipalAxes`. The default is better
        for raw pixels, and equally good for encoders.
      seed: int, of the held-out part.

    Returns:
      LinearProbe.

    Raises:
      ConfigError: an argument outside its range.
      DataError: no labels, only one class, or too few images to hold some out.

    Example:
      >>> x = np.repeat([[0.0], [1.0]], 10, axis=0)
      >>> y = np.repeat([0, 1], 10)
      >>> linear_probe(x, y, [[0.1], [0.9]], [0, 1]).accuracy_percent
      100.0

    Source: Chen et al., SimCLR (2020), section B.8 (transfer by L-BFGS).
    """
    l2_values = sorted({float(l2) for l2 in l2_values}, reverse=True)
    require(
        l2_values and l2_values[-1] > 0, "All `l2_values` must be > 0.", l2=l2_values
    )
    train_features, train_labels = check_labelled(
        "training", train_features, train_labels
    )
    test_features, test_labels = check_labelled("test", test_features, test_labels)
    classes, class_indices = np.unique(train_labels, return_inverse=True)
    axes = PrincipalAxes(train_features, scaling)
    x = axes.transform(train_features)
    parts = held_out_split(train_labels, held_out_fraction, seed)
    with threads_for(x):
        l2, start, accuracies = _sweep(x, class_indices, parts, l2_values)
        weights, _ = fit_logistic(x, class_indices, len(classes), l2, start=start)
        logits = axes.transform(test_features) @ weights[:-1] + weights[-1]
    predictions = classes[logits.argmax(axis=1)]
    return LinearProbe(
        100 * float(np.mean(predictions == test_labels)),
        l2,
        accuracies,
        len(parts[1]),
        predictions,
        classes,
        axes.on_features(weights),
    )


def few_label_probe(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    test_labels: Array,
    *,
    per_class: int = 10,
    draws: int = 5,
    seed: int = 0,
    alphas: Sequence[float] = ALPHAS,
    scaling: str = "center",
) -> FewLabelProbe:
    """Measure accuracy when only a few labels of each class are known.

    A ridge classifier, its penalty chosen by leave-one-out among the few labelled
    images alone, on several random draws of them.

    Args:
      train_features, test_features: float arrays `[n, F]`, `[m, F]`.
      train_labels, test_labels: int arrays `[n]`, `[m]`.
      per_class: int >= 1, labelled images a class.
      draws: int >= 1; draw d takes the images of seed + d.
      seed: int, of the first draw.
      alphas: floats > 0, penalties to choose from.
      scaling: "center" or "standardize", from the labelled images alone.

    Returns:
      FewLabelProbe.

    Raises:
      ConfigError: an argument outside its range.
      DataError: no labels, only one class, or fewer than `per_class` images of one.

    Example:
      >>> x = np.repeat([[0.0], [1.0]], 10, axis=0)
      >>> y = np.repeat([0, 1], 10)
      >>> probe = few_label_probe(x, y, x, y, per_class=2, draws=3)
      >>> probe.accuracy_percent, probe.std_percent, probe.num_labels
      (100.0, 0.0, 4)
    """
    require(draws >= 1, "`draws` must be >= 1.", draws=draws)
    train_features, train_labels = check_labelled(
        "training", train_features, train_labels
    )
    test_features, test_labels = check_labelled("test", test_features, test_labels)
    accuracies, chosen = [], []
    for draw in range(draws):
        subset = label_subset(train_labels, per_class=per_class, seed=seed + draw)
        probe = fit_ridge(
            train_features[subset],
            train_labels[subset],
            alphas=alphas,
            scaling=scaling,
        )
        predictions = probe.predict(test_features)
        accuracies.append(100 * float(np.mean(predictions == test_labels)))
        chosen.append(probe.alpha)
    return FewLabelProbe(
        float(np.mean(accuracies)),
        float(np.std(accuracies, ddof=1)) if draws > 1 else None,
        tuple(accuracies),
        tuple(chosen),
        len(subset),
    )


def held_out_split(labels, held_out_fraction, seed):
    """Split training images: one part to fit, the other to choose a setting.

    Args:
      labels: int array `[n]`, all labelled.
      held_out_fraction: float in (0, 1), share of each class to hold out.
      seed: int.

    Returns:
      fitted, held_out: int64 arrays, sorted row numbers.

    Raises:
      ConfigError: a fraction outside its range.
      DataError: only one class, or too few images to hold some out.

    Example:
      >>> fitted, held_out = held_out_split(np.repeat([0, 1], 10), 0.2, seed=0)
      >>> len(fitted), len(held_out)
      (16, 4)
    """
    require(
        0 < held_out_fraction < 1,
        "`held_out_fraction` must be between 0 and 1.",
        held_out_fraction=held_out_fraction,
    )
    fitted = label_subset(labels, fraction=1 - held_out_fraction, seed=seed)
    held_out = np.setdiff1d(np.arange(len(labels)), fitted)
    if not len(held_out) or len(np.unique(labels[fitted])) < 2:
        raise DataError(
            "The linear probe needs at least two classes, and enough images to hold "
            f"some out. Received: {len(labels)} images of "
            f"{len(np.unique(labels))} classes."
        )
    return fitted, held_out


def _sweep(x, class_indices, parts, l2_values):
    """Find the best penalty, its weights, and the accuracy of every penalty."""
    fitted_part, held_out_part = parts
    num_classes = class_indices.max() + 1
    best = weights = None
    accuracies = {}
    for l2 in l2_values:
        weights, _ = fit_logistic(
            x[fitted_part],
            class_indices[fitted_part],
            num_classes,
            l2,
            start=weights,
            tolerance=_SWEEP_TOLERANCE,
        )
        correct, loss = _score(x[held_out_part], class_indices[held_out_part], weights)
        accuracies[l2] = 100 * correct / len(held_out_part)
        if best is None or (correct, -loss) > best[0]:
            best = (correct, -loss), l2, weights
    return best[1], best[2], accuracies


def _score(x, class_indices, weights):
    """Return the number of correct predictions, and the mean loss."""
    logits = x @ weights[:-1] + weights[-1]
    logits -= logits.max(axis=1, keepdims=True)
    log_totals = np.log(np.exp(logits).sum(axis=1))
    losses = log_totals - logits[np.arange(len(x)), class_indices]
    return int(np.sum(logits.argmax(axis=1) == class_indices)), float(losses.mean())
