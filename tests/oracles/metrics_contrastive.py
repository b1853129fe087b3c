"""Contrastive metrics and measures of features in plain loops over float64."""

import math

import numpy as np

from tests.oracles.losses_contrastive import candidates_of


def contrastive_accuracy(projections_a, projections_b):
    result = np.zeros(len(projections_a))
    for i, _, positive, negatives in candidates_of(projections_a, projections_b):
        result[i] += 0.5 * all(positive > negative for negative in negatives)
    return result


def contrastive_entropy(projections_a, projections_b, temperature):
    result = np.zeros(len(projections_a))
    for i, _, positive, negatives in candidates_of(projections_a, projections_b):
        weights = [math.exp(s / temperature) for s in [positive, *negatives]]
        for weight in weights:
            probability = weight / sum(weights)
            result[i] -= probability * math.log(probability) / 2
    return result


def _unit_rows(features):
    features = np.asarray(features, np.float64)
    return np.array([row / math.sqrt((row**2).sum()) for row in features])


def alignment(features_a, features_b, exponent):
    total = 0.0
    for x, y in zip(_unit_rows(features_a), _unit_rows(features_b), strict=True):
        total += math.dist(x, y) ** exponent
    return total / len(features_a)


def uniformity(features, scale):
    rows, terms = _unit_rows(features), []
    for i in range(len(rows)):
        for j in range(i):
            terms.append(math.exp(-scale * math.dist(rows[i], rows[j]) ** 2))
    return math.log(sum(terms) / len(terms))


def effective_rank(features):
    # Singular values as roots of the eigenvalues of F^T F: another route than an SVD.
    features = np.asarray(features, np.float64)
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(features.T @ features), 0))
    entropy = 0.0
    for value in values:
        share = value / values.sum()
        if share > 0:
            entropy -= share * math.log(share)
    return math.exp(entropy)


def feature_standard_deviation(features):
    rows = _unit_rows(features)
    deviations = []
    for column in rows.T:
        mean = sum(column) / len(column)
        deviations.append(math.sqrt(sum((x - mean) ** 2 for x in column) / len(column)))
    return sum(deviations) / len(deviations) * math.sqrt(rows.shape[1])
