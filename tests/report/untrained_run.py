"""A workdir as training leaves it, made without training: files of one step."""

import dataclasses
import json

import numpy as np

from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override
from simclr_tf.evaluation import (
    EVALUATION_FILE,
    TRANSFER_FILE,
    Measurement,
    Results,
    write_results,
)
from simclr_tf.training import CheckpointStore, Workdir
from simclr_tf.training.assembly import build_model
from simclr_tf.training.workdir import CHECKPOINTS, METRICS_FILE, versions

NUM_IMAGES, NUM_CLASSES, SIZE = 24, 3, 12


def save_images(path, *, labels=True, test=True):
    """An npz with images that are told apart by their brightness."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test") if test else ("train",):
        y = np.arange(NUM_IMAGES) % NUM_CLASSES
        noise = rng.integers(0, 40, (NUM_IMAGES, SIZE, SIZE, 3))
        arrays[f"x_{split}"] = (y[:, None, None, None] * 80 + noise).astype("uint8")
        if labels:
            arrays[f"y_{split}"] = y
    np.savez(path, classes=np.array(["dark", "grey", "bright"]), **arrays)
    return f"npz:{path}"


def write_run(folder, data, *, model=True, epochs=3, **changes):
    """A workdir with three epochs of a curve and, with `model`, a checkpoint."""
    config = override(
        get_preset("demo"),
        {
            "encoder": "resnet10",
            "encoder.width_multiplier": 0.0625,
            "data.image_size_pixels": SIZE,
            "data.source": data,
            "precision": "float32",
            "compile_views": False,
            "global_batch_size": 8,
            "epochs": epochs,
            **changes,
        },
    )
    workdir = Workdir(folder)
    workdir.claim(
        config,
        {
            "name": data,
            "num_examples": NUM_IMAGES,
            "channels": 3,
            "fingerprint": "none",
            "classes": ["dark", "grey", "bright"],
        },
        "simclr-tf pretrain --a-test",
    )
    lines = [
        {
            "step": 3 * e,
            "epoch": e,
            "contrastive_loss": 4.0 - e,
            "contrastive_accuracy": 0.2 * e,
            "contrastive_entropy": 2.0,
            "probe_accuracy": 0.25 * e,
            "learning_rate": 0.1 / e,
            "alignment": 0.5,
            "uniformity": -1.0 * e,
            "effective_rank": 3.0 + e,
            "seconds": 2.0,
            "data_wait_fraction": 0.125,
            "images_per_second": 100.0 * e,
        }
        for e in range(1, epochs + 1)
    ]
    (workdir.path / METRICS_FILE).write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    if model:
        CheckpointStore(workdir.path / CHECKPOINTS).save(
            3 * epochs,
            model=build_model(config, (SIZE, SIZE, 3), num_classes=NUM_CLASSES),
        )
    return workdir


def write_results_of(workdir, knn=70.0, step=9):
    """evaluation.json and transfer.json, as the tools write them."""
    one = Measurement(
        "this encoder",
        "weighted_knn",
        "accuracy_percent",
        knn,
        24,
        24,
        low_95=knn - 5,
        high_95=knn + 5,
        settings={"k": 20, "temperature": 0.07},
        wall_seconds=1.5,
    )
    raw = dataclasses.replace(
        one, representation="raw pixels", value=61.0, low_95=55.0, high_95=66.0
    )
    write_results(
        workdir.path / EVALUATION_FILE,
        Results(
            "npz:x",
            "run",
            (one, raw),
            command="simclr-tf evaluate",
            wall_seconds=75.0,
            versions=versions(),
            step=step,
        ),
    )
    tuned = Measurement(
        "fine-tuned",
        "fine_tune",
        "accuracy_percent",
        80.0,
        24,
        24,
        std=1.5,
        settings={"data": "npz:birds", "seeds": [0, 1]},
    )
    write_results(
        workdir.path / TRANSFER_FILE, Results("npz:birds", "run", (tuned,), step=step)
    )
