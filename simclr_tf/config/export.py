"""Options of `export`, `convert_checkpoint` and `zoo`, once each."""

from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.schema import (
    LARGEST_SIDE,
    Section,
    option,
    require_at_least_one,
    require_not_negative,
)
from simclr_tf.errors import require

# name -> for whom; their code is in `simclr_tf.export`.
FORMATS = {
    "saved_model": "TensorFlow and TF Serving",
    "keras3": "a .keras file for Keras 3",
    "litert": "phones and browsers",
    "safetensors": "with config.json: data, not a program",
    "onnx": "best effort",
}


@dataclass(frozen=True)
class ExportOptions(Section):
    """What is written, and where."""

    workdir: str | None = option(
        None,
        "Folder of the run.",
        required="the folder of the run",
        common=True,
    )
    output: str | None = option(
        None,
        "Folder to make, e.g. exported_models/NAME.",
        required="the folder to make, e.g. exported_models/NAME",
        common=True,
    )
    formats: tuple[str, ...] = option(
        ("saved_model",),
        "What to write, with commas between: "
        + "; ".join(f"{name} ({line})" for name, line in FORMATS.items())
        + ".",
        choices=FORMATS,
        common=True,
    )
    with_projection_head: bool = option(
        False, "The layers of the projection head as outputs too."
    )
    with_probe: bool = option(False, "The online probe as the output `logits`.")
    classifier: str | None = option(
        None,
        "A fine-tuned network of this run, WORKDIR/classifiers/BUDGET: its encoder "
        "instead of the pretrained one, and its output `logits`.",
    )
    with_preprocessing: bool = option(
        False,
        "One more signature, from the bytes of image files to features, at the size of "
        "the run.",
    )
    version: int | None = option(
        None, "Write saved_model/VERSION/, the layout of TF Serving."
    )
    archive: bool = option(
        False, "Write saved_model.tar.gz as well, which TF-Hub loads from a URL."
    )
    data_licence: str | None = option(
        None,
        "Licence of the images, for the card; that of known data sets if unset.",
    )
    publish: bool = option(
        False,
        "To give away: leave the folders of this machine out of the card and "
        "config.json (of absolute paths only the last name is kept), ask for the "
        "licence of the images, and mark the export as one that ships in "
        "exported_models/.",
    )
    overwrite: bool = option(False, "Replace an export that is there already.")

    def check(self):
        for name in ("with_probe", "with_projection_head"):
            require(
                not (self.classifier and getattr(self, name)),
                f"--classifier and --{name} do not go together: probe and projection "
                "head belong to the pretrained encoder.",
                classifier=self.classifier,
            )
        require_not_negative(version=self.version)
        for name in ("version", "archive", "with_preprocessing"):
            require(
                "saved_model" in self.formats or getattr(self, name) in (None, False),
                f"--{name} is about the SavedModel: add saved_model to the formats.",
                formats=self.formats,
            )


@dataclass(frozen=True)
class ConvertOptions(Section):
    """What is converted into what."""

    source: Literal["google_tf2", "google_tf1", "simclr_tf"] | None = option(
        None,
        "What wrote the checkpoint: the reference under TensorFlow 2 or 1, or a run of "
        "this package (its workdir).",
        required="what wrote the checkpoint, google_tf2, google_tf1 or simclr_tf",
    )
    checkpoint: str | None = option(
        None,
        "Prefix of a checkpoint (DIR/ckpt-100), its folder, a SavedModel's folder, or "
        "a workdir.",
        required="the prefix of a checkpoint, or a SavedModel's folder",
    )
    target: Literal["simclr_tf", "torchvision"] = option(
        "simclr_tf",
        "A workdir of this package, or arrays in torchvision's names and layouts.",
    )
    output: str | None = option(None, "Folder to make.", required="the folder to make")
    copy: Literal["raw", "ema"] = option(
        "raw",
        "google_tf1: the trained weights, or their moving average under ema_model/.",
    )
    probe_layer: int = option(
        0,
        "Layer of the projection head that the supervised head reads, which is in "
        "no file: 0, the features; fine-tuned from the middle of the head: 1. Only a "
        "head on the features becomes the run's probe.",
    )
    leave_out: tuple[str, ...] = option(
        (),
        "Beginnings of names in the source, with commas between, of variables that may "
        "be lost.",
    )
    data: str = option(
        "unknown",
        "What it was trained on, for the record and as the default of evaluate, e.g. "
        "tfds:imagenet2012.",
    )
    image_size_pixels: int | None = option(
        None,
        "Size of its images; that of the stem if unset: 224, or 32.",
        largest=LARGEST_SIDE,
    )

    def check(self):
        require(
            self.source != self.target,
            f"--source={self.source} and --target={self.target} are the same. For "
            "other formats of a run, see simclr-tf export.",
            target=self.target,
        )
        require_at_least_one(image_size_pixels=self.image_size_pixels)
        require_not_negative(probe_layer=self.probe_layer)
        # Nothing that was asked for is passed over in silence.
        has_meaning = {
            "copy": self.source == "google_tf1",
            "probe_layer": self.source != "simclr_tf",
            "leave_out": self.source != "simclr_tf",
            "data": self.target == "simclr_tf",
            "image_size_pixels": self.target == "simclr_tf",
        }
        for name, means_something in has_meaning.items():
            value = getattr(self, name)
            default = type(self).__dataclass_fields__[name].default
            require(
                means_something or value == default,
                f"--{name} means nothing with --source={self.source} and "
                f"--target={self.target}.",
                **{name: value},
            )


@dataclass(frozen=True)
class ZooOptions(Section):
    """Which folder is listed."""

    folder: str | None = option(
        None, "Folder with one export a sub-folder; that of the package if unset."
    )
    readme: bool = option(False, "Write README.md of the folder anew.")
