"""Comparison of an encoder with an untrained one and raw pixels, by the same probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from simclr_tf.array_types import Model
from simclr_tf.config.evaluate import EvaluateConfig
from simclr_tf.errors import require
from simclr_tf.evaluation.features import (
    extract_features,
    feature_function,
    pixel_function,
    raw_pixels,
)
from simclr_tf.evaluation.protocols import check_views, evaluate_features
from simclr_tf.evaluation.results import Results
from simclr_tf.evaluation.training_views import EncodedViews
from simclr_tf.metrics.classification import check_labelled
from simclr_tf.training.workdir import versions

if TYPE_CHECKING:
    from simclr_tf.evaluation.results import Measurement
    from simclr_tf.evaluation.training_views import TrainingViews


THIS_ENCODER = "this encoder"
UNTRAINED = "untrained encoder"
RAW_PIXELS = "raw pixels"


def evaluate_encoder(
    encoder: Model | None,
    train_batches: Iterable[dict[str, Any]],
    test_batches: Iterable[dict[str, Any]],
    config: EvaluateConfig | None = None,
    *,
    representation: str = THIS_ENCODER,
    train_views: TrainingViews | None = None,
    on_features: Callable[..., None] | None = None,
) -> tuple[Measurement, ...]:
    """Run `evaluate_features` on a frozen encoder.

    Args:
      encoder: keras.Model, or None for the raw pixels.
      train_batches, test_batches: as for `extract_features`.
      config: EvaluateConfig, the protocols and their settings; the defaults if None.
      representation: str, name of the row in the table.
      train_views: TrainingViews of the source of `train_batches`, for the protocols on
        views; the batches must have "ids".
      on_features: function called with (representation, training features, test
        features), before the probes.

    Returns:
      tuple of Measurement.

    Raises:
      DataError: a set without labels or without images.
      ConfigError: a protocol on views without views.

    Example:
      >>> import numpy as np
      >>> batch = {"images": np.eye(8).reshape(2, 4, 4, 2).repeat(4, 0),
      ...          "labels": np.repeat([0, 1], 4), "ids": np.arange(8)}
      >>> config = EvaluateConfig(protocols=("ridge", "linear"))
      >>> found = evaluate_encoder(None, [batch], [batch], config)
      >>> [m.value for m in found]
      [100.0, 100.0]
    """
    found, parts, views = [], [], None
    for name, batches in (("training", train_batches), ("test", test_batches)):
        if encoder is None:
            features, labels, ids = raw_pixels(batches)
        else:
            features, labels, ids = extract_features(encoder, batches)
        found.append(features)
        parts.append(check_labelled(name, features, labels))
        if name == "training" and train_views is not None:
            forward = pixel_function() if encoder is None else feature_function(encoder)
            labelled = labels >= 0  # type: ignore[operator]
            views = EncodedViews(train_views, forward, ids[labelled])
    if on_features is not None:
        on_features(representation, *found)
    train, test = parts
    return evaluate_features(representation, train, test, config, views=views)


def compare(
    encoder: Model,
    untrained_encoder: Model | None,
    train_batches: Iterable[dict[str, Any]],
    test_batches: Iterable[dict[str, Any]],
    config: EvaluateConfig | None = None,
    *,
    data: str,
    encoder_name: str,
    command: str | None = None,
    step: int | None = None,
    train_views: TrainingViews | None = None,
    on_measured: Callable[[Measurement], None] | None = None,
    on_features: Callable[..., None] | None = None,
) -> Results:
    """Compare this encoder, an untrained one and raw pixels under the same probes.

    Args:
      encoder: keras.Model.
      untrained_encoder: keras.Model with fresh weights; None leaves it out.
      train_batches, test_batches: as for `extract_features`; they are read once for
        each representation, so they must not be generators.
      config: EvaluateConfig, the protocols and their settings; the defaults if None.
      data: str, name of the labelled images.
      encoder_name: str, name or path of the encoder.
      command: str, the command of the evaluation.
      step: int, updates the encoder was trained for, if known.
      on_measured: function of a Measurement, called after each one.
      train_views, on_features: as for `evaluate_encoder`.

    Returns:
      Results.

    Raises:
      DataError: a set without labels or without images.
      ConfigError: a protocol on views without views, or batches that can be read only
        once.
    """
    config = EvaluateConfig() if config is None else config
    check_views(config, train_views)
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
            config,
            representation=representation,
            train_views=train_views,
            on_features=on_features,
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
    """Raise an error for missing labels before the features are computed."""
    for batch in batches:
        if batch.get("labels") is None:
            check_labelled(name.removesuffix(" batches"), batch["images"], None)
        return
