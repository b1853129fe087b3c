"""Evaluation with few labels: fine-tuned, from scratch, and a frozen encoder.

Optionally each fine-tuned network then teaches a student on all images.
"""

import dataclasses
import hashlib
import json
import logging
import time

import numpy as np

from simclr_tf.config.data import colour_text
from simclr_tf.config.finetune import METHODS, STUDENT_METHOD
from simclr_tf.data import evaluation_batches, label_subset, plain_errors
from simclr_tf.data.class_labels import same_numbering
from simclr_tf.distribution import require_divisible
from simclr_tf.errors import DataError, require, unknown_choice
from simclr_tf.evaluation.features import extract_features
from simclr_tf.evaluation.few_label_stages import Stages, probe_start, self_distilled
from simclr_tf.evaluation.linear_probe import (
    HELD_OUT_FRACTION,
    held_out_split,
    linear_probe,
)
from simclr_tf.evaluation.results import Measurement, wilson_interval
from simclr_tf.evaluation.run_log import LabelRun, RunLog
from simclr_tf.models import (
    check_endpoint,
    classifier_network,
    fresh_copy,
)
from simclr_tf.models.classifier import check_head_layer
from simclr_tf.training.classifier_records import ClassifierRecord, names_of_classes
from simclr_tf.training.classifier_training import ClassifierTraining
from simclr_tf.training.precision import choose_precision
from simclr_tf.training.resumable_fit import sha256_of_weights

FINE_TUNED, FROM_SCRATCH, FROZEN, UNTRAINED_PROBE = METHODS.values()
SELF_DISTILLED = "self-distilled student"
TITLES = {**METHODS, STUDENT_METHOD: SELF_DISTILLED}
ON_FEW_LABELS = ("fine_tune", "scratch", "linear")
PROTOCOL = "fine_tune"
_log = logging.getLogger("simclr_tf")


class FewLabels:
    """Train and test with every label budget, method and seed.

    Seed s draws the labelled images, their order and crops, and the initial weights of
    training from scratch. All methods use the same labels; the images held out for
    early stopping, and for choosing the probe's penalty, are among them.

    Args:
      encoder: keras.Model, float images in [0, 1] to features; it is not changed.
      train, test: Source with labels.
      config: FineTuneConfig.
      image_size_pixels: int or (height, width) of the encoder's input images.
      projection_head: ProjectionHead, for `config.head_layer` > 0.
      strategy: tf.distribute.Strategy for the trainings.
      batch_size: int, images a step of inference.

    Attributes:
      not_measured: dict of str to str: methods with budgets for which the labels were
        too few in `measure`, and the errors.
      record: ClassifierRecord of the networks that are trained.

    Raises:
      DataError: a source without labels.
      ConfigError: an endpoint to freeze, or a layer of the head, that is not there.
    """

    def __init__(
        self,
        encoder,
        train,
        test,
        *,
        config,
        image_size_pixels,
        strategy,
        projection_head=None,
        batch_size=256,
    ):
        for name, source in (("training", train), ("test", test)):
            if source.labels is None:
                raise DataError(
                    f"The {name} images of {source.name} have no labels, "
                    "and fine-tuning needs them."
                )
        train, test = same_numbering(train, test)
        check_endpoint(encoder, config.freeze_until)
        check_head_layer(projection_head, config.head_layer)
        self.encoder, self.train, self.test = encoder, train, test
        self.num_classes = max(train.num_classes, test.num_classes)
        config = dataclasses.replace(
            config, precision=choose_precision(config.precision, strategy).name
        )
        self.record = ClassifierRecord(
            names_of_classes(self.num_classes, train, test),
            image_size_pixels,
            colour_text(train.background),
            config.precision,
        )
        self._config, self._head = config, projection_head
        self._size, self._strategy = image_size_pixels, strategy
        self._batch_size = batch_size
        self._features = {}
        self.not_measured = {}

    def identity(self):
        """Return the identity of a run without method and seed, as JSON."""
        return {
            "encoder_sha256": sha256_of_weights(self.encoder),
            "train": self.train.fingerprint(),
            "test": self.test.fingerprint(),
            "image_size_pixels": self._size,
            **self._config.identity(),
        }

    def measure(
        self,
        budgets,
        *,
        epochs=None,
        methods=ON_FEW_LABELS,
        seeds=(0,),
        log=None,
        on_run=None,
        on_network=None,
        student=None,
        folder=None,
    ):
        """Measure every pair of a budget and a method, over the seeds.

        Args:
          budgets: list of LabelBudget.
          epochs: list of int, one a budget, passes over its images; those of the config
            if None.
          methods: names of `METHODS`.
          seeds: ints.
          log: RunLog with earlier runs; a new one in memory if None.
          on_run: function of a LabelRun, called after each one.
          on_network: function of (LabelBudget, keras.Model, method), called with the
            network fine-tuned on the first seed's labels, and with its student.
          student: SelfDistillation, to train a student of each fine-tuned network on
            all training images without their labels; or None.
          folder: TrainingFolder, for those of the trainings; or None.

        Returns:
          tuple of Measurement: values are means over the seeds.

        Raises:
          ConfigError, DataError: a wrong option, or unusable images.
          NonFiniteError: a training diverged.
        """
        for method in methods:
            if method not in METHODS:
                raise unknown_choice("method", method, METHODS)
        stages = Stages(student, folder, folder and self.identity())
        if student is not None:
            methods = (*methods, STUDENT_METHOD)
            require_divisible(
                self._batch_of(student),
                self._strategy.num_replicas_in_sync,
                name="distill.batch_size",
            )
        require(
            epochs is None or len(epochs) == len(budgets),
            "`epochs` needs one number for each label budget.",
            epochs=epochs,
            budgets=[budget.title() for budget in budgets],
        )
        log = RunLog(None, {}) if log is None else log
        measurements = []
        subsets_of = [
            {seed: budget.subset(self.train, seed) for seed in seeds}
            for budget in budgets
        ]
        too_few = [self._too_few(methods, subsets) for subsets in subsets_of]
        self._note_too_few(methods, budgets, too_few)  # Before the first training.
        for place, budget in enumerate(budgets):
            subsets = subsets_of[place]
            config = (
                self._config
                if epochs is None
                else dataclasses.replace(self._config, epochs=epochs[place])
            )
            for method in methods:
                if method in too_few[place]:
                    continue
                cell = (
                    TITLES[method],
                    budget.title(),
                    *self._length(method, config, subsets, student),
                )
                todo = {
                    seed: ids
                    for seed, ids in subsets.items()
                    if (*cell, seed) not in log
                }
                for seed, result, network, used in self._results(
                    method, config, subsets, todo, stages
                ):
                    if (
                        on_network is not None
                        and method in ("fine_tune", STUDENT_METHOD)
                        and seed == next(iter(subsets))
                    ):
                        on_network(budget, network, method)
                    run = LabelRun(*cell[:3], seed, variant="".join(cell[3:]), **result)
                    log.add(run)
                    for done in used:
                        done.remove()
                    if on_run is not None:
                        on_run(run)
                measurements.append(_measurement(budget, log.runs(cell, seeds)))
        return tuple(measurements)

    def _too_few(self, methods, subsets):
        """Return the methods for which a budget is too small, with their errors.

        Raises:
          ConfigError: a batch that cannot be divided among the replicas.
          DataError: none can be held out for early stopping, which was asked for.
        """
        found = {}
        for method in methods:
            if method == STUDENT_METHOD:
                if "fine_tune" in found:
                    found[method] = found["fine_tune"]
                continue
            if method.startswith("linear") or self._starts_from_probe(method):
                try:
                    for seed, ids in subsets.items():
                        if not method.startswith("linear"):
                            ids, _ = _split(self.train.labels, ids, self._config, seed)
                        held_out_split(self.train.labels[ids], HELD_OUT_FRACTION, seed)
                except DataError as error:
                    found[method] = error
                    continue
            if method.startswith("linear"):
                continue
            fewest = self._fewest(self._config, subsets)
            require_divisible(
                min(self._config.batch_size, fewest),
                self._strategy.num_replicas_in_sync,
                name="batch_size",
                largest=fewest,
            )
        return found

    def _note_too_few(self, methods, budgets, too_few):
        """Note what cannot be measured; raise for a method without any budget."""
        for method in methods:
            if too_few and all(method in found for found in too_few):
                raise too_few[0][method]
        self.not_measured = {
            _cell_name(TITLES[method], budget.title()): str(error)
            for budget, found in zip(budgets, too_few, strict=True)
            for method, error in found.items()
        }
        for what, reason in self.not_measured.items():
            _log.warning("Not measured: %s. %s", what, reason)

    def _fewest(self, config, subsets):
        """Count the images of the smallest training set of the seeds."""
        return min(
            len(_split(self.train.labels, ids, config, seed)[0])
            for seed, ids in subsets.items()
        )

    def _epochs(self, method, config, subsets):
        """Return the planned passes over the labelled images; None for the probe."""
        if method.startswith("linear"):
            return None
        if method == "scratch" and config.scratch_epochs:
            return config.scratch_epochs
        labelled = int((self.train.labels >= 0).sum())
        return config.epochs_for(min(map(len, subsets.values())) / labelled)

    def _length(self, method, config, subsets, student):
        """Return (epochs,) of a cell, or (epochs, the variant) of students."""
        if method != STUDENT_METHOD:
            return (self._epochs(method, config, subsets),)
        teacher_epochs = self._epochs("fine_tune", config, subsets)
        variant = {"teacher_epochs": teacher_epochs, **dataclasses.asdict(student)}
        return student.epochs, json.dumps(variant, sort_keys=True)

    def _batch_of(self, student):
        return min(student.batch_size, self.train.num_examples)

    def _starts_from_probe(self, method):
        return method == "fine_tune" and self._config.classifier_start == "probe"

    def _results(self, method, config, subsets, todo, stages):
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
            length = self._epochs(trained, config, subsets)
            labels = hashlib.sha256(np.asarray(ids, np.int64).tobytes()).hexdigest()
            cell = {
                "method": trained,
                "labels": labels,
                "epochs": length,
                "seed": seed,
                "batch_size": training.batch_size,
            }
            folder = stages.folder_of(cell)
            history = self._fit(training, trained, start, ids, seed, folder)
            network, used = training.network, [folder]
            if method == STUDENT_METHOD:
                started = time.monotonic()
                result, network, own = self._student(network, stages, cell, seed)
                used += [own]
            else:
                result = self._result(network, history, training.batch_size)
                if trained == "fine_tune" and stages.student is not None:
                    used = []  # The student's teacher.
            wall_seconds = round(time.monotonic() - started, 3)
            result |= {"num_train_labels": len(ids), "wall_seconds": wall_seconds}
            yield seed, result, network, [f for f in used if f is not None]

    def _student(self, teacher, stages, cell, seed):
        """Train and test a student: (results, keras.Model, its TrainingFolder)."""
        options = stages.student
        folder = stages.folder_of({**cell, "student": dataclasses.asdict(options)})
        student, history = self_distilled(
            options,
            self.encoder,
            teacher,
            self.train,
            config=self._config,
            image_size_pixels=self._size,
            strategy=self._strategy,
            seed=seed,
            folder=folder,
        )
        batch_size = self._batch_of(options)
        return self._result(student, history, batch_size, teacher), student, folder

    def _fit(self, training, method, start, ids, seed, folder):
        """Train a classifier on the labels `ids`; return its history."""
        fitted, held_out = _split(self.train.labels, ids, self._config, seed)
        with plain_errors():
            if method == "scratch":
                start = classifier_network(
                    fresh_copy(self.encoder, seed), self.num_classes
                ).get_weights()
            elif self._starts_from_probe(method):
                batches = self._batches(self.train.subset(fitted))
                start = probe_start(training.network, start, batches, seed)
            return training.run(
                start,
                self.train.subset(fitted),
                seed=seed,
                held_out=None if held_out is None else self.train.subset(held_out),
                folder=folder,
            )

    def _training(self, method, config, subsets):
        """Build one compiled training for all seeds of a cell."""
        is_scratch = method == "scratch"
        if is_scratch:
            config = dataclasses.replace(
                config, freeze_until="none", layer_decay=1.0, head_layer=0
            )
        with self._strategy.scope():
            network = classifier_network(
                self.encoder,
                self.num_classes,
                projection_head=self._head,
                head_layer=config.head_layer,
                synchronized=self._strategy.num_replicas_in_sync > 1,
            )
        return ClassifierTraining(
            network,
            config,
            num_examples=self._fewest(config, subsets),
            epochs=self._epochs(method, config, subsets),
            image_size_pixels=self._size,
            strategy=self._strategy,
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
            "precision": self._config.precision,
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
        return evaluation_batches(source, self._batch_size, self._size)


def cell_name(measurement):
    """Name the method and the budget of a measurement, as `not_measured` does."""
    return _cell_name(measurement.representation, measurement.settings["budget"])


def _cell_name(representation, budget):
    return f"{representation}, {budget}"


def _split(labels, ids, config, seed):
    """Split into (ids to train on, ids held out for early stopping or None)."""
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


def _measurement(budget, runs):
    """Average over the seeds; with one seed, add the interval of the test images."""
    values = [run.accuracy_percent for run in runs]
    low = high = std = None
    if len(runs) == 1:
        correct = round(values[0] * runs[0].num_test / 100)
        low, high = (100 * f for f in wilson_interval(correct, runs[0].num_test))
    else:
        std = float(np.std(values, ddof=1))
    return Measurement(
        runs[0].representation,
        PROTOCOL,
        "accuracy_percent",
        float(np.mean(values)),
        runs[0].num_test,
        runs[0].num_train_labels,
        low_95=low,
        high_95=high,
        std=std,
        wall_seconds=round(sum(run.wall_seconds for run in runs), 3),
        settings={
            "budget": budget.title(),
            "label_fraction": budget.fraction,
            "labels_per_class": budget.per_class,
            "label_list": budget.listed,
            "seeds": [run.seed for run in runs],
            "accuracies_percent": [round(value, 4) for value in values],
            "runs": [run.settings for run in runs],
        },
    )
