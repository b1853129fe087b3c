"""Calm runs and interrupted ones with deterministic kernels, for test_exact_resume.

A process of its own: deterministic kernels hold for a whole process. Usage:
python exact_resume_runs.py FOLDER NAME ..., of `CUTS` or `ON_TWO`. Each run, and the
calm one, leaves its workdir FOLDER/NAME and its final values FOLDER/NAME.npz (weights,
batch-norm statistics, optimizer variables).
"""

import pathlib
import re
import shutil
import sys

import numpy as np
import tensorflow as tf

from simclr_tf import pretrain
from simclr_tf._keras import keras
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


def main(folder, names):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    without_grappler()
    train(folder, "calm", every_steps=1)
    for name in names:
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
