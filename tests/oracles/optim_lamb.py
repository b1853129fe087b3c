"""LAMB in plain loops over float64: one variable, a list of its gradients."""

import math

import numpy as np


def _norm(array):
    return math.sqrt(sum(float(x) ** 2 for x in np.ravel(array)))


def lamb(
    weight,
    gradients,
    learning_rates,
    *,
    beta_1,
    beta_2,
    epsilon,
    weight_decay,
    decays=True,
    adapts=True,
):
    """The weight after each of the steps."""
    shape = np.shape(weight)
    weight = [float(x) for x in np.ravel(weight)]
    mean, square = [0.0] * len(weight), [0.0] * len(weight)
    history = []
    pairs = zip(gradients, learning_rates, strict=True)
    for step, (gradient, learning_rate) in enumerate(pairs, start=1):
        direction = []
        for i, slope in enumerate(np.ravel(gradient)):
            slope = float(slope)
            mean[i] = beta_1 * mean[i] + (1 - beta_1) * slope
            square[i] = beta_2 * square[i] + (1 - beta_2) * slope**2
            unbiased_mean = mean[i] / (1 - beta_1**step)
            unbiased_square = square[i] / (1 - beta_2**step)
            direction.append(unbiased_mean / (math.sqrt(unbiased_square) + epsilon))
            if decays:
                direction[i] += weight_decay * weight[i]
        trust = 1.0
        if adapts and _norm(weight) > 0 and _norm(direction) > 0:
            trust = _norm(weight) / _norm(direction)
        weight = [
            w - learning_rate * trust * u
            for w, u in zip(weight, direction, strict=True)
        ]
        history.append(np.reshape(weight, shape))
    return history
