"""Options of `predict`."""

import pathlib
from dataclasses import dataclass

from simclr_tf.config.embed import ManyImages
from simclr_tf.config.schema import JOINED, option, require_at_least_one
from simclr_tf.errors import require


@dataclass(frozen=True)
class PredictOptions(ManyImages):
    """A classifier, the images whose classes it predicts, and the file."""

    classifier: str | None = option(
        None,
        "What finetune or distill wrote (classifier.keras, student.keras, or the "
        "folder), or the export of a classifier.",
        required="the folder of a classifier, e.g. runs/mine/classifiers/10_percent",
        common=True,
    )
    data: str | None = option(
        None,
        "Images, with or without labels.",
        required="the images, e.g. folder:PATH",
        common=True,
        joined=JOINED,
    )
    top: int = option(1, "Classes an image, the most probable first.", common=True)
    output: str | None = option(
        None,
        "File to write, FILE.csv: the columns name, rank, class and probability, a "
        "line for each image and each of its first classes.",
        required="the file to write, FILE.csv",
        common=True,
    )
    overwrite: bool = option(False, "Replace an existing file.")

    def check(self) -> None:
        ManyImages.check(self)
        require_at_least_one(top=self.top)
        require(
            pathlib.PurePath(str(self.output)).suffix == ".csv",
            "--output must end in .csv.",
            output=self.output,
        )
