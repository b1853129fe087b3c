"""LARS in plain loops over float64: one variable, a list of its gradients."""

import math

import numpy as np


def _norm(array):
    return math.sqrt(sum(float(x) ** 2 for x in np.ravel(array)))


def _trust(coefficient, weight, direction, adapts):
    if not adapts or _norm(weight) == 0 or _norm(direction) == 0:
        return 1.0
    return coefficient * _norm(weight) / _norm(direction)


def lars(
    weight,
    gradients,
    learning_rates,
    *,
    momentum,
    weight_decay,
    trust_coefficient,
    nesterov,
    classic_momentum,
    decays=True,
    adapts=True,
):
    """The weight after each of the steps."""
    weight = np.array(weight, np.float64)
    velocity = np.zeros_like(weight)
    history = []
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        gradient = np.asarray(gradient, np.float64)
        if decays:
            gradient = gradient + weight_decay * weight
        if classic_momentum:
            trust = _trust(trust_coefficient, weight, gradient, adapts)
            scaled = learning_rate * trust * gradient
            velocity = momentum * velocity + scaled
            weight = weight - (momentum * velocity + scaled if nesterov else velocity)
        else:
            velocity = momentum * velocity + gradient
            direction = momentum * velocity + gradient if nesterov else velocity
            trust = _trust(trust_coefficient, weight, direction, adapts)
            weight = weight - learning_rate * trust * direction
        history.append(weight)
    return history
