"""Distillation and self-training: a student trained on the output of its teacher."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from simclr_tf._keras import keras
from simclr_tf.config.schema import to_dict
from simclr_tf.data import evaluation_batches, plain_errors
from simclr_tf.distribution import cluster_of, make_strategy, require_divisible
from simclr_tf.errors import require
from simclr_tf.evaluation.distillation_images import open_learning_and_test_images
from simclr_tf.evaluation.features import extract_features
from simclr_tf.evaluation.results import Measurement, Results, wilson_interval
from simclr_tf.models import (
    LOGITS,
    classifier_network,
    count_parameters,
    flops_per_image,
    fresh_copy,
    set_weights_by_name,
    split_classifier,
    weights_by_name,
)
from simclr_tf.models.initializers import FRESH_STREAM, kernel_seed
from simclr_tf.training import load_encoder
from simclr_tf.training.assembly import build_encoder
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.classifier_records import (
    ClassifierRecord,
    classifier_record,
    names_of_classes,
)
from simclr_tf.training.keras_files import classifier_file, load_classifier
from simclr_tf.training.precision import choose_precision
from simclr_tf.training.resumable_fit import TrainingFolder, sha256_of_weights
from simclr_tf.training.student_training import train_student
from simclr_tf.training.warm_start import check_same_network
from simclr_tf.training.workdir import versions

if TYPE_CHECKING:
    from simclr_tf.config.distill import DistillConfig


DISTILL_FILE = "distill.json"
TEACHER, STUDENT = "teacher", "student"
CLASSIFY, AGREE = "classify", "agreement_with_teacher"


@dataclasses.dataclass(frozen=True)
class Distilled:
    """The result of a distillation.

    Attributes:
      student: keras.Model, float32 images `[N, H, W, C]` in [0, 1] to logits.
      encoder: keras.Model, the encoder inside it; it shares the weights.
      results: Results: both networks on the test images.
      history: list of dicts, one an epoch.
      images: dict that describes the training images of the student.
      record: ClassifierRecord of the student: the teacher's classes.
      sources: the Sources of the training and of the test images.
    """

    student: keras.Model
    encoder: keras.Model
    results: Results
    history: list
    images: dict
    record: ClassifierRecord = ClassifierRecord()
    sources: tuple = ()


def distill(
    config: DistillConfig,
    *,
    command: str | None = None,
    say: Callable[[str], None] = print,
    folder: TrainingFolder | None = None,
) -> Distilled:
    """Train a student on a teacher's predictions, and test both on the same images.

    Args:
      config: DistillConfig.
      command: str, what started it.
      say: function that prints a line (str).
      folder: TrainingFolder, from which an interrupted training continues; or None.

    Returns:
      Distilled.

    Raises:
      ConfigError, DataError, WorkdirError: a wrong option, file or folder.
      NonFiniteError: the training diverged.

    Source: Chen et al., SimCLRv2 (2020), section 2: knowledge distillation via
    unlabelled examples.
    """
    started = time.monotonic()
    # This comes first: devices cannot be set up after TensorFlow has been used.
    strategy = make_strategy(config.strategy, replicas=config.replicas)
    require(
        cluster_of(strategy) is None,
        "Distillation runs in one process: use --strategy=mirrored for several GPUs.",
        strategy="multi_worker",
    )
    require_divisible(
        config.batch_size, strategy.num_replicas_in_sync, name="batch_size"
    )
    with strategy.scope():
        teacher = load_classifier(str(config.teacher))
    record = classifier_record(classifier_file(str(config.teacher)))
    size = config.image_size_pixels or record.image_size_pixels
    require(
        size is not None,
        "--image_size_pixels is required: the teacher's file does not have the size of "
        "the images it was trained on.",
        teacher=config.teacher,
    )
    precision = choose_precision(
        config.precision, strategy, _begun_precision(folder, config)
    )
    config = dataclasses.replace(
        config,
        image_size_pixels=size,
        background=record.background,
        precision=precision.name,
    )
    if precision.requested != "float32":
        say(precision.line())
    names = record.class_names
    train, test = open_learning_and_test_images(config, teacher, names)
    names = names or names_of_classes(teacher.output_shape[-1], test, train)
    student = build_student(config, teacher)
    for name, network in ((TEACHER, teacher), (STUDENT, student)):
        say(f"{name:11} {network.name}: {count_parameters(network)[0]:,} parameters")
    labelled = 0 if train.labels is None else int((train.labels >= 0).sum())
    say(
        f"{'images':11} {train.name}: {train.num_examples:,}, labels used: {labelled:,}"
    )
    if folder is not None:
        folder = dataclasses.replace(
            folder, identity=_identity(config, teacher, student, train)
        )
    history = train_student(
        student, teacher, train, config=config, strategy=strategy, folder=folder
    )
    with plain_errors():
        measurements = _measure(
            config,
            teacher,
            student,
            test,
            {
                "data": train.name,
                "num_images": train.num_examples,
                "num_train_labels": labelled,
                "last_epoch": history[-1],
                "precision": config.precision,
            },
        )
    return Distilled(
        student=student,
        encoder=split_classifier(student)[0],
        history=history,
        results=Results(
            data=test.name,
            encoder=str(config.teacher),
            measurements=measurements,
            command=command,
            versions=versions(),
            step=history[-1]["step"],
            wall_seconds=round(time.monotonic() - started, 3),
        ),
        images={
            "name": train.name,
            "split": train.split,
            "num_examples": train.num_examples,
            "channels": train.channels,
            "fingerprint": train.fingerprint(),
        },
        record=ClassifierRecord(
            names, config.image_size_pixels, config.background, config.precision
        ),
        sources=(train, test),
    )


def _identity(config, teacher, student, train):
    """Describe a training for its checkpoints; files may have moved meanwhile."""
    where = {"teacher", "data", "data_dir", "test_data", "test_split", "init_from"}
    where |= {"strategy", "replicas"}  # They change rounding only, which is told.
    return {
        **{k: v for k, v in to_dict(config).items() if k not in where},
        "teacher_sha256": sha256_of_weights(teacher),
        "first_weights_sha256": sha256_of_weights(student),
        "images": train.fingerprint(),
    }


def _begun_precision(folder, config):
    """Return the precision of the training that continues; None if there is none."""
    if folder is None or config.precision != "auto":
        return None
    start = CheckpointStore(folder.path).latest()
    return start and start.manifest.get("training", {}).get("precision")


def build_student(config, teacher):
    """Build the student before its first step.

    Args:
      config: DistillConfig; `architecture`, `student`, `init_from` and `seed` are used.
      teacher: keras.Model of `load_classifier`.

    Returns:
      keras.Model, images to logits of the teacher's classes, on one device.

    Raises:
      ConfigError, DataError, WorkdirError: the encoder of `init_from` is missing or
        does not fit.
    """
    if config.architecture == "same":
        student = fresh_copy(teacher, config.seed)
    else:
        channels = teacher.input_shape[-1]
        student = classifier_network(
            build_encoder(config.run_config(channels), channels),
            teacher.output_shape[-1],
        )
    _draw_linear_layer(student, config.seed)
    if config.init_from is not None:
        if config.architecture != "same":
            check_same_network(config.student, config.init_from, section="student")
        set_weights_by_name(
            split_classifier(student)[0],
            weights_by_name(load_encoder(config.init_from)),
            source=f"The weights of --init_from={config.init_from}",
        )
    return student


def _draw_linear_layer(student, seed):
    """Give the linear layer random initial weights, because of LARS.

    `classifier_network` starts the layer at zero. LARS makes steps in proportion to the
    norm of the weights, and would need epochs to move away from zero.
    """
    kernel = student.get_layer(LOGITS).kernel
    kernel.assign(
        keras.initializers.VarianceScaling(seed=kernel_seed(seed, 0, FRESH_STREAM))(
            kernel.shape
        )
    )


def _measure(config, teacher, student, test, training):
    """Measure both networks on the test images, and how often they agree."""
    batches = evaluation_batches(test, config.batch_size, config.image_size_pixels)
    predictions, measurements = {}, []
    for name, network in ((TEACHER, teacher), (STUDENT, student)):
        started = time.monotonic()
        logits, labels, _ = extract_features(network, batches)
        predictions[name] = logits.argmax(axis=1)
        known = labels >= 0
        measurements.append(
            _share(
                name,
                CLASSIFY,
                "accuracy_percent",
                (predictions[name] == labels)[known],
                num_train_labels=training["num_train_labels"]
                if name == STUDENT
                else None,
                wall_seconds=round(time.monotonic() - started, 3),
                settings={
                    "parameters": count_parameters(network)[0],
                    "flops_per_image": flops_per_image(
                        network, config.image_size_pixels, network.input_shape[-1]
                    ),
                },
            )
        )
    measurements.append(
        _share(
            STUDENT,
            AGREE,
            "agreement_percent",
            predictions[STUDENT] == predictions[TEACHER],
            num_train_labels=training["num_train_labels"],
            settings={
                "temperature": config.temperature,
                "alpha": config.alpha,
                "label_fraction": None if config.alpha == 1 else config.label_fraction,
                **training,
            },
        )
    )
    return tuple(measurements)


def _share(representation, protocol, metric, hits, **fields):
    """Return a Measurement of the share of images for which something holds."""
    number, count = len(hits), int(np.sum(hits))
    low, high = wilson_interval(count, number)
    return Measurement(
        representation,
        protocol,
        metric,
        100 * count / number,
        number,
        low_95=100 * low,
        high_95=100 * high,
        **fields,
    )
