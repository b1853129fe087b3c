"""Benchmark: probes of frozen features, against the same work by scikit-learn.

Both sides get the same made-up features, choose among the same penalties or learning
rates on the same held-out rows, and answer with an accuracy on the same test rows.
"""

import numpy as np

from simclr_tf.benchmarks.measuring import Case, Variant
from simclr_tf.evaluation import (
    BASE_LEARNING_RATES,
    fit_ridge,
    knn_classify,
    linear_probe,
    linear_sgd_probe,
)
from simclr_tf.evaluation.blas_threads import threads_for
from simclr_tf.evaluation.linear_probe import held_out_split
from simclr_tf.evaluation.linear_sgd import EPOCHS
from simclr_tf.evaluation.logistic import L2_VALUES
from simclr_tf.evaluation.principal_axes import mean_and_factors
from simclr_tf.evaluation.ridge import ALPHAS
from simclr_tf.extras import import_extra

OURS, SCIKIT_LEARN = "simclr_tf", "scikit-learn"
_CLASSES, _K, _TEMPERATURE, _HELD_OUT_FRACTION = 10, 20, 0.07, 0.2


def cases(config, folder):
    """Return, for each number of training rows, every probe.

    Args:
      config: BenchmarkConfig.
      folder: not used.

    Returns:
      list of Case. The work of a variant returns its accuracy in percent.

    Raises:
      ConfigError: scikit-learn is not installed.
    """
    for module in ("linear_model", "neighbors"):
        import_extra(f"sklearn.{module}", extra="report", wanted="benchmark probes")
    return [
        Case(
            f"{name}, {size} x {config.out_features}",
            tuple(
                Variant(
                    variant,
                    _maker(work, size, config.out_features),
                    size,
                    f"{name}, {variant}",
                )
                for variant, work in ((SCIKIT_LEARN, theirs), (OURS, ours))
            ),
            1,
            "probes",
        )
        for size in config.sizes_of("probes")
        for name, (theirs, ours) in _PROBES.items()
    ]


def _maker(work, size, num_features):
    def make():
        train, test = made_up_features(size, num_features)
        return lambda: work(train, test)

    return make


def made_up_features(size, num_features, seed=0):
    """Draw features of ten classes that overlap, in correlated directions.

    Args:
      size: int >= 100, rows to train on; a fifth as many are for the test.
      num_features: int.
      seed: int.

    Returns:
      (train, test), pairs of features float32 `[n, F]` and labels int64 `[n]`.
    """
    rng = np.random.default_rng(seed)
    # The spectrum of an encoder's features falls steeply; so does this one.
    mixing = rng.normal(size=(num_features, num_features))
    mixing *= np.linspace(1, 0.05, num_features)[:, np.newaxis]
    # With any number of features the classes are about as far apart.
    distance = 0.3 * (128 / num_features) ** 0.5
    centers = distance * rng.normal(size=(_CLASSES, num_features))
    sets = []
    for rows in (size, size // 5):
        labels = rng.permutation(np.arange(rows) % _CLASSES)
        features = (centers[labels] + rng.normal(size=(rows, num_features))) @ mixing
        sets.append((features.astype(np.float32), labels))
    return tuple(sets)


def _knn(train, test):
    predictions = knn_classify(*train, test[0], k=_K, temperature=_TEMPERATURE)
    return _accuracy(predictions, test)


def _knn_of_scikit_learn(train, test):
    from sklearn.neighbors import KNeighborsClassifier

    probe = KNeighborsClassifier(
        _K,
        metric="cosine",
        algorithm="brute",
        weights=lambda distances: np.exp(-distances / _TEMPERATURE),
    )
    return _accuracy(probe.fit(*train).predict(test[0]), test)


def _linear(train, test):
    return linear_probe(*train, *test).accuracy_percent


def _linear_of_scikit_learn(train, test):
    """Sweep the penalties at scikit-learn's own tolerance.

    There its losses come about as near to the minimum as ours. At ten times the
    tolerance it would take half our time, and stop before its first step where the
    penalty is weak.
    """
    from sklearn.linear_model import LogisticRegression

    x, test_x = _scaled(train, test)
    labels = train[1]
    fitted, held_out = held_out_split(labels, _HELD_OUT_FRACTION, seed=0)
    probe = LogisticRegression(max_iter=1000, warm_start=True)
    scores = {}
    with threads_for(x):
        for l2 in sorted(L2_VALUES, reverse=True):  # C is 1 / (n l2).
            probe.set_params(C=1 / (l2 * len(fitted))).fit(x[fitted], labels[fitted])
            scores[l2] = probe.score(x[held_out], labels[held_out])
        best = max(scores, key=scores.__getitem__)
        probe.set_params(C=1 / (best * len(x))).fit(x, labels)
        return _accuracy(probe.predict(test_x), test)


def _ridge(train, test):
    with threads_for(train[0]):
        return _accuracy(fit_ridge(*train).predict(test[0]), test)


def _ridge_of_scikit_learn(train, test):
    from sklearn.linear_model import RidgeClassifierCV

    x, test_x = _scaled(train, test)
    with threads_for(x):
        probe = RidgeClassifierCV(ALPHAS).fit(x, train[1])
        return _accuracy(probe.predict(test_x), test)


def _linear_sgd(train, test):
    return linear_sgd_probe(*train, *test).accuracy_percent


def _linear_sgd_of_scikit_learn(train, test):
    """Train on one row after the other: there are no batches and no momentum."""
    from sklearn.linear_model import SGDClassifier

    x, test_x = _scaled(train, test)
    labels = train[1]
    fitted, held_out = held_out_split(labels, _HELD_OUT_FRACTION, seed=0)

    def trained(rate, rows):
        # A step of one row weighs 1 / 256 of a step of a batch.
        probe = SGDClassifier(
            loss="log_loss",
            alpha=0,
            learning_rate="constant",
            eta0=rate / 256,
            max_iter=EPOCHS,
            tol=None,
            random_state=0,
        )
        return probe.fit(x[rows], labels[rows])

    best = max(
        BASE_LEARNING_RATES,
        key=lambda rate: trained(rate, fitted).score(x[held_out], labels[held_out]),
    )
    return _accuracy(trained(best, np.arange(len(x))).predict(test_x), test)


def _scaled(train, test):
    mean, factors = mean_and_factors(train[0], "center")
    return ((features - mean) * factors for features, _ in (train, test))


def _accuracy(predictions, test):
    return 100 * float(np.mean(predictions == test[1]))


_PROBES = {
    "knn": (_knn_of_scikit_learn, _knn),
    "linear": (_linear_of_scikit_learn, _linear),
    "ridge": (_ridge_of_scikit_learn, _ridge),
    "linear_sgd": (_linear_sgd_of_scikit_learn, _linear_sgd),
}
