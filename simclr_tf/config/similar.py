"""Options of `similar`."""

import pathlib
from dataclasses import dataclass

from simclr_tf.config.embed import EncodedImages, ManyImages
from simclr_tf.config.evaluate import ChosenEncoder
from simclr_tf.config.schema import (
    option,
    require_at_least_one,
    require_fraction,
    require_not_negative,
)
from simclr_tf.errors import require

# Ending of the file -> what it is; the code is in commands/similar.py.
SIMILAR_FILES = {
    ".html": "a page with pictures",
    ".csv": "a line for each neighbour, and FILE_duplicates.csv",
}


@dataclass(frozen=True)
class SimilarOptions(EncodedImages):
    """The images that are compared, and the file."""

    features_file: str | None = option(
        None,
        "Features of --data that `embed` has written, FILE.npz; they are computed if "
        "unset.",
        common=True,
    )
    queries: str | None = option(
        None,
        "Images whose neighbours in --data are found, such as folder:PATH; those of "
        "--data if unset.",
        common=True,
    )
    k: int = option(10, "Neighbours of each image.", common=True)
    duplicates: float | None = option(
        0.98,
        "Cosine similarity that makes two images near-duplicates; none: no groups of "
        "them are looked for.",
        common=True,
    )
    num_shown: int = option(
        24, "Images, and groups of near-duplicates, that a page shows."
    )
    output: str | None = option(
        None,
        "File to write: "
        + "; ".join(f"FILE{ending} ({what})" for ending, what in SIMILAR_FILES.items())
        + ".",
        required="the file to write, FILE.html or FILE.csv",
        common=True,
    )
    overwrite: bool = option(False, "Replace an existing file.")

    def check(self) -> None:
        if self.features_file and not self.queries:
            require(
                not self.path,
                "--features_file has the features: leave --workdir and --encoder out.",
                features_file=self.features_file,
                encoder=self.path,
            )
        else:
            ChosenEncoder.check(self)
        ManyImages.check(self)
        require_not_negative(step=self.step)
        require_at_least_one(k=self.k, num_shown=self.num_shown)
        require_fraction("duplicates", self.duplicates, low_open=True)
        require(
            self.ending in SIMILAR_FILES,
            f"--output must end in one of {', '.join(SIMILAR_FILES)}.",
            output=self.output,
        )
        require(
            not (self.features_file and self.ending == ".html") or bool(self.data),
            "A page shows pictures, and --features_file has none: add --data, the "
            "images of these features.",
            features_file=self.features_file,
            output=self.output,
        )

    @property
    def ending(self):
        """str, the ending of the file to write."""
        return pathlib.PurePath(self.output or "").suffix
