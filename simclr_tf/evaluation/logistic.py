"""Multinomial logistic regression with an L2 penalty, by L-BFGS."""

from __future__ import annotations

import numpy as np
import scipy.optimize

from simclr_tf.errors import require, unknown_choice

# Half decades from 1e-6 to 100, relative to the mean loss.
L2_VALUES = tuple(float(l2) for l2 in np.logspace(-6, 2, 17))
L2_CHOICES = ("fast", "paper")


def named_l2_values(choice: str, num_images: int) -> tuple[float, ...]:
    """Return the penalties for `linear_probe` by name.

    "fast" is its default. "paper" is the sweep of the transfer experiments: 45 values,
    logarithmically spaced from 1e-6 to 1e5. The paper does not define the loss that
    they are added to; here it is the *summed* loss, sum_i loss_i + value |W|^2, as in
    the tool for linear evaluation published by one of its authors. `linear_probe` adds
    them to the mean loss with l2 / 2 |W|^2, so l2 = 2 value / n.

    Args:
      choice: "fast" or "paper".
      num_images: int n >= 1, labelled training images.

    Returns:
      tuple of floats.

    Raises:
      ConfigError: unknown choice.

    Example:
      >>> values = named_l2_values("paper", num_images=1000)
      >>> len(values), [f"{values[i]:.0e}" for i in (0, -1)]
      (45, ['2e-09', '2e+02'])

    Source: Chen et al., SimCLR (2020), section B.8; Kornblith, Tools for linear
    evaluation using L-BFGS (2021), github.com/google-research/google-research.
    """
    if choice not in L2_CHOICES:
        raise unknown_choice("l2_values", choice, L2_CHOICES)
    if choice == "fast":
        return L2_VALUES
    return tuple(float(value) for value in 2 * np.logspace(-6, 5, 45) / num_images)


def fit_logistic(
    features,
    class_indices,
    num_classes,
    l2,
    *,
    start=None,
    tolerance=1e-4,
    max_iterations=500,
):
    """Fit the weights of a multinomial logistic regression.

    Minimises mean_i(-log softmax(x_i W + b)[y_i]) + l2 / 2 |W|^2, without penalty on b.
    L-BFGS runs in coordinates that are scaled by the diagonal of the Hessian at the
    start, mean_i(p_ic (1 - p_ic) x_ij^2) + l2: on uncorrelated features
    (`PrincipalAxes`) that takes a third of the steps.

    Args:
      features: float32 or float64 array `[n, F]`; the sums are computed in its dtype.
      class_indices: int array `[n]` in [0, num_classes).
      num_classes: int >= 2.
      l2: float > 0, weight of the penalty relative to the *mean* loss, so that it does
        not depend on n (scikit-learn's C is 1 / (n l2)).
      start: float array `[F + 1, num_classes]` to begin from (default: zeros), e.g.
        the solution for the next larger `l2`.
      tolerance: float > 0; stop when the largest slope in the scaled coordinates is
        below it.
      max_iterations: int >= 1.

    Returns:
      weights: float64 `[F + 1, num_classes]`, the last row being b.
      num_iterations: int; equal to `max_iterations` if the fit has not converged.

    Raises:
      ConfigError: `l2` is not positive.

    Example:
      >>> x = np.array([[-1.0], [1.0]])
      >>> weights, _ = fit_logistic(x, np.array([0, 1]), 2, l2=0.1)
      >>> (x @ weights[:1] + weights[1:]).argmax(axis=1).tolist()
      [0, 1]
    """
    require(l2 > 0, "`l2` must be > 0.", l2=l2)
    features = np.ascontiguousarray(features)
    shape = (features.shape[1] + 1, num_classes)
    start = np.zeros(shape) if start is None else start
    objective = _Objective(features, class_indices, num_classes, l2)
    scales = objective.newton_scales(start)

    def scaled(flat):
        loss, slopes = objective(flat.reshape(shape) * scales)
        return loss, (slopes * scales).ravel()

    options = {
        "maxiter": max_iterations,
        "maxcor": 20,
        "gtol": tolerance,
        # Smaller relative gains are rounding errors in the dtype of the sums.
        "ftol": 0.01 * np.finfo(features.dtype).eps,
    }
    solution = scipy.optimize.minimize(
        scaled, (start / scales).ravel(), jac=True, method="L-BFGS-B", options=options
    )
    return solution.x.reshape(shape) * scales, int(solution.nit)


class _Objective:
    """Loss and gradient of `fit_logistic` at weights `[F + 1, C]`."""

    def __init__(self, x, class_indices, num_classes, l2):
        self._x = x
        self._targets = np.eye(num_classes, dtype=x.dtype)[class_indices]
        self._l2 = l2

    def __call__(self, weights):
        losses, probabilities = self._forward(weights)
        errors = (probabilities - self._targets) / len(self._x)
        slopes = np.empty_like(weights)
        slopes[:-1] = self._x.T @ errors + self._l2 * weights[:-1]
        slopes[-1] = errors.sum(axis=0)
        penalty = self._l2 / 2 * np.sum(np.square(weights[:-1]))
        return float(losses.mean(dtype=np.float64) + penalty), slopes

    def newton_scales(self, weights):
        """Return 1 / sqrt(diagonal of the Hessian), `[F + 1, C]`."""
        _, p = self._forward(weights)
        spread = p * (1 - p) / len(self._x)
        diagonal = np.empty(weights.shape)
        diagonal[:-1] = np.square(self._x).T @ spread + self._l2
        diagonal[-1] = spread.sum(axis=0) + 1e-3
        return 1 / np.sqrt(diagonal)

    def _forward(self, weights):
        """Compute losses `[n]` and probabilities `[n, C]` in the dtype of features."""
        weights = weights.astype(self._x.dtype)
        logits = self._x @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        totals = exponentials.sum(axis=1, keepdims=True)
        losses = np.log(totals[:, 0]) - np.sum(logits * self._targets, axis=1)
        return losses, exponentials / totals
