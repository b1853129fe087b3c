"""The contrastive losses in plain loops over float64, straight from the paper."""

import math

import numpy as np


def _unit(vector):
    length = math.sqrt(sum(float(x) ** 2 for x in vector))
    return np.array([float(x) / length for x in vector])


def candidates_of(projections_a, projections_b, normalize=True):
    """Yields (image, direction, similarity to positive, similarities to negatives)."""
    views = [np.asarray(projections_a, np.float64), np.asarray(projections_b, float)]
    if normalize:
        views = [np.array([_unit(row) for row in view]) for view in views]
    number = len(views[0])
    for direction in (0, 1):
        for i in range(number):
            anchor, positive, negatives = views[direction][i], None, []
            for other in (0, 1):
                for k in range(number):
                    if other == direction and k == i:
                        continue
                    similarity = float(np.dot(anchor, views[other][k]))
                    if k == i:
                        positive = similarity
                    else:
                        negatives.append(similarity)
            yield i, direction, positive, negatives


def _per_image(projections_a, projections_b, normalize, term):
    losses = np.zeros(len(projections_a))
    for i, _, positive, negatives in candidates_of(
        projections_a, projections_b, normalize
    ):
        losses[i] += term(positive, negatives) / 2
    return losses


def nt_xent(projections_a, projections_b, temperature, normalize=True):
    def term(positive, negatives):
        denominator = math.exp(positive / temperature)
        for negative in negatives:
            denominator += math.exp(negative / temperature)
        return -math.log(math.exp(positive / temperature) / denominator)

    return _per_image(projections_a, projections_b, normalize, term)


def _log_sigmoid(x):
    return -math.log(1 + math.exp(-x))


def _closest_semi_hard(positive, negatives, margin):
    kept = [n for n in negatives if positive - margin < n < positive]
    return max(kept) if kept else None


def nt_logistic(projections_a, projections_b, temperature, semi_hard=False):
    def term(positive, negatives):
        loss = -_log_sigmoid(positive / temperature)
        if semi_hard:
            closest = _closest_semi_hard(positive, negatives, math.inf)
            negatives = [] if closest is None else [closest]
        for negative in negatives:
            loss -= _log_sigmoid(-negative / temperature) / len(negatives)
        return loss

    return _per_image(projections_a, projections_b, True, term)


def margin_triplet(projections_a, projections_b, margin, semi_hard=False):
    def term(positive, negatives):
        if semi_hard:
            closest = _closest_semi_hard(positive, negatives, margin)
            negatives = [] if closest is None else [closest]
        loss = 0.0
        for negative in negatives:
            loss += max(negative - positive + margin, 0.0) / len(negatives)
        return loss

    return _per_image(projections_a, projections_b, True, term)
