"""Measurements of given features, one function a protocol.

Each function takes the training and the test set as pairs (features, labels), all
labelled, and an EvaluateConfig. It returns the fields that depend on the protocol.
"""

import numpy as np

from simclr_tf.evaluation.blas_threads import threads_for
from simclr_tf.evaluation.linear_probe import few_label_probe, linear_probe
from simclr_tf.evaluation.linear_sgd import BASE_LEARNING_RATES, linear_sgd_probe
from simclr_tf.evaluation.logistic import named_l2_values
from simclr_tf.evaluation.results import wilson_interval
from simclr_tf.evaluation.ridge import fit_ridge
from simclr_tf.metrics.knn import knn_classify


def measure_knn(train, test, config):
    """Measure weighted kNN."""
    settings = {"k": config.knn.k, "temperature": config.knn.temperature}
    predictions = knn_classify(*train, test[0], **settings)
    return {
        **_accuracy(predictions == test[1]),
        "num_train_labels": len(train[1]),
        "settings": settings,
    }


def measure_linear(train, test, config):
    """Measure logistic regression by L-BFGS."""
    l2_values = named_l2_values(config.linear.l2_values, len(train[1]))
    probe = linear_probe(*train, *test, l2_values=l2_values, seed=config.seed)
    sweep = [
        {"l2": l2, "held_out_accuracy_percent": accuracy}
        for l2, accuracy in probe.held_out_accuracies_percent.items()
    ]
    return {
        **_accuracy(probe.predictions == test[1]),
        "num_train_labels": len(train[1]),
        "settings": {
            "classifier": "logistic regression (L-BFGS)",
            "l2": probe.l2,
            "l2_is_at_edge": probe.l2_is_at_edge,
            "l2_sweep": sweep,
            "num_held_out": probe.num_held_out,
            "seed": config.seed,
        },
    }


def measure_few(train, test, config):
    """Measure ridge regression on a few labels a class, several draws of them."""
    per_class, draws = config.few.labels_per_class, config.few.draws
    smaller = int((np.unique(train[1], return_counts=True)[1] < per_class).sum())
    probe = few_label_probe(
        *train, *test, per_class=per_class, draws=draws, seed=config.seed
    )
    return {
        "value": probe.accuracy_percent,
        "std": probe.std_percent,
        "num_train_labels": probe.num_labels,
        "settings": {
            "classifier": "ridge",
            "per_class": per_class,
            "classes_with_fewer": smaller,
            "draws": draws,
            "accuracies_percent": list(probe.accuracies_percent),
            "alphas": list(probe.alphas),
            "seed": config.seed,
        },
    }


def measure_ridge(train, test, config):
    """Measure ridge regression on all labels, its penalty by leave-one-out."""
    with threads_for(train[0]):
        probe = fit_ridge(*train)
    sweep = [
        {"alpha": alpha, "leave_one_out_error": error}
        for alpha, error in probe.leave_one_out_errors.items()
    ]
    return {
        **_accuracy(probe.predict(test[0]) == test[1]),
        "num_train_labels": len(train[1]),
        "settings": {
            "classifier": "ridge",
            "alpha": probe.alpha,
            "alpha_is_at_edge": probe.alpha_is_at_edge,
            "alpha_sweep": sweep,
        },
    }


def measure_linear_sgd(train, test, config, *, optimizer, views=None):
    """Measure a linear layer trained by SGD or LARS, on views if there are any."""
    momentum, weight_decay = 0.9, 0.0
    rates = config.linear.base_learning_rates
    probe = linear_sgd_probe(
        *train,
        *test,
        optimizer=optimizer,
        base_learning_rates=BASE_LEARNING_RATES if rates is None else rates,
        epochs=config.linear.epochs,
        batch_size=config.linear.batch_size,
        momentum=momentum,
        weight_decay=weight_decay,
        seed=config.seed,
        view_batches=None if views is None else views.batches,
    )
    sweep = [
        {"base_learning_rate": rate, "held_out_accuracy_percent": accuracy}
        for rate, accuracy in probe.held_out_accuracies_percent.items()
    ]
    return {
        **_accuracy(probe.predictions == test[1]),
        "num_train_labels": len(train[1]),
        "settings": {
            "classifier": f"linear layer ({optimizer.upper()})",
            "images": "as they are" if views is None else views.description,
            "base_learning_rate": probe.base_learning_rate,
            "learning_rate_is_at_edge": probe.learning_rate_is_at_edge,
            "learning_rate_sweep": sweep,
            "num_held_out": probe.num_held_out,
            "refitted_on_all_labels": True,
            "epochs": config.linear.epochs,
            "batch_size": probe.batch_size,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "seed": config.seed,
        },
    }


def _accuracy(correct):
    """Return the share of correct predictions (bool `[m]`) with its Wilson interval."""
    num_correct, num_test = int(np.sum(correct)), len(correct)
    low, high = wilson_interval(num_correct, num_test)
    return {
        "value": 100 * num_correct / num_test,
        "low_95": 100 * low,
        "high_95": 100 * high,
    }
