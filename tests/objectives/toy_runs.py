"""Calm and interrupted runs of the toy and of all objectives, for test_toy_objective.

Processes of their own: deterministic kernels hold for a whole process, and one of the
runs is ended by SIGKILL. Usage: python toy_runs.py FOLDER killed, then python
toy_runs.py FOLDER. Every run leaves its workdir and its final values.
"""

import os
import pathlib
import signal
import sys

import numpy as np

from simclr_tf import pretrain
from simclr_tf._keras import keras
from simclr_tf.objectives import OBJECTIVES
from tests.objectives.toy_objective import Toy
from tests.quick_tracing import without_grappler
from tests.training.small_networks import small_encoder

OPTIONS = {
    "preset": "demo",
    "steps": 8,
    "global_batch_size": 8,
    "precision": "float32",
    "deterministic": True,
    "compile_views": False,
    "objective": {"name": "toy", "small_views": 1},
    "projection_head": {"out_features": 8, "num_layers": 2},
    "data.image_size_pixels": 16,
    "optimizer.warmup_epochs": 1,
    "augment.recipe": "finetune",
    "checkpoint.every_steps": 2,
    "checkpoint.keep": 20,
}


class CutAfter(keras.callbacks.Callback):
    """Ends a run after a step, like a crash or by SIGKILL."""

    def __init__(self, step, kills=False):
        super().__init__()
        self.step, self.kills = step, kills

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() == self.step:
            if self.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ConnectionError("cut")


def images():
    """28 labelled images, some of them unlabelled; 3 steps of 8 an epoch."""
    rng = np.random.default_rng(0)
    patches = np.kron(rng.integers(0, 256, (28, 4, 4, 3)), np.ones([4, 4, 1]))
    return patches.astype("uint8"), np.arange(28) % 4 - 1


def train(folder, *, callbacks=(), **options):
    """One life of a run."""
    return pretrain(
        images(),
        folder,
        encoder=small_encoder(),
        callbacks=callbacks,
        say=lambda line: None,
        **{**OPTIONS, **options},
    )


def cut_in_mid_epoch(folder, kills=False, **options):
    """The first life of a run."""
    try:
        train(folder / "cut", callbacks=[CutAfter(5, kills)], **options)
    except ConnectionError:
        pass


def calm_and_continued(folder, **options):
    """A run to its end, and the second life of one that was cut."""
    calm = train(folder / "calm", **options)
    cut = train(folder / "cut", **options)
    for name, result in (("calm", calm), ("cut", cut)):
        variables = [*result.model.variables, *result.model.optimizer.variables]
        np.savez(folder / name, *[v.numpy() for v in variables])


def main(folder, killed=False):
    from tests.objectives.test_every_objective import AllAtOnce

    OBJECTIVES["toy"], OBJECTIVES["all"] = Toy, AllAtOnce
    without_grappler()
    everything = {"objective": {"name": "all"}}
    if killed:
        cut_in_mid_epoch(folder / "all", kills=True, **everything)
    cut_in_mid_epoch(folder)
    calm_and_continued(folder)
    calm_and_continued(folder / "all", **everything)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), killed="killed" in sys.argv)
