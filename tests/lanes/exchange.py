"""What one lane writes, the other reads: `make test-lanes` runs this on both.

python -m tests.lanes.exchange write FOLDER   pretrains, stops halfway, and exports
python -m tests.lanes.exchange read FOLDER    loads all of it, and goes on

`read` on the lane that did not write: the features of the checkpoint's encoder and of
the SavedModel are those of the writer (max abs 1e-5), the configuration is the same,
the optimizer's state is restored, and the same command continues the run.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import tensorflow as tf

from simclr_tf import _keras, load_encoder, pretrain
from simclr_tf._keras import keras
from simclr_tf.config.schema import to_dict
from simclr_tf.data import open_source
from simclr_tf.tools import command_line
from simclr_tf.training import Workdir
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.records import read_metrics
from tests.quick_tracing import without_grappler

TOLERANCE = 1e-5
OPTIONS = {
    "data": "embedded:freedoom_12",
    "preset": "demo",
    "epochs": 4,
    "data.split": "train[:64]",
    "global_batch_size": 32,
    "precision": "float32",
    "encoder": {"name": "resnet10", "width_multiplier": 0.0625, "stem": "small"},
    "compile_views": False,
    "checkpoint.every_epochs": 1,
    "optimizer.warmup_epochs": 1,
    "optimizer.scaling": "none",
    "augment.recipe": "finetune",  # See tests/training/faulty_runs.py.
}
OPTIMIZERS = {"lars": 1.0, "lamb": 0.02, "adamw": 0.002}  # Learning rates.
EXPORTED = "lars"


class StopHalfway(keras.callbacks.Callback):
    """An interruption before the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def images():
    source = open_source("embedded:freedoom_12", split="test[:16]")
    return np.float32(source.read_images(np.arange(16)) / 255)


def run(workdir, optimizer, callbacks=(), **options):
    return pretrain(
        workdir=workdir,
        callbacks=callbacks,
        say=lambda line: None,
        **{
            **OPTIONS,
            "optimizer.name": optimizer,
            "optimizer.base_learning_rate": OPTIMIZERS[optimizer],
            **options,
        },
    )


def write(folder):
    """Runs that stop halfway, their features and configurations, and an export."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    features, configs = {}, {}
    for optimizer in OPTIMIZERS:
        try:
            run(folder / optimizer, optimizer, [StopHalfway()])
        except KeyboardInterrupt:
            pass
        features[optimizer] = load_encoder(folder / optimizer)(images()).numpy()
        configs[optimizer] = to_dict(Workdir(folder / optimizer).config())
    if _keras.ADDONS_LANE:  # Its encoder needs Addons no more.
        result = run(folder / "swa", "lars", **{"optimizer.wrapper": "swa"})
        features["swa"] = result.encoder(images()).numpy()
        configs["swa"] = to_dict(result.config)
    code = command_line.main(
        ["export", f"--workdir={folder / EXPORTED}", f"--output={folder / 'export'}"]
    )
    check(code == 0, "the export was made")
    np.savez(folder / "features.npz", **features)
    (folder / "configs.json").write_text(json.dumps(configs))


def read(folder):
    """Everything that `write` left, on this lane."""
    features = np.load(folder / "features.npz")
    configs = json.loads((folder / "configs.json").read_text())
    check(set(OPTIMIZERS) <= set(features), "every run is there")
    for name in features:
        check_features(
            load_encoder(folder / name), features[name], f"checkpoint {name}"
        )
        found = to_dict(Workdir(folder / name).config())
        check(
            json.loads(json.dumps(found)) == configs[name],  # Tuples become lists.
            f"config.json of {name} means the same",
        )
    check_features(load_encoder(folder / "export"), features[EXPORTED], "SavedModel")
    plain = tf.saved_model.load(str(folder / "export" / "saved_model"))
    check_features(plain, features[EXPORTED], "SavedModel by TensorFlow alone")
    for optimizer in OPTIMIZERS:
        check_continues(folder, optimizer)


def check_features(encoder, expected, what):
    worst = float(np.abs(encoder(images()).numpy() - expected).max())
    check(worst <= TOLERANCE, f"{what}: equal features, max abs {worst:.1e}")
    check(np.abs(expected).max() > 0.1, f"{what}: the features are not all zeros")


def check_continues(folder, optimizer):
    """The interrupted run goes on here, from the state that was saved there."""
    workdir = folder / f"{optimizer}-continued-{tf.__version__}"
    shutil.rmtree(workdir, ignore_errors=True)
    shutil.copytree(folder / optimizer, workdir)
    saved = CheckpointStore(workdir / "checkpoints").latest()
    reader = tf.train.load_checkpoint(str(saved.path / "ckpt"))
    slots = [
        reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("optimizer/_variables/")
    ]
    restored = {}

    class LookAtTheOptimizer(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            restored.setdefault(
                "slots", [v.numpy() for v in self.model.optimizer.variables]
            )

    result = run(workdir, optimizer, [LookAtTheOptimizer()])
    check(
        saved.step == 4
        and [r["step"] for r in read_metrics(workdir / "metrics.jsonl")]
        == [2, 4, 6, 8],
        f"{optimizer}: the run went on",
    )
    check(np.isfinite(result.metrics["loss"]), f"{optimizer}: its loss is finite")

    def fingerprints(arrays):
        return sorted((a.shape, float(np.sum(np.abs(a)))) for a in arrays)

    matches = set(fingerprints(slots)) <= set(fingerprints(restored["slots"]))
    check(
        len(slots) > 10 and matches,
        f"{optimizer}: its {len(slots)} optimizer variables were restored",
    )


def check(condition, claim):
    if not condition:
        sys.exit(f"FAILED on TensorFlow {tf.__version__}: {claim}")
    print(f"ok  {claim}")


if __name__ == "__main__":
    VERB, FOLDER = sys.argv[1:]
    print(f"TensorFlow {tf.__version__}: {VERB} {FOLDER}")
    without_grappler()
    {"write": write, "read": read}[VERB](pathlib.Path(FOLDER))
