"""Weighted k nearest neighbours in loops, from Wu et al. (2018), section 3.4."""

import math


def cosine(a, b):
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    norms = [math.sqrt(sum(float(x) ** 2 for x in v)) for v in (a, b)]
    return dot / (norms[0] * norms[1]) if min(norms) > 0 else 0.0


def neighbours(train_features, query, k):
    """(similarity, row) of the k most similar rows, most similar first."""
    found = [(cosine(row, query), j) for j, row in enumerate(train_features)]
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))[:k]


def knn_predict(train_features, train_labels, query, k, temperature):
    votes = {}
    for similarity, j in neighbours(train_features, query, k):
        label = int(train_labels[j])
        votes[label] = votes.get(label, 0.0) + math.exp(similarity / temperature)
    return min(votes, key=lambda label: (-votes[label], label))


def duplicate_groups(features, threshold):
    """Groups of rows linked by cosines >= threshold: sorted lists, by union-find."""
    parent = list(range(len(features)))

    def root(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(features)):
        for j in range(i):
            if cosine(features[i], features[j]) >= threshold:
                parent[max(root(i), root(j))] = min(root(i), root(j))
    groups = {}
    for i in range(len(features)):
        groups.setdefault(root(i), []).append(i)
    return [rows for rows in groups.values() if len(rows) > 1]
