"""Evaluation with few labels: fine-tuned, from scratch, and a frozen encoder.

Optionally each fine-tuned network then teaches a student on all images.
"""

import dataclasses
import hashlib
import json
import logging

import numpy as np

from simclr_tf.config.data import colour_text
from simclr_tf.config.few_label_options import METHODS, STUDENT_METHOD
from simclr_tf.data.class_labels import same_numbering
from simclr_tf.distribution import require_divisible
from simclr_tf.errors import DataError, require, unknown_choice
from simclr_tf.evaluation.few_label_runs import LabelRuns, epochs_of, split_labels
from simclr_tf.evaluation.few_label_stages import Stages
from simclr_tf.evaluation.linear_probe import HELD_OUT_FRACTION, held_out_split
from simclr_tf.evaluation.results import Measurement, wilson_interval
from simclr_tf.evaluation.run_log import LabelRun, RunLog
from simclr_tf.models import check_endpoint
from simclr_tf.models.classifier import check_head_layer
from simclr_tf.training.classifier_records import ClassifierRecord, names_of_classes
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
      encoder, train: those of the arguments, `train` with the numbering of both sets.
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
        check_head_layer(projection_head, config.head_layer or 0)
        self.encoder, self.train = encoder, train
        num_classes = max(train.num_classes, test.num_classes)
        config = dataclasses.replace(
            config, precision=choose_precision(config.precision, strategy).name
        )
        self.record = ClassifierRecord(
            names_of_classes(num_classes, train, test),
            image_size_pixels,
            colour_text(train.background),
            config.precision,
        )
        self._config, self._strategy = config, strategy
        self._runs = LabelRuns(
            encoder,
            train,
            test,
            num_classes,
            config,
            image_size_pixels,
            strategy,
            projection_head,
            batch_size,
        )
        self.not_measured = {}

    def identity(self):
        """Return the identity of a run without method and seed, as JSON."""
        return {
            "encoder_sha256": sha256_of_weights(self.encoder),
            "train": self.train.fingerprint(),
            "test": self._runs.test.fingerprint(),
            "image_size_pixels": self._runs.image_size_pixels,
            **dataclasses.asdict(self._config),
        }

    def measure(
        self,
        budgets,
        *,
        epochs=None,
        methods=ON_FEW_LABELS,
        seeds=(0,),
        log=None,
        on_budget=None,
        on_run=None,
        on_network=None,
        has_network=None,
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
          on_budget: function of (LabelBudget, FineTuneConfig), called before networks
            are fine-tuned, with what was chosen for this number of labels.
          on_run: function of a LabelRun, called after each one.
          on_network: function of (LabelBudget, keras.Model, method, str), called with
            the network fine-tuned on the first seed's labels, and with its student;
            the text names the training.
          has_network: function of (LabelBudget, method, str), whether the network of
            that training is there; otherwise it is trained again.
          student: SelfDistillation, to train a student of each fine-tuned network on
            all training images without their labels; or None.
          folder: TrainingFolder, for those of the trainings; or None.

        Returns:
          tuple of Measurement: values are means over the seeds.

        Raises:
          ConfigError, DataError: a wrong option, or unusable images.
          NonFiniteError: a training diverged.
        """
        require(
            epochs is None or len(epochs) == len(budgets),
            "`epochs` needs one number for each label budget.",
            epochs=epochs,
            budgets=[budget.title() for budget in budgets],
        )
        methods, subsets_of, too_few = self._checked(budgets, methods, seeds, student)
        self._note_too_few(methods, budgets, too_few)  # Before the first training.
        stages = Stages(student, folder, folder and self.identity())
        log = RunLog(None, {}) if log is None else log
        measurements = []
        for place, budget in enumerate(budgets):
            subsets = subsets_of[place]
            config = self._for_labels(subsets, epochs and epochs[place])
            first = next(iter(subsets))
            if on_budget is not None and "fine_tune" in methods:
                on_budget(budget, config)
            for method in methods:
                if method in too_few[place]:
                    continue
                cell = (
                    TITLES[method],
                    budget.title(),
                    _epochs(method, config, student),
                    _variant(method, budget, subsets[first], config, student),
                )
                todo = {
                    seed: ids
                    for seed, ids in subsets.items()
                    if (*cell, seed) not in log
                }
                gives_network = method in ("fine_tune", STUDENT_METHOD)
                training = json.dumps([*cell, first])
                if (
                    gives_network
                    and has_network is not None
                    and not has_network(budget, method, training)
                ):
                    todo = {first: subsets[first], **todo}
                for seed, result, network, used in self._runs.results(
                    method, config, subsets, todo, stages
                ):
                    if on_network is not None and gives_network and seed == first:
                        on_network(budget, network, method, training)
                    run = LabelRun(*cell[:3], seed, variant=cell[3], **result)
                    log.add(run)
                    for done in used:
                        done.remove()
                    if on_run is not None:
                        on_run(run)
                measurements.append(_measurement(budget, log.runs(cell, seeds)))
        return tuple(measurements)

    def check(self, budgets, methods=ON_FEW_LABELS, seeds=(0,)):
        """Raise what `measure` would raise before its first training.

        Args:
          budgets, methods, seeds: as for `measure`.

        Raises:
          ConfigError, DataError: a wrong option, or a method for which the labels of
            all budgets are too few.
        """
        methods, _, too_few = self._checked(budgets, methods, seeds, None)
        _raise_if_none_is_left(methods, too_few)

    def _checked(self, budgets, methods, seeds, student):
        """Return (methods, images of each budget and seed, methods with too few)."""
        methods = tuple(dict.fromkeys(methods))
        for method in methods:
            if method not in METHODS:
                raise unknown_choice("method", method, METHODS)
        if student is not None:
            methods = (*methods, STUDENT_METHOD)
            require_divisible(
                self._runs.batch_of(student),
                self._strategy.num_replicas_in_sync,
                name="distill.batch_size",
            )
        subsets_of = [
            {seed: budget.subset(self.train, seed) for seed in seeds}
            for budget in budgets
        ]
        too_few = [self._too_few(methods, subsets) for subsets in subsets_of]
        return methods, subsets_of, too_few

    def _for_labels(self, subsets, epochs):
        """Return the FineTuneConfig for the number of labels of the seeds' draws."""
        config = self._config
        if epochs is not None:
            config = dataclasses.replace(config, epochs=epochs)
        head, labels = self._runs.projection_head, self.train.labels
        return config.for_labels(
            min(len(ids) / len(np.unique(labels[ids])) for ids in subsets.values()),
            0 if head is None else len(head.dense_layers),
        )

    def _too_few(self, methods, subsets):
        """Return the methods for which a budget is too small, with their errors.

        Raises:
          ConfigError: a batch that cannot be divided among the replicas.
          DataError: none can be held out for early stopping, which was asked for.
        """
        found, labels = {}, self.train.labels
        for method in methods:
            if method == STUDENT_METHOD:
                if "fine_tune" in found:
                    found[method] = found["fine_tune"]
                continue
            needs_probe = (
                method == "fine_tune" and self._config.classifier_start == "probe"
            )
            if method.startswith("linear") or needs_probe:
                try:
                    for seed, ids in subsets.items():
                        if not method.startswith("linear"):
                            ids, _ = split_labels(labels, ids, self._config, seed)
                        held_out_split(labels[ids], HELD_OUT_FRACTION, seed)
                except DataError as error:
                    found[method] = error
                    continue
            if method.startswith("linear"):
                continue
            fewest = self._runs.fewest_images(self._config, subsets)
            require_divisible(
                min(self._config.batch_size, fewest),
                self._strategy.num_replicas_in_sync,
                name="batch_size",
                largest=fewest,
            )
        return found

    def _note_too_few(self, methods, budgets, too_few):
        """Note what cannot be measured; raise for a method without any budget."""
        _raise_if_none_is_left(methods, too_few)
        self.not_measured = {
            _cell_name(TITLES[method], budget.title()): str(error)
            for budget, found in zip(budgets, too_few, strict=True)
            for method, error in found.items()
        }
        for what, reason in self.not_measured.items():
            _log.warning("Not measured: %s. %s", what, reason)


def _raise_if_none_is_left(methods, too_few):
    for method in methods:
        if too_few and all(method in found for found in too_few):
            raise too_few[0][method]


def _epochs(method, config, student):
    return student.epochs if method == STUDENT_METHOD else epochs_of(method, config)


def _variant(method, budget, ids, config, student):
    """Tell the trainings of a log apart, also where defaults or a list have changed.

    Args:
      method: name of `METHODS`, or STUDENT_METHOD.
      budget: LabelBudget.
      ids: int64 array, the labelled images of the first seed.
      config: FineTuneConfig of `for_labels`.
      student: SelfDistillation, or None.

    Returns:
      str, JSON.
    """
    values = {"labels": budget.fraction or budget.per_class}
    if budget.listed is not None:
        values["labels"] = hashlib.sha256(np.int64(ids).tobytes()).hexdigest()
    if method == "scratch":
        values["base_learning_rate"] = config.scratch_learning_rate
    if method in ("fine_tune", STUDENT_METHOD):
        names = ("base_learning_rate", "head_layer", "start_share")
        values |= {name: getattr(config, name) for name in names}
    if method == STUDENT_METHOD:
        values["epochs"] = config.epochs
        values = {"teacher": values, **dataclasses.asdict(student)}
    return json.dumps(values, sort_keys=True)


def cell_name(measurement):
    """Name the method and the budget of a measurement, as `not_measured` does."""
    return _cell_name(measurement.representation, measurement.settings["budget"])


def _cell_name(representation, budget):
    return f"{representation}, {budget}"


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
