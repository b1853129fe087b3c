"""Ridge regression by the normal equations, and leave-one-out by leaving one out."""

import numpy as np


def ridge(x, targets, alpha):
    """Weights and offset of min |targets - 1 b - x w|^2 + alpha |w|^2."""
    x, targets = np.asarray(x, float), np.asarray(targets, float)
    ones = np.concatenate([x, np.ones([len(x), 1])], axis=1)
    penalty = alpha * np.eye(ones.shape[1])
    penalty[-1, -1] = 0.0  # The offset goes unpunished.
    solution = np.linalg.solve(ones.T @ ones + penalty, ones.T @ targets)
    return solution[:-1], solution[-1]


def leave_one_out_error(x, targets, alpha):
    """Mean squared error on each example by a fit to all of the others."""
    errors = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        weights, offset = ridge(x[others], targets[others], alpha)
        errors.append((targets[i] - (x[i] @ weights + offset)) ** 2)
    return float(np.mean(errors))
