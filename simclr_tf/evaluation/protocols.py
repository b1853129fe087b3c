"""Protocols by name, and their run on given features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simclr_tf.array_types import Array
from simclr_tf.config.evaluate import DEFAULT_PROTOCOLS, PROTOCOLS
from simclr_tf.data.label_budgets import label_subset
from simclr_tf.errors import DataError, require, unknown_choice
from simclr_tf.evaluation import measures
from simclr_tf.evaluation.features import check_labelled
from simclr_tf.evaluation.knn import check_k
from simclr_tf.evaluation.linear_probe import HELD_OUT_FRACTION, held_out_split
from simclr_tf.evaluation.linear_sgd import BASE_LEARNING_RATES, EPOCHS
from simclr_tf.evaluation.results import Measurement

if TYPE_CHECKING:
    from simclr_tf.evaluation.training_views import EncodedViews


def evaluate_features(
    representation: str,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    *,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    k: int = 20,
    temperature: float = 0.07,
    l2_values: str | Sequence[float] = "fast",
    per_class: int | None = 10,
    draws: int = 5,
    base_learning_rates: Sequence[float] = BASE_LEARNING_RATES,
    linear_epochs: int = EPOCHS,
    linear_batch_size: int = 256,
    seed: int = 0,
    views: EncodedViews | None = None,
) -> tuple[Measurement, ...]:
    """Probe given features: by default weighted kNN, linear, and few labels.

    Args:
      representation: str, name of the row in the table.
      train, test: pairs (features `[n, F]`, labels `[n]`).
      protocols: names out of `PROTOCOLS`, in the order in which they run.
      k, temperature: of `knn_classify`, for "knn".
      l2_values: floats of `linear_probe`, or "fast" or "paper" of
        `named_l2_values`, for "linear".
      per_class, draws: of `few_label_probe`, for "few"; `per_class=None` leaves it
        out.
      base_learning_rates, linear_epochs, linear_batch_size: of `linear_sgd_probe`,
        for "linear_sgd", "linear_lars" and the same on views.
      seed: int, of the held-out part, of the draws, and of training.
      views: EncodedViews of the rows of `train`, for the protocols on views.

    Returns:
      tuple of Measurement.

    Raises:
      DataError: a set without labels.
      ConfigError: an unknown protocol, or a setting outside its range.

    Example:
      >>> import numpy as np
      >>> x = np.repeat(np.eye(2), 10, axis=0)
      >>> y = np.repeat([0, 1], 10)
      >>> found = evaluate_features("toy", (x, y), (x, y), k=3, per_class=2)
      >>> {m.protocol: m.value for m in found}
      {'weighted_knn': 100.0, 'linear_probe': 100.0, 'few_label_ridge': 100.0}
    """
    chosen = check_protocols(protocols, views, per_class)
    train = check_labelled("training", *train)
    test = check_labelled("test", *test)
    few = {"per_class": per_class, "draws": draws, "seed": seed}
    sgd = {
        "base_learning_rates": base_learning_rates,
        "epochs": linear_epochs,
        "batch_size": linear_batch_size,
        "seed": seed,
    }
    calls = {
        "knn": (measures.measure_knn, {"k": k, "temperature": temperature}),
        "linear": (measures.measure_linear, {"l2_values": l2_values, "seed": seed}),
        "few": (measures.measure_few, few),
        "ridge": (measures.measure_ridge, {}),
    }
    for optimizer in ("sgd", "lars"):
        settings = {**sgd, "optimizer": optimizer}
        for suffix, seen in (("", None), ("_views", views)):
            calls[f"linear_{optimizer}{suffix}"] = (
                measures.measure_linear_sgd,
                {**settings, "views": seen},
            )
    return tuple(
        _timed(representation, protocol, train, test, *calls[protocol])
        for protocol in chosen
    )


def check_protocols(protocols, views, per_class):
    """Return the protocols to run, each once, if all are known and can run.

    Args:
      protocols: iterable of str.
      views: anything but None if there are augmented views to train on.
      per_class: int, or None to leave out "few".

    Returns:
      list of str.

    Raises:
      ConfigError: an unknown protocol, none at all, or one on views without views.

    Example:
      >>> check_protocols(["ridge", "few", "ridge"], views=None, per_class=None)
      ['ridge']
    """
    chosen = list(dict.fromkeys(protocols))
    for protocol in chosen:
        if protocol not in PROTOCOLS:
            raise unknown_choice("protocols", protocol, PROTOCOLS)
        require(
            views is not None or not protocol.endswith("_views"),
            "Training on augmented views needs the images: pass `train_views` to "
            "`compare` or `evaluate_encoder`.",
            protocols=protocol,
        )
    if per_class is None:
        chosen = [protocol for protocol in chosen if protocol != "few"]
    require(
        chosen,
        f"Nothing is left to measure. Protocols: {', '.join(PROTOCOLS)}.",
        protocols=list(protocols),
        per_class=per_class,
    )
    return chosen


def check_labels(
    protocols: Sequence[str],
    train: Array,
    test: Array,
    *,
    k: int = 20,
    per_class: int | None = 10,
    seed: int = 0,
    **settings: Any,
) -> None:
    """Refuse, before the features are computed, what the labels are too few for.

    Args:
      protocols: names out of `PROTOCOLS`.
      train, test: int arrays `[n]`, `[m]`, labels of both sets; -1 for unlabelled.
      k, per_class, seed: of `evaluate_features`.
      **settings: others of `evaluate_features`, which need no labels to be judged.

    Raises:
      ConfigError, DataError: as the protocol would, after the others were measured.

    Example:
      >>> try: check_labels(["knn"], np.array([0, 1, -1]), np.array([0]), k=3)
      ... except ValueError as error: print(error)
      `k` must lie between 1 and the number of training images (2). Received: k=3.
    """
    labelled = {}
    for name, labels in (("training", train), ("test", test)):
        nothing = np.zeros([len(labels), 1])
        labelled[name] = check_labelled(name, nothing, labels)[1]
    known = labelled["training"]
    if "knn" in protocols:
        check_k(k, len(known))
    if "few" in protocols and per_class is not None:
        label_subset(known, per_class=per_class, seed=seed)
    if any(protocol.startswith("linear") for protocol in protocols):
        held_out_split(known, HELD_OUT_FRACTION, seed)
    if len(np.unique(known)) < 2 and set(protocols) != {"knn"}:
        raise DataError(
            "A classifier needs at least two classes among the training images. "
            f"Received: {len(known)} images of one class."
        )


def _timed(representation, protocol, train, test, measure, settings):
    started = time.monotonic()
    found = measure(train, test, **settings)
    return Measurement(
        representation=representation,
        protocol=PROTOCOLS[protocol],
        metric="accuracy_percent",
        num_test=len(test[1]),
        num_features=train[0].shape[1],
        wall_seconds=round(time.monotonic() - started, 3),
        **found,
    )
