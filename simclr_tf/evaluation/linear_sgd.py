"""A linear layer trained by SGD or LARS, on cached features or on augmented views.

Kept beside scikit-learn's `SGDClassifier`, which has no batches and no momentum and
takes 3.4 times as much processor time (`simclr-tf benchmark probes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from simclr_tf.array_types import Array
from simclr_tf.data.batch_schedule import BatchSchedule
from simclr_tf.errors import NonFiniteError, require
from simclr_tf.evaluation.linear_layers import LinearLayers
from simclr_tf.evaluation.linear_probe import held_out_split
from simclr_tf.evaluation.principal_axes import mean_and_factors
from simclr_tf.metrics.classification import check_labelled
from simclr_tf.optim import scaled_learning_rate

# Half decades from 0.0001 to 100, at batch 256: lower ones are best for SGD (paper:
# 0.1), values around 1 for LARS.
BASE_LEARNING_RATES = tuple(float(rate) for rate in np.logspace(-4, 2, 13))
EPOCHS = 90


@dataclasses.dataclass(frozen=True, eq=False)
class LinearSGDProbe:
    """The result of `linear_sgd_probe`.

    Attributes:
      accuracy_percent: float, on the test set.
      base_learning_rate: float, the chosen one, at batch 256.
      held_out_accuracies_percent: dict of base learning rate to accuracy on the
        held-out part; None for a rate that diverged.
      num_held_out: int, images of that part.
      batch_size: int, images a step: the requested number, or all images if fewer.
      predictions: int64 `[m]`, labels given to the test set.
    """

    accuracy_percent: float
    base_learning_rate: float
    held_out_accuracies_percent: dict
    num_held_out: int
    batch_size: int
    predictions: np.ndarray

    @property
    def learning_rate_is_at_edge(self) -> bool:
        """Whether the best value is the first or the last: then widen the sweep."""
        values = sorted(self.held_out_accuracies_percent)
        return len(values) > 1 and self.base_learning_rate in (values[0], values[-1])


def linear_sgd_probe(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    test_labels: Array,
    *,
    optimizer: str = "sgd",
    base_learning_rates: Sequence[float] = BASE_LEARNING_RATES,
    epochs: int = EPOCHS,
    batch_size: int = 256,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    held_out_fraction: float = 0.2,
    scaling: str = "center",
    seed: int = 0,
    view_batches: Callable[..., Iterable[tuple[Array, Array]]] | None = None,
) -> LinearSGDProbe:
    """Measure a linear layer trained on a frozen encoder, as the paper trains it.

    `LinearLayers` trains one layer for each learning rate, all at once, on the training
    set without a held-out, stratified part. The learning rate with the best accuracy on
    the held-out part is chosen (of equal ones, the lowest loss). A new layer is then
    trained with it on the whole training set, for the same number of epochs, and tested
    once. The learning rate at batch B is base * B / 256.

    The features are centred and divided by one number (`scaling`), taken from the
    whole training set without its labels, so that learning rates are comparable between
    encoders; the paper does not scale the features.

    Args:
      train_features, test_features: float arrays `[n, F]`, `[m, F]`, of the images
        without augmentation; the choice and the test use them, also with
        `view_batches`.
      train_labels, test_labels: int arrays `[n]`, `[m]`.
      optimizer: "sgd" or "lars".
      base_learning_rates: floats > 0 to choose from (default: 13 from 0.0001 to 100).
      epochs: int >= 1, passes over the training set.
      batch_size: int >= 1; an epoch's incomplete last batch is left out.
      momentum, weight_decay: of `LinearLayers`.
      held_out_fraction: float in (0, 1), share of each class held out for the choice.
      scaling: "center" or "standardize", as in `PrincipalAxes`.
      seed: int, of the held-out part, the layers' start and the order of the images.
      view_batches: None to train on `train_features`, or a function (rows `[r]`,
        batch_size=, total_steps=, seed=) that yields total_steps pairs (features
        `[B, F]`, labels `[B]`) of augmented views of these training images.

    Returns:
      LinearSGDProbe.

    Raises:
      ConfigError: an argument outside its range.
      DataError: no labels, only one class, or too few images to hold some out.
      NonFiniteError: every learning rate diverged.

    Example:
      >>> x = np.repeat([[0.0], [1.0]], 10, axis=0)
      >>> y = np.repeat([0, 1], 10)
      >>> probe = linear_sgd_probe(x, y, [[0.1], [0.9]], [0, 1], epochs=5)
      >>> probe.accuracy_percent, probe.batch_size
      (100.0, 16)

    Source: Chen et al., SimCLR (2020), section B.6: batch 4096, learning rate
    0.1 * 4096 / 256 = 1.6, 90 epochs, views by crop and flip only; LARS finds similar
    results.
    """
    rates = sorted({float(rate) for rate in base_learning_rates})
    require(
        rates, "`base_learning_rates` must not be empty.", base_learning_rates=rates
    )
    require(epochs >= 1, "`epochs` must be >= 1.", epochs=epochs)
    require(batch_size >= 1, "`batch_size` must be >= 1.", batch_size=batch_size)
    x, labels = check_labelled("training", train_features, train_labels)
    test_x, test_labels = check_labelled("test", test_features, test_labels)
    fitted, held_out = held_out_split(labels, held_out_fraction, seed)
    trainer = _Trainer(x, labels, scaling, min(batch_size, len(fitted)), epochs, seed)
    how = {
        "batches": view_batches or trainer.cached_batches,
        "optimizer": optimizer,
        "momentum": momentum,
        "weight_decay": weight_decay,
    }
    logits = trainer.train(fitted, rates, **how)(x[held_out])
    rate, accuracies = _choose(logits, trainer.class_indices[held_out], rates)
    (logits,) = trainer.train(np.arange(len(x)), [rate], **how)(test_x)
    predictions = trainer.classes[logits.argmax(axis=1)]
    return LinearSGDProbe(
        100 * float(np.mean(predictions == test_labels)),
        rate,
        accuracies,
        len(held_out),
        trainer.batch_size,
        predictions,
    )


class _Trainer:
    """Train layers on any part of the rows; compile the step once."""

    def __init__(self, x, labels, scaling, batch_size, epochs, seed):
        self.classes, self.class_indices = np.unique(labels, return_inverse=True)
        self.batch_size = batch_size
        self._x, self._labels = x, labels
        self._mean, self._factors = mean_and_factors(x, scaling)
        self._epochs, self._seed = epochs, seed

    def train(self, rows, base_learning_rates, *, batches, **of_layers):
        """Train one layer a learning rate; return logits `[L, N, C]` of `[N, F]`."""
        total_steps = self._epochs * (len(rows) // self.batch_size)
        layers = LinearLayers(
            self._x.shape[1],
            len(self.classes),
            [
                scaled_learning_rate(rate, self.batch_size, "linear")
                for rate in base_learning_rates
            ],
            total_steps=total_steps,
            seed=self._seed,
            **of_layers,
        )
        for features, labels in batches(
            rows, batch_size=self.batch_size, total_steps=total_steps, seed=self._seed
        ):
            class_indices = np.searchsorted(self.classes, labels)
            layers.train_step(self._scaled(features), class_indices)
        return lambda features: layers.logits(self._scaled(features))

    def cached_batches(self, rows, *, batch_size, total_steps, seed):
        """Yield pairs (features, labels) in the order of a run."""
        schedule = BatchSchedule(len(rows), batch_size, seed)
        for step in range(total_steps):
            chosen = rows[schedule.examples(step)[1]]
            yield self._x[chosen], self._labels[chosen]

    def _scaled(self, features):
        return (features - self._mean) * self._factors


def _choose(logits, class_indices, rates):
    """Choose the best learning rate by its logits `[N, C]`; return all accuracies."""
    best, accuracies = None, {}
    for rate, found in zip(rates, logits.astype(np.float64), strict=True):
        if not np.isfinite(found).all():
            accuracies[rate] = None
            continue
        correct = int(np.sum(found.argmax(axis=1) == class_indices))
        accuracies[rate] = 100 * correct / len(class_indices)
        shifted = found - found.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1))
        losses -= shifted[np.arange(len(found)), class_indices]
        score = correct, -float(losses.mean())
        if best is None or score > best[0]:
            best = score, rate
    if best is None:
        raise NonFiniteError(
            "The linear layer diverged at every learning rate: use smaller ones, or "
            f"less weight decay. Received: base_learning_rates={rates}."
        )
    return best[1], accuracies
