"""Standardised and rotated coordinates, in which linear probes are cheap."""

import numpy as np

from simclr_tf.errors import unknown_choice
from simclr_tf.evaluation.blas_threads import threads_for

SCALINGS = ("center", "standardize")
# Above this size the eigenvectors are computed in float32: twice as fast.
_DOUBLE_PRECISION_SIZE = 1024


class PrincipalAxes:
    """Centred and scaled features in the directions of their principal axes.

    No information is lost: the rotation keeps every direction in which the training
    features vary, and an L2-regularised linear classifier is the same in rotated
    coordinates. The rotated coordinates are uncorrelated (which gives closed forms of
    ridge regression, and a good start for L-BFGS), and there are at most n of them.

    Args:
      features: float array `[n, F]`, n >= 2; the statistics are taken from it.
      scaling: "center" divides all features by one number, the root of their mean
        variance; "standardize" divides each by its own standard deviation (constant
        features become 0).

    Attributes:
      variances: float64 `[R]`, mean square of each coordinate, descending.

    Raises:
      ConfigError: unknown scaling.

    Example:
      >>> axes = PrincipalAxes(np.array([[0.0, 1], [2, 1], [4, 1]]))
      >>> axes.transform(np.array([[2.0, 1]])).tolist()
      [[0.0, 0.0]]
    """

    def __init__(self, features, scaling="center"):
        features = np.asarray(features, np.float32)
        self._mean, self._factors = mean_and_factors(features, scaling)
        scaled = (features - self._mean) * self._factors
        with threads_for(scaled):
            self._axes, self.variances = _axes_of(scaled)

    def transform(self, features):
        """Compute float32 coordinates `[m, R]` of features `[m, F]`."""
        features = np.asarray(features, np.float32)
        return ((features - self._mean) * self._factors) @ self._axes

    def on_features(self, weights):
        """Convert a linear layer on the coordinates to one on the features.

        Args:
          weights: float array `[R + 1, C]`, the last row being the biases.

        Returns:
          float64 array `[F + 1, C]`.

        Example:
          >>> features = np.array([[0.0, 1], [2, 1], [4, 3]])
          >>> axes, weights = PrincipalAxes(features), np.array([[1.0], [2.0], [3.0]])
          >>> layer = axes.on_features(weights)
          >>> expected = axes.transform(features) @ weights[:-1] + weights[-1]
          >>> np.allclose(features @ layer[:-1] + layer[-1], expected, atol=1e-5)
          True
        """
        kernel = (self._factors[:, None] * np.float64(self._axes)) @ weights[:-1]
        return np.vstack([kernel, weights[-1] - self._mean @ kernel])


def mean_and_factors(features, scaling):
    """Compute the mean and the factors that scale features: (x - mean) * factors.

    Args:
      features: float array `[n, F]`.
      scaling: "center" or "standardize", as in `PrincipalAxes`.

    Returns:
      mean, factors: float32 arrays `[F]`; a constant feature has the factor 0.

    Raises:
      ConfigError: unknown scaling.

    Example:
      >>> mean, factors = mean_and_factors(np.array([[0.0, 5.0], [2.0, 9.0]]), "center")
      >>> mean.tolist(), [round(float(factor), 4) for factor in factors]
      ([1.0, 7.0], [0.6325, 0.6325])
    """
    if scaling not in SCALINGS:
        raise unknown_choice("scaling", scaling, SCALINGS)
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviations = features.std(axis=0, dtype=np.float64).astype(np.float32)
    if scaling == "center":
        deviations = np.full_like(deviations, np.sqrt(np.mean(np.square(deviations))))
    # A constant feature gets 0; otherwise its rounding errors would be scaled up.
    varies = deviations > 1e-6 * max(deviations.max(), np.finfo(np.float32).tiny)
    return mean, np.where(varies, 1 / np.where(varies, deviations, 1), 0)


def _axes_of(x):
    """Compute orthonormal axes `[F, R]` that span the rows of x, and variances."""
    num_rows, num_features = x.shape
    if num_features <= num_rows:
        small = num_features <= _DOUBLE_PRECISION_SIZE
        y = x.astype(np.float64 if small else np.float32)
        # A full rotation, which loses nothing even with rounding errors.
        variances, axes = np.linalg.eigh(y.T @ y / num_rows)
    else:
        # Fewer rows than features: the small Gram matrix has the same spectrum.
        y = x.astype(np.float64)
        variances, left = np.linalg.eigh(y @ y.T / num_rows)
        kept = variances > 1e-10 * variances[-1]
        variances = variances[kept]
        axes = y.T @ left[:, kept] / np.sqrt(num_rows * variances)
    order = np.argsort(variances)[::-1]
    variances = np.maximum(variances[order], 0).astype(np.float64)
    return np.ascontiguousarray(axes[:, order], np.float32), variances
