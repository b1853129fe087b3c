"""A run of the toy, and calm and interrupted ones of all objectives, for a test.

A process of its own: deterministic kernels hold for a whole process. Usage: python
toy_runs.py FOLDER. Every run leaves its workdir and its final values.
"""

import pathlib
import sys

import numpy as np

from simclr_tf import pretrain
from simclr_tf.objectives import OBJECTIVES
from tests.objectives.toy_objective import Toy
from tests.quick_tracing import without_grappler
from tests.training.exact_resume_runs import CopyAfter
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


def calm_and_continued(folder, **options):
    """A run to its end, and the second life of its copy in the middle of an epoch."""
    copy = CopyAfter(5, folder / "calm", folder / "cut")
    calm = train(folder / "calm", callbacks=[copy], **options)
    saved = [path.name for path in (folder / "cut" / "checkpoints").iterdir()]
    assert sorted(saved) == ["step-00000002", "step-00000004"]
    cut = train(folder / "cut", **options)
    for name, result in (("calm", calm), ("cut", cut)):
        variables = [*result.model.variables, *result.model.optimizer.variables]
        np.savez(folder / name, *[v.numpy() for v in variables])


def main(folder):
    from tests.objectives.test_every_objective import AllAtOnce

    OBJECTIVES["toy"], OBJECTIVES["all"] = Toy, AllAtOnce
    without_grappler()
    train(folder / "calm")
    calm_and_continued(folder / "all", objective={"name": "all"})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
