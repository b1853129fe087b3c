"""Options of `embed`, and the options of the images of several verbs."""

import pathlib
from dataclasses import dataclass

from simclr_tf.config.evaluate import ChosenEncoder
from simclr_tf.config.image_size import ImageSize
from simclr_tf.config.schema import (
    JOINED,
    LARGEST_SIDE,
    Section,
    option,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import require

# Ending of the file -> what it is; the code is in evaluation/feature_files.py.
FEATURE_FILES = {
    ".npz": "arrays features, names, labels and classes, for NumPy",
    ".csv": "one line an image, for spreadsheets",
    ".parquet": "one row an image, for pandas, Polars and DuckDB",
}


@dataclass(frozen=True)
class ManyImages(Section):
    """Images of a data set, all or some of its splits, each to be used once."""

    data: str | None = option(
        None,
        "Images, with or without labels; those of the run if unset.",
        common=True,
        joined=JOINED,
    )
    split: tuple[str, ...] | None = option(
        None,
        "Splits of the images, with commas between; all of the data set if unset.",
    )
    data_dir: str | None = option(None, "Folder of prepared tfds data sets.")
    image_size_pixels: ImageSize | None = option(
        None,
        "Size of the network's input images, such as 32 or 64x96 (height x width); "
        "that of its training if unset.",
        largest=LARGEST_SIDE,
    )
    batch_size: int = option(256, "Images a step of the network.")
    max_corrupt_fraction: float = option(
        1.0,
        "Stop if more than this fraction of the images cannot be read. The others "
        "are named and left out.",
        flag="data.max_corrupt_fraction",
    )

    def check(self) -> None:
        require_positive(batch_size=self.batch_size)
        require_fraction("max_corrupt_fraction", self.max_corrupt_fraction)


@dataclass(frozen=True)
class EncodedImages(ManyImages, ChosenEncoder):
    """An encoder, and the images whose features it computes."""

    step: int | None = option(
        None, "With --workdir: step of the checkpoint; the newest if unset."
    )

    def check(self) -> None:
        ChosenEncoder.check(self)
        ManyImages.check(self)
        require_not_negative(step=self.step)

    def chosen(self):
        """Return the options of the images that differ from the run's, as a dict."""
        names = ("data", "data_dir", "image_size_pixels")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class EmbedOptions(EncodedImages):
    """The images whose features are written, and the file."""

    output: str | None = option(
        None,
        "File to write: "
        + "; ".join(f"FILE{ending} ({what})" for ending, what in FEATURE_FILES.items())
        + ".",
        required="the file to write, FILE.npz, FILE.csv or FILE.parquet",
        common=True,
    )
    overwrite: bool = option(False, "Replace an existing file.")

    def check(self) -> None:
        EncodedImages.check(self)
        require(
            pathlib.PurePath(self.output or "").suffix in FEATURE_FILES,
            f"--output must end in one of {', '.join(FEATURE_FILES)}.",
            output=self.output,
        )
