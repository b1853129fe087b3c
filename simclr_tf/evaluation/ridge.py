"""Ridge regression on class indicators: a linear classifier in closed form.

Kept beside scikit-learn's `RidgeClassifierCV`, which gives the same predictions in 3.1
times as much processor time (`simclr-tf benchmark probes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from simclr_tf.array_types import Array
from simclr_tf.errors import DataError, require
from simclr_tf.evaluation.principal_axes import PrincipalAxes
from simclr_tf.metrics.classification import check_labelled

# Half decades from 0.01 to 100,000.
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-2, 5, 15))


@dataclasses.dataclass(frozen=True, eq=False)
class RidgeClassifier:
    """A fitted ridge classifier.

    Attributes:
      alpha: float, the chosen weight of the penalty.
      leave_one_out_errors: dict of alpha to mean squared leave-one-out error.
      classes: int64 `[C]`, the labels.
    """

    alpha: float
    leave_one_out_errors: dict
    classes: np.ndarray
    _axes: PrincipalAxes
    _weights: np.ndarray
    _offsets: np.ndarray

    @property
    def alpha_is_at_edge(self) -> bool:
        """Whether the best value is the first or last tried: widen the sweep then."""
        values = sorted(self.leave_one_out_errors)
        return len(values) > 1 and self.alpha in (values[0], values[-1])

    def predict(self, features: Array) -> Array:
        """Predict labels int64 `[m]` of features `[m, F]`."""
        return self.classes[self.scores(features).argmax(axis=1)]

    def scores(self, features: Array) -> Array:
        """Compute scores float `[m, C]` of features, columns as in `classes`."""
        return self._axes.transform(features) @ self._weights + self._offsets


def fit_ridge(
    features: Array,
    labels: Array,
    *,
    alphas: Sequence[float] = ALPHAS,
    scaling: str = "center",
) -> RidgeClassifier:
    """Fit a ridge classifier, its penalty chosen by leave-one-out.

    Minimises |Y - 1 b - X W|^2 + alpha |W|^2, Y being +1 for an image's class and
    -1 for the others. In principal coordinates X'X is diagonal, n v, so
    W = X'Y / (n v + alpha), and the error of the image i when it is left out is its
    residual divided by 1 - 1/n - sum_j x_ij^2 / (n v_j + alpha), without a new fit.

    Args:
      features: float array `[n, F]`.
      labels: int array `[n]`, at least two classes.
      alphas: floats > 0 to choose from; of equal errors, the larger alpha.
      scaling: "center" or "standardize", as in `PrincipalAxes`.

    Returns:
      RidgeClassifier.

    Raises:
      ConfigError: an alpha that is not positive.
      DataError: no labels, or only one class.

    Example:
      >>> probe = fit_ridge([[0.0], [0.2], [1.0], [1.2]], [3, 3, 8, 8])
      >>> probe.predict([[0.1], [1.1]]).tolist()
      [3, 8]
    """
    alphas = sorted((float(alpha) for alpha in alphas), reverse=True)
    require(alphas and alphas[-1] > 0, "All `alphas` must be > 0.", alphas=alphas)
    features, labels = check_labelled("training", features, labels)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise DataError(
            "A classifier needs at least two classes; all labels are "
            f"{int(classes[0])}."
        )
    axes = PrincipalAxes(features, scaling)
    x = axes.transform(features).astype(np.float64)
    # The float32 rotation leaves a small mean; the closed forms need mean 0.
    center = x.mean(axis=0)
    x -= center
    targets = np.where(labels[:, np.newaxis] == classes, 1.0, -1.0)
    offsets = targets.mean(axis=0)
    targets -= offsets
    energies = np.square(x).sum(axis=0)  # n v
    projected = x.T @ targets
    squares = np.square(x)
    errors = {}
    for alpha in alphas:
        shrink = 1 / (energies + alpha)
        residuals = targets - x @ (projected * shrink[:, np.newaxis])
        left_out = 1 - 1 / len(x) - squares @ shrink
        errors[alpha] = float(np.mean(np.square(residuals / left_out[:, np.newaxis])))
    alpha = min(alphas, key=errors.__getitem__)
    weights = projected / (energies + alpha)[:, np.newaxis]
    return RidgeClassifier(
        alpha, errors, classes, axes, weights, offsets - center @ weights
    )
