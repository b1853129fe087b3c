"""Calm runs and interrupted ones with deterministic kernels, for test_exact_resume.

A process of its own: deterministic kernels hold for a whole process. Usage:
python exact_resume_runs.py FOLDER NAME ..., of `CUTS`, `ON_TWO` or `LABELLED`. Each
run, and the calm one, leaves its workdir FOLDER/NAME and its final values
FOLDER/NAME.npz (weights, batch-norm statistics, optimizer variables). Trainings with
labels and of students leave the values of both as FOLDER/NAME.npz.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import sys
from unittest import mock

import numpy as np
import tensorflow as tf

from simclr_tf import pretrain
from simclr_tf._keras import keras
from simclr_tf.config.distill import DistillConfig
from simclr_tf.config.finetune import FineTuneConfig
from simclr_tf.data import ArraySource
from simclr_tf.errors import Interrupted
from simclr_tf.evaluation.distillation import build_student
from simclr_tf.models import classifier_network, fresh_copy
from simclr_tf.training.classifier_training import ClassifierTraining
from simclr_tf.training.resumable_fit import TrainingFolder
from simclr_tf.training.step_clock import StepClock
from simclr_tf.training.student_training import train_student
from tests.quick_tracing import without_grappler
from tests.training.small_networks import small_encoder

EPOCH_STEPS, TOTAL_STEPS = 3, 8
OPTIONS = {
    "preset": "demo",
    "steps": TOTAL_STEPS,
    "global_batch_size": 8,
    "precision": "float32",
    "deterministic": True,
    "compile_views": False,
    "projection_head": {"out_features": 8, "num_layers": 2},
    "data.image_size_pixels": 16,
    "optimizer.name": "lars",
    "optimizer.warmup_epochs": 1,
    "optimizer.base_learning_rate": 0.3,
    "checkpoint.keep": 20,
    "checkpoint.every_epochs": 1,
    # Only crops and flips: what the other operators do has its own tests, and tracing
    # them takes longer than all the rest of so small a run.
    "augment.recipe": "finetune",
}
# name: (steps between checkpoints, steps after which the run is cut)
CUTS = {
    "in the middle of an epoch": (2, [5]),
    "at its boundary, and right after it": (4, [3, 4]),
    "before its first checkpoint": (None, [4]),
}
ON_TWO = "cut on 2 replicas"
TWO = {"strategy": "mirrored", "replicas": 2}
LATE = {"checkpoint.every_epochs": 10}  # Figures are written, and nothing is saved.

# name: (kind of training, options, step of its end, whether a signal ends it)
LABELLED = {
    "a classifier gets SIGTERM": (
        "classifier",
        {"layer_decay": 0.5, "average_decay": 0.9, "min_steps": 8},
        5,
        True,
    ),
    "a classifier is killed": ("classifier", {"early_stopping_epochs": 1}, 4, False),
    "a student gets SIGTERM": ("student", {}, 4, True),
}


class CopyAfter(keras.callbacks.Callback):
    """Copies the workdir after a step: what is left if the run is killed there."""

    def __init__(self, step, source, target):
        super().__init__()
        self.step, self.source, self.target = step, source, target

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() == self.step:
            shutil.copytree(self.source, self.target)


class CutAfter(keras.callbacks.Callback):
    """Ends a run like a crash: after a step, or after the epoch that it ends."""

    def __init__(self, step):
        super().__init__()
        self.step, self.ends_epoch = step, step % EPOCH_STEPS == 0

    def on_train_batch_end(self, batch, logs=None):
        self._check(not self.ends_epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._check(self.ends_epoch)

    def _check(self, is_here):
        if is_here and self.model.optimizer.iterations.numpy() == self.step:
            raise ConnectionError("cut")


def train(folder, name, *, callbacks=(), every_steps=None, **options):
    """One life of a run; where it started is noted in FOLDER/NAME.starts."""
    rng = np.random.default_rng(0)
    # Patches of 4 pixels: their features differ, unlike those of white noise.
    images = np.kron(rng.integers(0, 256, (28, 4, 4, 3)), np.ones([4, 4, 1]))
    images = images.astype("uint8")
    labels = np.arange(28) % 4 - 1  # Some are unlabelled.

    def note(line):
        with (folder / f"{name}.starts").open("a") as file:
            file.writelines(
                f"{start},"
                for start in re.findall(r"Continuing +from (step \d+)", line)
            )

    try:
        result = pretrain(
            (images, labels),
            folder / name,
            encoder=small_encoder(),
            callbacks=callbacks,
            say=note,
            **{**OPTIONS, "checkpoint.every_steps": every_steps, **options},
        )
    except ConnectionError:
        return
    model = result.model
    weights = [
        v
        for part in (model.encoder, model.projection_head, model.probe)
        for v in part.weights
    ]
    np.savez(
        folder / f"{name}.npz",
        **{f"weight {i}": v.numpy() for i, v in enumerate(weights)},
        **{f"slot {i}": v.numpy() for i, v in enumerate(model.optimizer.variables)},
    )


@contextlib.contextmanager
def ended_at(step, by_signal):
    """End a training right after a step, before anything is saved there."""
    count = StepClock.on_train_batch_end

    def counted(clock, batch, logs=None):
        count(clock, batch, logs)
        if clock.step == step:
            if not by_signal:
                raise ConnectionError("killed")
            os.kill(os.getpid(), signal.SIGTERM)

    with mock.patch.object(StepClock, "on_train_batch_end", counted):
        try:
            yield
        except (ConnectionError, Interrupted):
            return
    raise AssertionError("It was not ended.")


def labelled_source(number=28, classes=3):
    rng = np.random.default_rng(number)
    images = np.kron(rng.integers(0, 256, (number, 4, 4, 3)), np.ones([2, 2, 1]))
    return ArraySource("toy", images.astype("uint8"), np.arange(number) % classes)


def a_classifier(options):
    """A function of a TrainingFolder that trains and returns all values."""
    network = classifier_network(small_encoder(), 3)
    config = FineTuneConfig(batch_size=8, base_learning_rate=1.0, **options)
    training = ClassifierTraining(
        network,
        config,
        num_examples=28,
        epochs=4,
        image_size_pixels=8,
        strategy=tf.distribute.get_strategy(),
    )
    start, held_out = network.get_weights(), None
    if config.early_stopping_epochs:
        held_out = labelled_source(12)

    def train_it(folder):
        history = training.run(
            start, labelled_source(), seed=0, held_out=held_out, folder=folder
        )
        return [*network.get_weights(), *map(np.array, history.values())]

    return train_it


def a_student(options):
    """As `a_classifier`."""
    config = DistillConfig(
        teacher="t",
        data="d",
        image_size_pixels=8,
        batch_size=8,
        steps=7,
        compile_views=False,
    )
    teacher = classifier_network(small_encoder(), 3)
    kernel = teacher.layers[-1].kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))

    def train_it(folder):
        student = build_student(config, fresh_copy(teacher, 0))
        source = labelled_source()
        source.without_labels()
        history = train_student(
            student,
            teacher,
            source,
            config=config,
            strategy=tf.distribute.get_strategy(),
            folder=folder,
        )
        values = [list(epoch.values()) for epoch in history]
        return [*student.get_weights(), np.array(values)]

    return train_it


def with_labels(folder, name):
    """Save the values of a calm training and of one that was ended, as one file."""
    kind, options, step, by_signal = LABELLED[name]
    make = a_classifier if kind == "classifier" else a_student
    place = TrainingFolder(
        folder / name / "checkpoints",
        every_seconds=1e9 if by_signal else 0.0,
        say=lambda line: (folder / f"{name}.starts").write_text(line),
        identity={"name": name},
    )
    first_life, second_life = make(options), make(options)
    with ended_at(step, by_signal):
        first_life(place)
    values = {f"cut {i}": v for i, v in enumerate(second_life(place))}
    # What the training that was ended has left in the model must not count.
    values |= {f"calm {i}": v for i, v in enumerate(first_life(None))}
    np.savez(folder / f"{name}.npz", **values)


def main(folder, names):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    without_grappler()
    train(folder, "calm", every_steps=1)
    for name in names:
        if name in LABELLED:
            with_labels(folder, name)
            continue
        if name == ON_TWO:
            on_two_replicas(folder)
            continue
        every_steps, cuts = CUTS[name]
        late = LATE if name == "before its first checkpoint" else {}
        for callbacks in [*([CutAfter(step)] for step in cuts), ()]:
            train(folder, name, callbacks=callbacks, every_steps=every_steps, **late)


def on_two_replicas(folder):
    copied = folder / "calm on 2 replicas", folder / ON_TWO
    copy = [CopyAfter(5, *copied)]
    train(folder, "calm on 2 replicas", callbacks=copy, every_steps=1, **TWO)
    shutil.copytree(folder / ON_TWO, folder / "from 2 replicas to 1")
    train(folder, ON_TWO, every_steps=1, **TWO)
    train(folder, "from 2 replicas to 1", every_steps=1)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
