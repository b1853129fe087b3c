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


def nt_xent_with_memory(projections_a, projections_b, memory, temperature):
    losses, views = np.zeros(len(projections_a)), (projections_a, projections_b)
    for i, direction, positive, negatives in candidates_of(*views):
        anchor = _unit(views[direction][i])
        negatives = [*negatives, *(float(anchor @ row) for row in memory)]
        powers = [math.exp(s / temperature) for s in (positive, *negatives)]
        losses[i] -= math.log(powers[0] / sum(powers)) / 2
    return losses


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


def dcl(projections_a, projections_b, temperature):
    def term(positive, negatives):
        pushed = sum(math.exp(negative / temperature) for negative in negatives)
        return -positive / temperature + math.log(pushed)

    return _per_image(projections_a, projections_b, True, term)


def dclw(projections_a, projections_b, temperature, sigma=0.5, weights=None):
    if weights is None:
        weights = dclw_weights(projections_a, projections_b, sigma)
    losses = np.zeros(len(projections_a))
    for i, _, positive, negatives in candidates_of(projections_a, projections_b):
        pushed = sum(math.exp(negative / temperature) for negative in negatives)
        losses[i] += (-weights[i] * positive / temperature + math.log(pushed)) / 2
    return losses


def dclw_weights(projections_a, projections_b, sigma=0.5):
    pairs = zip(projections_a, projections_b, strict=True)
    powers = [math.exp(float(_unit(a) @ _unit(b)) / sigma) for a, b in pairs]
    return [2 - len(powers) * power / sum(powers) for power in powers]


def sup_con(projections_a, projections_b, labels, temperature):
    number = len(labels)
    views = [_unit(row) for row in [*projections_a, *projections_b]]
    losses = np.zeros(number)
    for i, anchor in enumerate(views):
        positives, total = [], 0.0
        for k, candidate in enumerate(views):
            if k == i:
                continue
            power = math.exp(float(anchor @ candidate) / temperature)
            total += power
            same_label = labels[k % number] == labels[i % number] != -1
            if k % number == i % number or same_label:
                positives.append(power)
        mean = sum(math.log(power / total) for power in positives) / len(positives)
        losses[i % number] -= mean / 2
    return losses


def info_nce(queries, keys, queue, temperature):
    losses = []
    for query, key in zip(queries, keys, strict=True):
        positive = math.exp(float(_unit(query) @ _unit(key)) / temperature)
        others = sum(math.exp(float(_unit(query) @ old) / temperature) for old in queue)
        losses.append(-math.log(positive / (positive + others)))
    return np.array(losses)


def info_nce_over_the_batch(queries, keys, temperature):
    losses = []
    for i, query in enumerate(queries):
        cosines = [float(_unit(query) @ _unit(key)) for key in keys]
        total = sum(math.exp(cosine / temperature) for cosine in cosines)
        losses.append(-math.log(math.exp(cosines[i] / temperature) / total))
    return np.array(losses)


def moco_v3(queries_a, queries_b, keys_a, keys_b, temperature):
    total = np.zeros(len(queries_a))
    for queries, keys in ((queries_a, keys_b), (queries_b, keys_a)):
        total += info_nce_over_the_batch(queries, keys, temperature)
    return 2 * temperature * total


def instance_softmax(features, ids, bank, temperature):
    losses = []
    for feature, own in zip(features, ids, strict=True):
        powers = [math.exp(float(_unit(feature) @ row) / temperature) for row in bank]
        losses.append(-math.log(powers[own] / sum(powers)))
    return np.array(losses)


def instance_nce(features, ids, bank, negative_ids, temperature, normalizer):
    losses = []
    noise = len(negative_ids[0]) / len(bank)
    for feature, own, drawn in zip(features, ids, negative_ids, strict=True):

        def belongs(row, feature=feature):
            p = math.exp(float(_unit(feature) @ bank[row]) / temperature) / normalizer
            return p / (p + noise)

        loss = -math.log(belongs(own))
        for row in drawn:
            loss -= math.log(1 - belongs(row))
        losses.append(loss)
    return np.array(losses)
