"""Calm and interrupted runs of the toy and of all objectives, for test_toy_objective.

A process of its own: deterministic kernels hold for a whole process. Usage:
python toy_runs.py FOLDER. Every run leaves its workdir and its final values.
"""

import pathlib
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
    """Ends a run like a crash after a step."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() == self.step:
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


def calm_and_cut(folder, **options):
    """A run to its end, and one that is cut in mid-epoch and continued."""
    calm = train(folder / "calm", **options)
    try:
        train(folder / "cut", callbacks=[CutAfter(5)], **options)
    except ConnectionError:
        pass
    cut = train(folder / "cut", **options)
    for name, result in (("calm", calm), ("cut", cut)):
        variables = [*result.model.variables, *result.model.optimizer.variables]
        np.savez(folder / name, *[v.numpy() for v in variables])


def main(folder):
    from tests.objectives.test_every_objective import AllAtOnce

    OBJECTIVES["toy"], OBJECTIVES["all"] = Toy, AllAtOnce
    without_grappler()
    calm_and_cut(folder)
    calm_and_cut(folder / "all", objective={"name": "all"})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
