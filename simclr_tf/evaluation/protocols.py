"""The three probes of a representation, side by side with what it has to beat."""

import time

import numpy as np

from simclr_tf.errors import require
from simclr_tf.evaluation.features import check_labelled, extract_features, raw_pixels
from simclr_tf.evaluation.knn import knn_classify
from simclr_tf.evaluation.linear_probe import L2_VALUES, few_label_probe, linear_probe
from simclr_tf.evaluation.results import Measurement, Results, wilson_interval
from simclr_tf.training.workdir import versions

THIS_ENCODER = "this encoder"
UNTRAINED = "untrained encoder"
RAW_PIXELS = "raw pixels"


def evaluate_features(
    representation,
    train,
    test,
    *,
    k=20,
    temperature=0.07,
    l2_values=L2_VALUES,
    per_class=10,
    draws=5,
    seed=0,
):
    """Weighted kNN, linear probe and few-label probe of given features.

    Args:
      representation: str, name of the row in the table.
      train, test: pairs (features `[n, F]`, labels `[n]`).
      k, temperature: of `knn_classify`.
      l2_values: of `linear_probe`.
      per_class, draws: of `few_label_probe`; `per_class=None` leaves it out.
      seed: int, of the held-out part and of the draws.

    Returns:
      tuple of Measurement.

    Raises:
      DataError: a set without labels.
      ConfigError: a setting outside its range.

    Example:
      >>> x = np.repeat(np.eye(2), 10, axis=0)
      >>> y = np.repeat([0, 1], 10)
      >>> found = evaluate_features("toy", (x, y), (x, y), k=3, per_class=2)
      >>> {m.protocol: m.value for m in found}
      {'weighted_knn': 100.0, 'linear_probe': 100.0, 'few_label_ridge': 100.0}
    """
    train = check_labelled("training", *train)
    test = check_labelled("test", *test)
    protocols = {
        "weighted_knn": lambda: _measure_knn(train, test, k, temperature),
        "linear_probe": lambda: _measure_linear(train, test, l2_values, seed),
        "few_label_ridge": lambda: _measure_few(train, test, per_class, draws, seed),
    }
    if per_class is None:
        del protocols["few_label_ridge"]
    measurements = []
    for protocol, measure in protocols.items():
        started = time.monotonic()
        found = measure()
        measurements.append(
            Measurement(
                representation=representation,
                protocol=protocol,
                metric="accuracy_percent",
                num_test=len(test[1]),
                num_features=train[0].shape[1],
                wall_seconds=round(time.monotonic() - started, 3),
                **found,
            )
        )
    return tuple(measurements)


def _measure_knn(train, test, k, temperature):
    """Fields of a Measurement that depend on the protocol; so do the next two."""
    predictions = knn_classify(*train, test[0], k=k, temperature=temperature)
    return {
        **_accuracy(predictions == test[1]),
        "num_train_labels": len(train[1]),
        "settings": {"k": k, "temperature": temperature},
    }


def _measure_linear(train, test, l2_values, seed):
    probe = linear_probe(*train, *test, l2_values=l2_values, seed=seed)
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
            "seed": seed,
        },
    }


def _measure_few(train, test, per_class, draws, seed):
    probe = few_label_probe(*train, *test, per_class=per_class, draws=draws, seed=seed)
    return {
        "value": probe.accuracy_percent,
        "std": probe.std_percent,
        "num_train_labels": probe.num_labels,
        "settings": {
            "classifier": "ridge",
            "per_class": per_class,
            "draws": draws,
            "accuracies_percent": list(probe.accuracies_percent),
            "alphas": list(probe.alphas),
            "seed": seed,
        },
    }


def _accuracy(correct):
    """The share of correct predictions (bool `[m]`) with its Wilson interval."""
    num_correct, num_test = int(np.sum(correct)), len(correct)
    low, high = wilson_interval(num_correct, num_test)
    return {
        "value": 100 * num_correct / num_test,
        "low_95": 100 * low,
        "high_95": 100 * high,
    }


def evaluate_encoder(
    encoder,
    train_batches,
    test_batches,
    *,
    representation=THIS_ENCODER,
    on_features=None,
    **settings,
):
    """`evaluate_features` of a frozen encoder.

    Args:
      encoder: keras.Model, or None for the raw pixels.
      train_batches, test_batches: as for `extract_features`.
      representation: str, name of the row in the table.
      on_features: function called with (representation, training features, test
        features), before the probes.
      **settings: of `evaluate_features`.

    Returns:
      tuple of Measurement.

    Raises:
      DataError: a set without labels or without images.
      ConfigError: a setting outside its range.

    Example:
      >>> batch = {"images": np.eye(8).reshape(2, 4, 4, 2).repeat(4, 0),
      ...          "labels": np.repeat([0, 1], 4), "ids": np.arange(8)}
      >>> found = evaluate_encoder(None, [batch], [batch], k=1, per_class=None)
      >>> [m.value for m in found]
      [100.0, 100.0]
    """
    found, parts = [], []
    for name, batches in (("training", train_batches), ("test", test_batches)):
        if encoder is None:
            features, labels, _ = raw_pixels(batches)
        else:
            features, labels, _ = extract_features(encoder, batches)
        found.append(features)
        parts.append(check_labelled(name, features, labels))
    if on_features is not None:
        on_features(representation, *found)
    return evaluate_features(representation, *parts, **settings)


def compare(
    encoder,
    untrained_encoder,
    train_batches,
    test_batches,
    *,
    data,
    encoder_name,
    command=None,
    step=None,
    on_measured=None,
    on_features=None,
    **settings,
):
    """This encoder, the same one untrained, and raw pixels under all three probes.

    Args:
      encoder: keras.Model.
      untrained_encoder: keras.Model with fresh weights; None leaves it out.
      train_batches, test_batches: as for `extract_features`; they are read once a
        representation, so no generators.
      data: str, name of the labelled images.
      encoder_name: str, name or path of the encoder.
      command: str, what started it.
      step: int, updates the encoder was trained for, if known.
      on_measured: function of a Measurement, called as each one is there.
      on_features: as for `evaluate_encoder`.
      **settings: of `evaluate_features`.

    Returns:
      Results.

    Raises:
      DataError: a set without labels or without images.
      ConfigError: a setting outside its range, or batches that can be read only once.
    """
    for name, batches in (
        ("training batches", train_batches),
        ("test batches", test_batches),
    ):
        require(
            not hasattr(batches, "__next__"),
            f"The {name} are read several times: pass a list or a tf.data.Dataset.",
            batches=type(batches).__name__,
        )
        _check_labels(name, batches)
    started = time.monotonic()
    rows = [(THIS_ENCODER, encoder)]
    if untrained_encoder is not None:
        rows.append((UNTRAINED, untrained_encoder))
    rows.append((RAW_PIXELS, None))
    measurements = []
    for representation, model in rows:
        found = evaluate_encoder(
            model,
            train_batches,
            test_batches,
            representation=representation,
            on_features=on_features,
            **settings,
        )
        measurements.extend(found)
        for measurement in found:
            if on_measured is not None:
                on_measured(measurement)
    return Results(
        data=data,
        encoder=encoder_name,
        measurements=tuple(measurements),
        command=command,
        versions=versions(),
        wall_seconds=round(time.monotonic() - started, 3),
        step=step,
    )


def _check_labels(name, batches):
    """Say that labels are missing before, not after, the features are computed."""
    for batch in batches:
        if batch.get("labels") is None:
            check_labelled(name.removesuffix(" batches"), batch["images"], None)
        return
