"""Losses of clusters, and of pairs without negatives, in loops from the papers."""

import math

import numpy as np


def sinkhorn(scores, epsilon=0.05, iterations=3):
    codes = np.array([[math.exp(s / epsilon) for s in row] for row in scores])
    rows, prototypes = codes.shape
    for _ in range(iterations):
        for k in range(prototypes):
            codes[:, k] /= sum(codes[:, k]) * prototypes
        for i in range(rows):
            codes[i] /= sum(codes[i]) * rows
    return codes * rows


def _softmax(row):
    powers = [math.exp(x - max(row)) for x in row]
    return [power / sum(powers) for power in powers]


def _cross_entropy(target, row):
    log_total = math.log(sum(math.exp(x - max(row)) for x in row)) + max(row)
    return -sum(q * (x - log_total) for q, x in zip(target, row, strict=True))


def swapped_prediction(scores, codes, temperature=0.1):
    pairs = zip(scores, codes, strict=True)
    return np.array([_cross_entropy(q, row / temperature) for row, q in pairs])


def dino_cross_entropy(student, teacher, center, student_temperature=0.1, sharp=0.04):
    losses = []
    for learned, taught in zip(student, teacher, strict=True):
        target = _softmax((taught - center) / sharp)
        losses.append(_cross_entropy(target, learned / student_temperature))
    return np.array(losses)


def negative_cosine(predictions, targets):
    losses = []
    for p, z in zip(predictions, targets, strict=True):
        dot = sum(x * y for x, y in zip(p, z, strict=True))
        losses.append(-dot / math.sqrt(sum(x * x for x in p) * sum(y * y for y in z)))
    return np.array(losses)


def _centred(column):
    mean = sum(column) / len(column)
    return [value - mean for value in column]


def barlow_twins(projections_a, projections_b, off_diagonal_weight=0.0051):
    columns = []
    for view in (projections_a, projections_b):
        centred = [_centred(list(column)) for column in np.transpose(view)]
        lengths = [math.sqrt(sum(x * x for x in column)) for column in centred]
        columns.append(
            [[x / n for x in c] for c, n in zip(centred, lengths, strict=True)]
        )
    loss = 0.0
    for i, a in enumerate(columns[0]):
        for j, b in enumerate(columns[1]):
            correlation = sum(x * y for x, y in zip(a, b, strict=True))
            if i == j:
                loss += (1 - correlation) ** 2
            else:
                loss += off_diagonal_weight * correlation**2
    return loss


def vicreg(projections_a, projections_b, weights=(25.0, 25.0, 1.0)):
    number, width = np.shape(projections_a)
    invariance = variance = covariance = 0.0
    for a, b in zip(projections_a, projections_b, strict=True):
        invariance += sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    invariance /= number * width
    for view in (projections_a, projections_b):
        columns = [_centred(list(column)) for column in np.transpose(view)]
        for i in range(width):
            for j in range(width):
                products = zip(columns[i], columns[j], strict=True)
                cov = sum(x * y for x, y in products) / (number - 1)
                if i == j:
                    variance += max(0, 1 - math.sqrt(cov + 1e-4)) / (2 * width)
                else:
                    covariance += cov**2 / width
    terms = (invariance, variance, covariance)
    return sum(w * term for w, term in zip(weights, terms, strict=True))
