"""Which commands are fuzzed, and on which inputs.

`make_inputs` has the real tools write everything once: a run of two steps, its exports,
a classifier, a student, data sets.
"""

import dataclasses
import pathlib
import shutil

from tests.fuzz.harness import CANARY

_NETWORK = [
    "--preset=fashion_mnist",
    "--steps=2",
    "--batch_size=8",
    "--encoder=resnet10",
    "--encoder.width_multiplier=0.0625",
    "--image_size_pixels=8",
    "--precision=float32",
    "--probe.online=false",
    "--nocompile_views",
]
TINY = [*_NETWORK, "--data=npz:own.npz"]
_OWN = ["--data=npz:own.npz", "--image_size_pixels=8"]
_KNN = ["--protocols=knn", "--knn.k=3", "--output=results"]
_FEW = ["--labels_per_class=2", "--epochs=1", "--batch_size=4", "--output=results"]

_DATA_SETS = """
import numpy as np, os
from PIL import Image
rng = np.random.default_rng(0)
labels = np.arange(32) % 2
images = rng.integers(0, 99, (32, 8, 8, 1)) + 120 * labels[:, None, None, None]
images = images.astype("uint8")
np.savez("own.npz", x_train=images[:16], y_train=labels[:16],
         x_test=images[16:], y_test=labels[16:])
for split in ("train", "test"):
    for name in "ab":
        os.makedirs(f"pictures/{split}/{name}")
        for i, suffix in enumerate(["png", "jpg", "bmp", "gif"]):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype="uint8")
            Image.fromarray(pixels).save(f"pictures/{split}/{name}/{i}.{suffix}")
"""
_PREPARED = """
from tests.data.test_data_tfds import TinyPictures
TinyPictures(data_dir="prepared").download_and_prepare()
"""
_GOOGLE = """
import numpy as np
from tests.oracles import google_checkpoints
from tests.oracles.google_networks import Network
images = np.zeros((2, 16, 16, 3), "float32")
network = Network(images, 18, width=1 / 16, cifar=True, head=(2, 8), classes=5)
google_checkpoints.write_names("google/ckpt-3", network.variables)
"""
_OTHER_FILES = f"""
import tensorflow as tf
from simclr_tf._keras import keras
keras.models.load_model("student/encoder.keras", compile=False).save("encoder.h5")

class Stranger(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1])])
    def __call__(self, images):
        tf.io.write_file({CANARY!r}, "x")
        return images

tf.saved_model.save(Stranger(), "stranger")
"""
# What makes the inputs; each in a process of its own, one after the other.
_SMALL_MAKERS = [
    ["-c", _DATA_SETS],
    ["benchmark", "loss", "--sizes=8", "--rounds=1", "--warmup_rounds=0"]
    + ["--memory=false", "--output=measured.json"],
]
_MAKERS = [
    *_SMALL_MAKERS,
    ["-c", _PREPARED],
    ["-c", _GOOGLE],
    ["pretrain", *TINY, "--workdir=run"],
    ["finetune", "--workdir=run", "--methods=fine_tune", *_FEW[:-1]],
    ["evaluate", "--workdir=run", *_KNN[:-1]],
    ["export", "--workdir=run", "--output=exports/numbers", "--formats=safetensors"],
    ["export", "--workdir=run", "--output=exports/program", "--archive"],
    ["distill", "--teacher=run/classifiers/2_a_class", *_OWN, "--steps=1"]
    + ["--batch_size=4", "--nocompile_views", "--output=student"],
    ["-c", _OTHER_FILES],
]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that works, and what of its inputs can be changed.

    Attributes:
      arguments: list of str, after `simclr-tf`.
      needs: tuple of str, what of the inputs is copied.
      files: dict of glob pattern to a kind of `mutators.KINDS`.
      weight: float, how often it is chosen.
      fixed: str, a flag that stays: without it, it would write elsewhere.
    """

    arguments: list
    needs: tuple
    files: dict
    weight: float = 1.0
    fixed: str | None = None


_RUN = {
    "run/config.json": "json",
    "run/metrics.jsonl": "lines",
    "run/checkpoints/*/manifest.json": "json",
    "run/checkpoints/*/ckpt.*": "bytes",
}
_NPZ = {"own.npz": "npz"}
_KERAS = {"run/classifiers/2_a_class/classifier.keras": "keras"}
_NUMBERS = {
    "exports/numbers/config.json": "json",
    "exports/numbers/weights.safetensors": "safetensors",
}
_DESCRIBED = "exports/program/saved_model/assets.extra/simclr_tf.json"
_TFDS = {
    "prepared/*/*/*.json": "json",
    "prepared/*/*/*.tfrecord*": "record",
}


def _encoder(path, needs, files, weight=1.0):
    command = ["evaluate", f"--encoder={path}", *_OWN, *_KNN]
    return Command(command, ("own.npz", *needs), files, weight)


COMMANDS = [
    Command(["pretrain", *TINY, "--workdir=new"], ("own.npz",), _NPZ, 3),
    Command(
        ["pretrain", *_NETWORK, "--data=folder:pictures", "--workdir=new"],
        ("pictures",),
        {"pictures/*/*/*": "image"},
        2,
    ),
    Command(
        ["pretrain", *_NETWORK, "--data=tfds:tiny_pictures", "--data_dir=prepared"]
        + ["--workdir=new"],
        ("prepared",),
        _TFDS,
        1.5,
    ),
    Command(["pretrain", "--workdir=run"], ("run", "own.npz"), _RUN, 1.5),
    Command(
        ["pretrain", "--config=run/config.json", "--workdir=new"],
        ("run", "own.npz"),
        {"run/config.json": "json"},
    ),
    Command(
        ["pretrain", *TINY, "--init_from=encoder.h5", "--workdir=new"],
        ("own.npz", "encoder.h5"),
        {"encoder.h5": "keras"},
    ),
    Command(["evaluate", "--workdir=run", *_KNN], ("run", "own.npz"), _RUN, 1.5),
    _encoder("exports/numbers", ("exports/numbers",), _NUMBERS, 2),
    _encoder("student/encoder.keras", ("student",), {"student/encoder.keras": "keras"}),
    _encoder("encoder.h5", ("encoder.h5",), {"encoder.h5": "keras"}, 2),
    _encoder(
        "exports/program",
        ("exports/program", "stranger"),
        {
            _DESCRIBED: "json",
            "exports/program/saved_model/saved_model.pb": "program",
            "exports/program/saved_model/variables/*": "bytes",
        },
    ),
    _encoder(
        "exports/program/saved_model.tar.gz",
        ("exports/program",),
        {"exports/program/saved_model.tar.gz": "tar"},
    ),
    Command(
        ["finetune", "--workdir=run", "--methods=linear", *_FEW],
        ("run", "own.npz"),
        {**_RUN, "run/finetune_runs.jsonl": "lines"},
        1.5,
    ),
    Command(
        ["transfer", "--workdir=run", "--datasets=npz:own.npz", "--methods=linear"]
        + ["--epochs=1", "--output=results"],
        ("run", "own.npz"),
        {**_RUN, **_NPZ},
        1.5,
    ),
    Command(
        ["distill", "--teacher=run/classifiers/2_a_class", *_OWN, "--steps=1"]
        + ["--batch_size=4", "--nocompile_views", "--output=other"],
        ("run", "own.npz"),
        {**_KERAS, **_NPZ},
        1.5,
    ),
    Command(
        ["predict", "--classifier=run/classifiers/2_a_class", "--data=npz:own.npz"]
        + ["--output=predictions.csv"],
        ("run", "own.npz"),
        {**_KERAS, **_NPZ},
    ),
    Command(
        ["export", "--workdir=run", "--output=exported", "--formats=safetensors"],
        ("run", "own.npz"),
        _RUN,
        1.5,
    ),
    Command(
        ["export", "--workdir=run", "--classifier=run/classifiers/2_a_class"]
        + ["--output=exported"],
        ("run", "own.npz"),
        {**_KERAS, "run/finetune*.json": "json"},
        0.5,
    ),
    Command(
        ["report", "--workdir=run", "--features=false"],
        ("run", "own.npz"),
        {**_RUN, "run/[ef]*.json": "json"},
        2,
    ),
    Command(
        ["report", "--workdir=run", "--num_images=8", "--map_images=8"],
        ("run", "own.npz"),
        {**_RUN, **_NPZ},
        0.5,
    ),
    Command(
        ["show_views", *_OWN, "--num_pairs=2", "--num_shown=1", "--num_images=1"]
        + ["--output=views.md"],
        ("own.npz",),
        _NPZ,
    ),
    Command(
        ["ablate", "--study=temperature", *TINY[1:], "--workdir=study", "--dry_run"],
        ("own.npz",),
        _NPZ,
    ),
    Command(
        ["benchmark", "loss", "--sizes=8", "--rounds=1", "--warmup_rounds=0"]
        + ["--memory=false", "--output=measured.json"],
        (),
        {},
    ),
    Command(
        ["benchmark", "table", "--results=measured.json"],
        ("measured.json",),
        {"measured.json": "json"},
    ),
    Command(
        ["convert_checkpoint", "--source=google_tf2", "--checkpoint=google/ckpt-3"]
        + ["--output=converted"],
        ("google",),
        {"google/*": "bytes"},
    ),
    Command(
        ["zoo", "--folder=exports", "--readme"],
        ("exports",),
        {"exports/*/config.json": "json"},
        1.5,
        fixed="folder",
    ),
]

_ROOT = pathlib.Path(__file__).parents[2]
_COPIES = {  # What is there already.
    "old": _ROOT / "tests" / "golden" / "old_run" / "run",
    "zoo": _ROOT / "exported_models",
}
# A second each, on what no network has to be trained for.
SMALL = [
    Command(
        ["zoo", "--folder=zoo"], ("zoo",), {"zoo/*/config.json": "json"}, 2, "folder"
    ),
    Command(
        ["benchmark", "table", "--results=measured.json"],
        ("measured.json",),
        {"measured.json": "json"},
        2,
    ),
    Command(
        ["pretrain", *TINY, "--workdir=old"],
        ("old", "own.npz"),
        _NPZ | {"old/config.json": "json", "old/metrics.jsonl": "lines"},
    ),
    Command(
        ["export", "--workdir=old", "--output=exported", "--formats=safetensors"],
        ("old",),
        {"old/checkpoints/*/manifest.json": "json", "old/checkpoints/*/ckpt*": "bytes"},
    ),
]


def make_inputs(worker, folder, *, trained=True):
    """Have the tools write what every case starts from.

    Args:
      worker: Worker.
      folder: pathlib.Path, a new folder.
      trained: bool; False makes only what `SMALL` needs, in seconds.

    Raises:
      RuntimeError: a tool failed.
    """
    folder.mkdir()
    for arguments in _MAKERS if trained else _SMALL_MAKERS:
        outcome = worker.run(arguments, folder)
        shutil.rmtree(f"{folder}.outputs")
        if outcome.code != 0:
            raise RuntimeError(f"{arguments}: {outcome.code} {outcome.err[-2000:]}")
    for name, source in _COPIES.items():
        shutil.copytree(source, folder / name)
