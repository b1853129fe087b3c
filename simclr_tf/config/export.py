"""Options of `export`, `convert_checkpoint` and `zoo`."""

from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.image_size import ImageSize
from simclr_tf.config.schema import (
    LARGEST_SIDE,
    Section,
    option,
    require_not_negative,
)
from simclr_tf.errors import require

# name -> its use; the code is in `simclr_tf.export`.
FORMATS = {
    "saved_model": "TensorFlow and TF Serving",
    "keras3": "a .keras file for Keras 3, the encoder alone",
    "litert": "phones and browsers",
    "safetensors": "with config.json: data, not a program; the encoder alone",
    "onnx": "best effort",
}
# They are made from the layers of the encoder, and hold nothing else.
FROM_LAYERS = ("keras3", "safetensors")


def check_layout(
    formats, *, heads=False, version=None, float16_weights=False, **of_saved_model
):
    """Raise unless the formats of an export hold all that it is to have.

    Args:
      formats: sequence of str.
      heads: bool, whether there are outputs beside those of the encoder.
      version: int or None, of the SavedModel.
      float16_weights: bool.
      **of_saved_model: what else only a SavedModel has, by the name of its option;
        None or False without it.

    Raises:
      ConfigError: a format is missing, or the version is negative.

    Example:
      >>> check_layout(["saved_model", "keras3"], heads=True, version=1)
    """
    require_not_negative(version=version)
    require(
        not heads or not set(formats) <= set(FROM_LAYERS),
        f"{' and '.join(FROM_LAYERS)} hold the encoder alone, without projections and "
        "logits: add saved_model, litert or onnx to the formats.",
        formats=list(formats),
    )
    require(
        not float16_weights or "safetensors" in formats,
        "`float16_weights` is about weights.safetensors: add safetensors to the "
        "formats.",
        formats=list(formats),
    )
    for name, value in {"version": version, **of_saved_model}.items():
        require(
            "saved_model" in formats or value is None or value is False,
            f"`{name}` is about the SavedModel: add saved_model to the formats.",
            formats=list(formats),
        )


@dataclass(frozen=True)
class ExportOptions(Section):
    """The parts of an export, and its folder."""

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
    float16_weights: bool = option(
        False,
        "Write weights.safetensors in float16, half as large; the card states how much "
        "its features differ. The other formats stay in float32.",
    )
    with_projection_head: bool = option(
        False, "Also give the outputs of the projection head's layers."
    )
    with_probe: bool = option(False, "Give the online probe's output as `logits`.")
    classifier: str | None = option(
        None,
        "Export a fine-tuned network of this run, WORKDIR/classifiers/BUDGET, with its "
        "output `logits`, instead of the pretrained encoder.",
    )
    with_preprocessing: bool = option(
        False,
        "Add a signature from the bytes of image files to features, at the image size "
        "of the run.",
    )
    version: int | None = option(
        None, "Write saved_model/VERSION/, the layout of TF Serving."
    )
    archive: bool = option(
        False, "Also write saved_model.tar.gz, which TF-Hub loads from a URL."
    )
    data_licence: str | None = option(
        None,
        "Licence of the images, for the card; known for some data sets.",
    )
    publish: bool = option(
        False,
        "For publication: leave the folders of this machine out of the card and "
        "config.json (only the last name of a path is kept), require the licence of "
        "the images, and mark the export as one that ships in exported_models/.",
    )
    overwrite: bool = option(False, "Replace an existing export.")

    def check(self):
        for name in ("with_probe", "with_projection_head"):
            require(
                not (self.classifier and getattr(self, name)),
                f"--classifier excludes --{name}: probe and projection head belong to "
                "the pretrained encoder.",
                classifier=self.classifier,
            )
        require(
            not (self.classifier and self.publish),
            "--publish excludes --classifier: an encoder that ships states its "
            "accuracy, and that of a fine-tuned network is not on its card. Leave "
            "--publish out.",
            classifier=self.classifier,
        )
        check_layout(
            self.formats,
            heads=self.classifier or self.with_probe or self.with_projection_head,
            version=self.version,
            float16_weights=self.float16_weights,
            archive=self.archive,
            with_preprocessing=self.with_preprocessing,
        )


@dataclass(frozen=True)
class ConvertOptions(Section):
    """The source and the target of a conversion."""

    source: Literal["google_tf2", "google_tf1", "torch", "simclr_tf"] | None = option(
        None,
        "Origin of the checkpoint: google-research/simclr under TensorFlow 2 or 1, a "
        "ResNet of PyTorch in torchvision's names, or a run of this package.",
        required="the origin of the checkpoint, google_tf2, google_tf1, torch or "
        "simclr_tf",
    )
    checkpoint: str | None = option(
        None,
        "Prefix of a checkpoint (DIR/ckpt-100), its folder, a SavedModel's folder, a "
        ".safetensors or .pth file, or a workdir.",
        required="the prefix of a checkpoint, a SavedModel's folder, or a file",
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
        "Layer of the projection head that feeds the supervised head; checkpoints do "
        "not record it: 0 for the features, 1 for networks fine-tuned from the middle "
        "of the head. Only a head on the features becomes the run's probe.",
    )
    input_normalization: Literal["none", "imagenet"] = option(
        "imagenet",
        "torch: the scaling of images in training; the converted network takes images "
        "in [0, 1] and applies it itself.",
    )
    leave_out: tuple[str, ...] = option(
        (),
        "Variables to leave out: beginnings of their names in the source, with commas "
        "between.",
    )
    data: str = option(
        "unknown",
        "Training data of the encoder, for the record and as the default of evaluate, "
        "e.g. tfds:imagenet2012.",
    )
    image_size_pixels: ImageSize | None = option(
        None,
        "Size of the training images, such as 224 or 64x96; 224, or 32 for a small "
        "stem, if unset.",
        largest=LARGEST_SIDE,
    )

    def check(self):
        require(
            self.source != self.target,
            f"--source={self.source} and --target={self.target} are the same. For "
            "other formats of a run, see simclr-tf export.",
            target=self.target,
        )
        require_not_negative(probe_layer=self.probe_layer)
        # No option is ignored silently.
        has_meaning = {
            "copy": self.source == "google_tf1",
            "probe_layer": self.source in ("google_tf1", "google_tf2"),
            "input_normalization": self.source == "torch",
            "leave_out": self.source != "simclr_tf",
            "data": self.target == "simclr_tf",
            "image_size_pixels": self.target == "simclr_tf",
        }
        for name, means_something in has_meaning.items():
            value = getattr(self, name)
            default = type(self).__dataclass_fields__[name].default
            require(
                means_something or value == default,
                f"--{name} has no effect with --source={self.source} and "
                f"--target={self.target}.",
                **{name: value},
            )


@dataclass(frozen=True)
class ZooOptions(Section):
    """The folder to list."""

    folder: str | None = option(
        None, "Folder with one export a sub-folder; that of the package if unset."
    )
    readme: bool = option(False, "Write README.md of the folder again.")
