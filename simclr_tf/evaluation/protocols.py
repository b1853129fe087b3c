"""The protocols by name, and their evaluation on given features."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from simclr_tf.array_types import Array
from simclr_tf.config.evaluate import PROTOCOLS, EvaluateConfig
from simclr_tf.errors import ConfigError, DataError, require
from simclr_tf.evaluation import measures
from simclr_tf.evaluation.linear_probe import HELD_OUT_FRACTION, held_out_split
from simclr_tf.evaluation.results import Measurement
from simclr_tf.metrics.classification import check_labelled
from simclr_tf.metrics.knn import check_k

if TYPE_CHECKING:
    from simclr_tf.evaluation.training_views import EncodedViews

_SGD = functools.partial(measures.measure_linear_sgd, optimizer="sgd")
_LARS = functools.partial(measures.measure_linear_sgd, optimizer="lars")
_MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "knn": measures.measure_knn,
    "linear": measures.measure_linear,
    "few": measures.measure_few,
    "ridge": measures.measure_ridge,
    "linear_sgd": _SGD,
    "linear_lars": _LARS,
    "linear_sgd_views": _SGD,
    "linear_lars_views": _LARS,
}


def evaluate_features(
    representation: str,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    config: EvaluateConfig | None = None,
    *,
    views: EncodedViews | None = None,
) -> tuple[Measurement, ...]:
    """Evaluate given features: by default with weighted kNN, linear, and few labels.

    Args:
      representation: str, name of the row in the table.
      train, test: pairs (features `[n, F]`, labels `[n]`).
      config: EvaluateConfig, the protocols in their order and their settings; the
        defaults if None.
      views: EncodedViews of the rows of `train`, for the protocols on views.

    Returns:
      tuple of Measurement.

    Raises:
      DataError: a set without labels.
      ConfigError: a protocol on views without views.

    Example:
      >>> import numpy as np
      >>> from simclr_tf.config.evaluate import FewConfig
      >>> x = np.repeat(np.eye(2), 10, axis=0)
      >>> y = np.repeat([0, 1], 10)
      >>> config = EvaluateConfig(few=FewConfig(labels_per_class=2))
      >>> found = evaluate_features("toy", (x, y), (x, y), config)
      >>> {m.protocol: m.value for m in found}
      {'weighted_knn': 100.0, 'linear_probe': 100.0, 'few_label_ridge': 100.0}
    """
    config = EvaluateConfig() if config is None else config
    check_views(config, views)
    train = check_labelled("training", *train)
    test = check_labelled("test", *test)
    measurements = []
    for protocol in config.measured():
        measure = _MEASURES[protocol]
        if _is_on_views(protocol):
            measure = functools.partial(measure, views=views)
        measurements.append(
            _timed(representation, protocol, train, test, measure, config)
        )
    return tuple(measurements)


def check_views(config, views):
    """Check that there are augmented views, if a protocol trains on them.

    Args:
      config: EvaluateConfig.
      views: None if there are no augmented views to train on.

    Returns:
      list of str.

    Raises:
      ConfigError: a protocol on views, and no views.
    """
    for protocol in config.measured():
        require(
            views is not None or not _is_on_views(protocol),
            "Training on augmented views needs the images: pass `train_views` to "
            "`compare` or `evaluate_encoder`.",
            protocols=protocol,
        )


def measurable(
    config: EvaluateConfig, train: Array, test: Array
) -> tuple[EvaluateConfig, dict[str, str]]:
    """Leave out, before the features are computed, what the labels are too few for.

    Only what has its default setting is left out; a number of neighbours or of labels
    that was chosen is refused.

    Args:
      config: the protocols and their settings.
      train, test: int arrays `[n]`, `[m]`, labels of both sets; -1 for unlabelled.

    Returns:
      (the config with the protocols that can be measured, dict of the others to the
      reason).

    Raises:
      ConfigError, DataError: a setting that was chosen, or nothing is left.

    Example:
      >>> labels = np.repeat([0, 1], 12)
      >>> left, reasons = measurable(EvaluateConfig(), labels[:14], labels)
      >>> left.protocols, list(reasons)
      (('linear', 'few'), ['knn'])
    """
    labelled = {}
    for name, labels in (("training", train), ("test", test)):
        nothing = np.zeros([len(labels), 1])
        labelled[name] = check_labelled(name, nothing, labels)[1]
    plain, errors = EvaluateConfig(), {}
    for protocol in config.measured():
        try:
            _require_enough(protocol, labelled["training"], config)
        except (ConfigError, DataError) as error:
            chosen = {
                "knn": config.knn.k != plain.knn.k,
                "few": config.few.labels_per_class != plain.few.labels_per_class,
            }
            if chosen.get(protocol):
                raise
            errors[protocol] = error
    left = tuple(name for name in config.measured() if name not in errors)
    if not left:
        raise next(iter(errors.values()))
    reasons = {name: str(error) for name, error in errors.items()}
    return dataclasses.replace(config, protocols=left), reasons


def _require_enough(protocol, labels, config):
    """Raise the error of a protocol for which training labels are too few."""
    if protocol == "knn":
        check_k(config.knn.k, len(labels))
    elif len(np.unique(labels)) < 2:
        raise DataError(
            "A classifier needs at least two classes among the training images. "
            f"Received: {len(labels)} images of one class."
        )
    elif protocol == "few":
        _require_labels_a_class(config.few.labels_per_class, labels)
    elif protocol.startswith("linear"):
        held_out_split(labels, HELD_OUT_FRACTION, config.seed)


def _require_labels_a_class(wanted, labels):
    most = int(np.bincount(labels).max())
    require(
        wanted <= most,
        f"`labels_per_class` must be at most {most}, the labelled training images of "
        "the largest class.",
        labels_per_class=wanted,
    )


def _is_on_views(protocol):
    return protocol.endswith("_views")


def _timed(representation, protocol, train, test, measure, config):
    started = time.monotonic()
    found = measure(train, test, config)
    return Measurement(
        representation=representation,
        protocol=PROTOCOLS[protocol],
        metric="accuracy_percent",
        num_test=len(test[1]),
        num_features=train[0].shape[1],
        wall_seconds=round(time.monotonic() - started, 3),
        **found,
    )
