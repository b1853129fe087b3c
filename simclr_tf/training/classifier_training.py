"""Training of one classifier several times: compiled once, from given weights."""

import numpy as np
import tensorflow as tf

from simclr_tf import durations
from simclr_tf._keras import keras
from simclr_tf.data import CorruptionLog, evaluation_batches, training_dataset
from simclr_tf.distribution import distribute_batches, require_divisible
from simclr_tf.errors import NonFiniteError
from simclr_tf.models import depth_groups, freeze_until
from simclr_tf.models.precision_copy import precision_copy
from simclr_tf.optim import (
    WarmupCosine,
    apply_exclusions,
    make_optimizer,
    scaled_learning_rate,
)
from simclr_tf.training.batches import note_corrupt
from simclr_tf.training.classifier_model import Classifier
from simclr_tf.training.resumable_fit import ResumableFit
from simclr_tf.training.views_of_batch import ViewsOfBatch


class ClassifierTraining:
    """A network, its optimizers and its compiled step; `run` trains it from a start.

    Tracing a step can take longer than training on few labels, so runs that differ only
    in seed and images share one traced step.

    Args:
      network: keras.Model of `classifier_network`; built in the strategy's scope. In
        another precision than float32 a copy is trained, and its weights are copied
        back.
      config: FineTuneConfig of `for_labels`, with a chosen precision.
      num_examples: int n, labelled images of a run; the smallest number of all runs.
      epochs: int, passes over them; more if `config.min_steps` asks for it.
      base_learning_rate: float; that of `config` if None.
      image_size_pixels: int or (height, width) of the training images.
      recipe: Recipe of the training images; that of `config` if None.
      strategy: tf.distribute.Strategy.

    Attributes:
      network: keras.Model.
      batch_size, epoch_steps, total_steps: int.
      base_learning_rate: float.

    Raises:
      ConfigError: a batch that the replicas cannot share, an endpoint to freeze that
        the network does not have.
    """

    def __init__(
        self,
        network,
        config,
        *,
        num_examples,
        epochs,
        image_size_pixels,
        strategy,
        base_learning_rate=None,
        recipe=None,
    ):
        self.network, self._config = network, config
        self._size, self._strategy = image_size_pixels, strategy
        self.batch_size = min(config.batch_size, num_examples)
        require_divisible(
            self.batch_size,
            strategy.num_replicas_in_sync,
            name="batch_size",
            largest=num_examples,
        )
        self.epoch_steps = durations.steps_per_epoch(num_examples, self.batch_size)
        self.total_steps = max(epochs * self.epoch_steps, config.min_steps)
        self.base_learning_rate = base_learning_rate or config.base_learning_rate
        self._recipe = config.build_recipe() if recipe is None else recipe
        freeze_until(network, config.freeze_until)
        with strategy.scope():
            self._compile(precision_copy(network, config.precision))
        self._fresh = [v.numpy() for v in self._optimizer_variables()]

    def _compile(self, network):
        config = self._config
        freeze_until(network, config.freeze_until)
        groups = (
            depth_groups(network)
            if config.layer_decay < 1
            else [network.trainable_variables]
        )
        peak = scaled_learning_rate(
            self.base_learning_rate, self.batch_size, config.scaling
        )
        warmup_steps = round(config.warmup_fraction * self.total_steps)
        optimizers = []
        for distance in reversed(
            range(len(groups))
        ):  # The last group has the highest rate.
            schedule = WarmupCosine(
                peak * config.layer_decay**distance, warmup_steps, self.total_steps
            )
            optimizer = make_optimizer(
                config.optimizer,
                schedule,
                weight_decay=config.weight_decay,
                momentum=config.momentum,
                nesterov=config.optimizer == "sgd",
            )
            apply_exclusions(optimizer, network)
            optimizer.build(groups[len(optimizers)])
            optimizers.append(optimizer)
        self._optimizers = optimizers
        self._model = Classifier(
            network,
            recipe=self._recipe,
            image_size_pixels=self._size,
            groups=groups,
            average_decay=config.average_decay,
        )
        self._model.compile(
            optimizer=optimizers if len(optimizers) > 1 else optimizers[0]
        )

    def run(
        self, weights, source, *, seed, held_out=None, folder=None, start_share=0.0
    ):
        """Train on some images from given weights; the network keeps the result.

        Args:
          weights: list of arrays, of `network.get_weights()`.
          source: Source with labels.
          seed: int, of the order and the views of the images.
          held_out: Source with labels for early stopping, or None.
          folder: TrainingFolder, from which an interrupted training continues; or None.
          start_share: float in [0, 1), share of `weights` in what the network keeps,
            statistics of batch norm too.

        Returns:
          dict of lists: the figures by name, one value an epoch, and "step".

        Raises:
          NonFiniteError: the loss became NaN or infinite.
          Interrupted: a signal; the training is saved in `folder`.

        Source: Wortsman et al., Robust fine-tuning of zero-shot models (2022), WiSE-FT.
        """
        self._model.start_from(weights)
        for variable, value in zip(
            self._optimizer_variables(), self._fresh, strict=True
        ):
            variable.assign(value)
        best, validation = None, None
        if held_out is not None:
            best = BestEpoch(self._model.network, self._config.early_stopping_epochs)
            validation = evaluation_batches(held_out, self.batch_size, self._size)
        training = ResumableFit(
            self._model, self.total_steps, self.epoch_steps, folder, best
        )
        if best is None or not best.is_over(len(training.records)):
            training.run(
                lambda first, last: self._batches(source, seed, first, last),
                [] if best is None else [best],
                validation_data=validation,
            )
        records = training.records
        history = {name: [r[name] for r in records] for name in records[0]}
        if best is not None:
            best.take()
        result = self._model.result()
        # The last step may have spoiled the weights after its loss was taken.
        if not all(np.isfinite(part).all() for part in [history["loss"], *result]):
            raise NonFiniteError(
                "The training of the classifier diverged: its loss, or a weight, is "
                "not finite. Use a smaller --base_learning_rate. Received: "
                f"{self.base_learning_rate}."
            )
        self.network.set_weights(
            [
                trained + start_share * (start - trained)  # Exact where they are equal.
                for start, trained in zip(weights, result, strict=True)
            ]
        )
        return history

    def _batches(self, source, seed, first, last):
        corruption = CorruptionLog(source)

        def rows_of_worker(worker, workers):
            dataset = training_dataset(
                source,
                global_batch_size=self.batch_size,
                seed=seed,
                start_step=first,
                total_steps=last,
                plan=self._model.views_of.plan,
                shard_index=worker,
                num_shards=workers,
            )
            return dataset.map(lambda batch: _columns(batch, corruption)).prefetch(2)

        return distribute_batches(self._strategy, rows_of_worker)

    def _optimizer_variables(self):
        return [
            variable
            for optimizer in self._optimizers
            for variable in optimizer.variables
        ]


def _columns(batch, corruption):
    """Return the columns of a batch that the step takes; record unreadable images."""
    batch = note_corrupt(batch, corruption)
    return {
        name: batch[name] for name in (*ViewsOfBatch.COLUMNS, "labels") if name in batch
    }


class BestEpoch(keras.callbacks.Callback):
    """Stop when the validation accuracy no longer rises; keep the best weights.

    Unlike Keras's `EarlyStopping`, equal accuracies are decided by the lower loss, and
    the best weights are also kept if training reaches its planned end.

    Args:
      network: keras.Model whose weights are kept.
      patience_epochs: int >= 1, epochs without improvement before training stops.

    Attributes:
      epoch: int, the best epoch, counted from 0; None before the first.
      variables: list of variables, the weights after that epoch.
    """

    def __init__(self, network, patience_epochs):
        super().__init__()
        self._network, self._patience = network, patience_epochs
        self.epoch = self._best = None
        self.variables = [
            tf.Variable(value, trainable=False) for value in network.get_weights()
        ]

    def on_epoch_end(self, epoch, logs=None):
        score = (float(logs["val_accuracy"]), -float(logs["val_loss"]))
        if self._best is None or score > self._best:
            self.epoch, self._best = epoch, score
            for variable, value in zip(
                self.variables, self._network.get_weights(), strict=True
            ):
                variable.assign(value)
        elif self.is_over(epoch + 1):
            self.model.stop_training = True

    def is_over(self, epochs):
        """Tell whether training stops after this many epochs."""
        return self.epoch is not None and epochs - 1 - self.epoch >= self._patience

    def take(self):
        """Give the network the weights of the best epoch."""
        self._network.set_weights([variable.numpy() for variable in self.variables])

    def record(self):
        """Return what a checkpoint must hold beside the variables."""
        return {"epoch": self.epoch, "score": self._best}

    def restore(self, record):
        """Go on from a `record`."""
        self.epoch = record["epoch"]
        self._best = record["score"] and tuple(record["score"])
