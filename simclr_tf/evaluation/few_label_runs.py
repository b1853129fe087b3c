"""The trainings and probes on the labels of one budget: a result for each seed."""

import dataclasses
import hashlib
import time
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.config.few_label_options import STUDENT_METHOD
from simclr_tf.config.finetune import FineTuneConfig
from simclr_tf.data import evaluation_batches, label_subset, plain_errors
from simclr_tf.data.random_access import Source
from simclr_tf.errors import DataError
from simclr_tf.evaluation.features import extract_features
from simclr_tf.evaluation.few_label_stages import probe_start, self_distilled
from simclr_tf.evaluation.linear_probe import linear_probe
from simclr_tf.models import classifier_network, fresh_copy
from simclr_tf.training.classifier_training import ClassifierTraining


@dataclasses.dataclass(eq=False)
class LabelRuns:
    """Train or fit on labels, and test.

    Attributes:
      encoder: keras.Model; it is not changed.
      train, test: Source with labels of the same numbering.
      num_classes: int.
      config: FineTuneConfig, with a chosen precision.
      image_size_pixels: int or (height, width) of the encoder's input images.
      strategy: tf.distribute.Strategy for the trainings.
      projection_head: ProjectionHead, for `config.head_layer` > 0; or None.
      batch_size: int, images a step of inference.
    """

    encoder: keras.Model
    train: Source
    test: Source
    num_classes: int
    config: FineTuneConfig
    image_size_pixels: int | tuple[int, int]
    strategy: tf.distribute.Strategy
    projection_head: Any
    batch_size: int

    def __post_init__(self):
        self._features = {}

    def fewest_images(self, config, subsets):
        """Count the images of the smallest training set of the seeds."""
        return min(
            len(split_labels(self.train.labels, ids, config, seed)[0])
            for seed, ids in subsets.items()
        )

    def batch_of(self, student):
        """Return the images a step of a student's training."""
        return min(student.batch_size, self.train.num_examples)

    def results(self, method, config, subsets, todo, stages):
        """Train or fit the seeds of a cell that are not done.

        Yields:
          (seed, dict of the fields of a LabelRun that are results, the network or None,
          the TrainingFolders that are no longer needed).
        """
        if not todo:
            return
        if method.startswith("linear"):
            for seed, ids in todo.items():
                result = self._probed(seed, ids, method == "linear_untrained")
                yield seed, result, None, ()
            return
        trained = "scratch" if method == "scratch" else "fine_tune"
        training = self._training(trained, config, subsets)
        start = training.network.get_weights()
        for seed, ids in todo.items():
            started = time.monotonic()
            length = epochs_of(trained, config)
            labels = hashlib.sha256(np.asarray(ids, np.int64).tobytes()).hexdigest()
            cell = {
                "method": trained,
                "labels": labels,
                "epochs": length,
                "seed": seed,
                "batch_size": training.batch_size,
            }
            folder = stages.folder_of(cell)
            history, share = self._fit(
                training, trained, config, start, ids, seed, folder
            )
            network, used = training.network, [folder]
            if method == STUDENT_METHOD:
                started = time.monotonic()
                result, network, own = self._student(
                    network, stages, cell, seed, config.head_layer
                )
                used += [own]
            else:
                result = self._result(network, history, training.batch_size)
                if trained == "fine_tune" and stages.student is not None:
                    used = []  # The student's teacher.
            wall_seconds = round(time.monotonic() - started, 3)
            result |= {"num_train_labels": len(ids), "wall_seconds": wall_seconds}
            options = {
                "base_learning_rate": training.base_learning_rate,
                "head_layer": 0 if trained == "scratch" else config.head_layer,
                "start_share": share,
            }
            if method == STUDENT_METHOD:
                options = {f"teacher_{name}": value for name, value in options.items()}
            result["settings"] |= options
            yield seed, result, network, [f for f in used if f is not None]

    def _student(self, teacher, stages, cell, seed, head_layer):
        """Train and test a student: (results, keras.Model, its TrainingFolder)."""
        options = stages.student
        folder = stages.folder_of({**cell, "student": dataclasses.asdict(options)})
        student, history = self_distilled(
            options,
            classifier_network(
                self.encoder,
                self.num_classes,
                projection_head=self.projection_head,
                head_layer=head_layer,
            ),
            teacher,
            self.train,
            config=self.config,
            image_size_pixels=self.image_size_pixels,
            strategy=self.strategy,
            seed=seed,
            folder=folder,
        )
        batch_size = self.batch_of(options)
        result = self._result(student, history, batch_size, teacher)
        result["settings"]["base_learning_rate"] = options.base_learning_rate
        return result, student, folder

    def _fit(self, training, method, config, start, ids, seed, folder):
        """Train a classifier on the labels `ids`; return (history, start_share)."""
        fitted, held_out = split_labels(self.train.labels, ids, config, seed)
        share = 0.0
        with plain_errors():
            if method == "scratch":
                start = classifier_network(
                    fresh_copy(self.encoder, seed), self.num_classes
                ).get_weights()
            elif config.classifier_start != "zeros":
                probed = probe_start(
                    training.network,
                    start,
                    self._batches(self.train.subset(fitted)),
                    seed,
                    if_it_fits=config.classifier_start == "auto",
                )
                share = 0.0 if probed is start else config.start_share
                start = probed
            history = training.run(
                start,
                self.train.subset(fitted),
                seed=seed,
                held_out=None if held_out is None else self.train.subset(held_out),
                folder=folder,
                start_share=share,
            )
        return history, share

    def _training(self, method, config, subsets):
        """Build one compiled training for all seeds of a cell."""
        is_scratch = method == "scratch"
        if is_scratch:
            config = dataclasses.replace(
                config, freeze_until="none", layer_decay=1.0, head_layer=0
            )
        with self.strategy.scope():
            network = classifier_network(
                self.encoder,
                self.num_classes,
                projection_head=self.projection_head,
                head_layer=config.head_layer,
                synchronized=self.strategy.num_replicas_in_sync > 1,
            )
        return ClassifierTraining(
            network,
            config,
            num_examples=self.fewest_images(config, subsets),
            epochs=epochs_of(method, config),
            image_size_pixels=self.image_size_pixels,
            strategy=self.strategy,
            base_learning_rate=config.scratch_learning_rate if is_scratch else None,
        )

    def _result(self, network, history, batch_size, teacher=None):
        """Test a trained network, a student beside its teacher: fields of a LabelRun.

        Args:
          network, teacher: keras.Model.
          history: dict of lists, the figures of each epoch.
          batch_size: int.
        """
        logits, labels, _ = extract_features(network, self._batches(self.test))
        predictions, known = logits.argmax(axis=1), labels >= 0
        settings = {
            "steps": history["step"][-1],
            "epochs": len(history["step"]),
            "batch_size": batch_size,
            "precision": self.config.precision,
            "final_loss": float(history["loss"][-1]),
        }
        if teacher is None:
            percent = 100 * history["accuracy"][-1]
            settings["training_accuracy_percent"] = round(percent, 2)
        else:
            taught, _, _ = extract_features(teacher, self._batches(self.test))
            agreed = np.mean(predictions == taught.argmax(axis=1))
            settings["agreement_percent"] = round(100 * float(agreed), 4)
            settings["num_images"] = self.train.num_examples
        return _scores(predictions[known], labels[known], settings)

    def _probed(self, seed, ids, is_untrained):
        """Fit logistic regression on the features of the frozen encoder."""
        started = time.monotonic()
        (train, labels, rows), (test, test_labels, _) = self._features_of(
            seed if is_untrained else None
        )
        # Images that could not be read have no features.
        chosen = np.flatnonzero(np.isin(rows, ids) & (labels >= 0))
        known = test_labels >= 0
        probe = linear_probe(
            train[chosen], labels[chosen], test[known], test_labels[known], seed=seed
        )
        return {
            **_scores(
                probe.predictions,
                test_labels[known],
                {"l2": probe.l2, "l2_is_at_edge": probe.l2_is_at_edge},
            ),
            "num_train_labels": len(chosen),
            "wall_seconds": round(time.monotonic() - started, 3),
        }

    def _features_of(self, seed):
        """Compute features of both sets with the encoder, or with an untrained one."""
        if seed not in self._features:
            encoder = self.encoder if seed is None else fresh_copy(self.encoder, seed)
            self._features[seed] = [
                extract_features(encoder, self._batches(source))
                for source in (self.train, self.test)
            ]
        return self._features[seed]

    def _batches(self, source):
        return evaluation_batches(source, self.batch_size, self.image_size_pixels)


def epochs_of(method, config):
    """Return the planned passes over the labelled images; None for the probe.

    Args:
      method: name of `METHODS`.
      config: FineTuneConfig of `for_labels`.
    """
    if method.startswith("linear"):
        return None
    return config.scratch_epochs if method == "scratch" else config.epochs


def split_labels(labels, ids, config, seed):
    """Hold some labelled images out, if a training is to stop early.

    Args:
      labels: int array of all training images.
      ids: int array, the images whose labels are used.
      config: FineTuneConfig.
      seed: int.

    Returns:
      (ids to train on, ids held out or None).

    Raises:
      DataError: too few to hold some out.
    """
    if config.early_stopping_epochs is None:
        return ids, None
    kept = label_subset(labels[ids], fraction=1 - config.held_out_fraction, seed=seed)
    held_out = np.setdiff1d(np.arange(len(ids)), kept)
    if len(held_out) < 2:
        raise DataError(
            f"{len(ids)} labelled images are too few to hold some out: leave out "
            "--early_stopping_epochs, or use more labels. Received: "
            f"held_out_fraction={config.held_out_fraction}."
        )
    return ids[kept], ids[held_out]


def _scores(predictions, labels, settings):
    """Return fields of a run; some data sets report the mean over the classes."""
    correct = predictions == labels
    by_class = [correct[labels == label].mean() for label in np.unique(labels)]
    return {
        "accuracy_percent": 100 * float(correct.mean()),
        "num_test": len(labels),
        "settings": {
            **settings,
            "mean_per_class_percent": round(100 * float(np.mean(by_class)), 4),
        },
    }
