"""Options of `report` and `show_views`."""

from dataclasses import dataclass

from simclr_tf.config.schema import (
    JOINED,
    Section,
    option,
    require_at_least_one,
    require_fraction,
    require_not_negative,
)
from simclr_tf.config.shared_choices import PRESET_HELP, PRESETS
from simclr_tf.errors import require


@dataclass(frozen=True)
class ReportOptions(Section):
    """The runs or the study of a report, and its file."""

    workdir: tuple[str, ...] = option(
        (),
        "Folder of a run; given several times, the runs are compared.",
        additive=True,
    )
    study: str | None = option(
        None, "Instead of --workdir: folder of a study of ablate."
    )
    output: str | None = option(
        None,
        "FILE.html, FILE.md, or a folder for both; `report` in the workdir or study if "
        "unset.",
    )
    data: str | None = option(
        None, "Images to show; those of the run if unset.", joined=JOINED
    )
    split: str | None = option(
        None, "Split of the training images; the run's if unset."
    )
    test_split: str | None = option(
        None, "Split of the test images; the run's if unset."
    )
    data_dir: str | None = option(None, "Folder of prepared tfds data sets.")
    max_corrupt_fraction: float = option(
        1.0,
        "Fraction of the images that may be unreadable; the page counts them.",
        flag="data.max_corrupt_fraction",
    )
    features: bool = option(
        True,
        "Load the encoder and images, for views, neighbours, maps and confusion; "
        "false: only read the files of the run.",
    )
    num_images: int = option(2000, "Images to sample, of training and of test.")
    map_images: int = option(1000, "Test images on the maps.")
    seed: int = option(0, "Seed of the samples and of t-SNE.", largest=2**32 - 1)

    def check(self):
        require(
            bool(self.workdir) != bool(self.study),
            "Exactly one of --workdir (once or several times) and --study is required.",
            workdir=self.workdir,
            study=self.study,
        )
        require(
            self.output is not None or len(self.workdir) < 2,
            "--output is required for a comparison: FILE.html, FILE.md or a folder.",
            workdir=self.workdir,
        )
        require(
            min(self.num_images, self.map_images) >= 4,
            "`num_images` and `map_images` must be >= 4.",
            num_images=self.num_images,
            map_images=self.map_images,
        )
        require_not_negative(seed=self.seed)
        require_fraction("max_corrupt_fraction", self.max_corrupt_fraction)

    def target(self):
        """Return the file or folder to write."""
        if self.output is not None:
            return self.output
        return f"{(self.study or self.workdir[0]).rstrip('/')}/report"

    def chosen(self):
        """Return the options of the images that differ from the run's, as a dict."""
        names = ("data", "split", "test_split", "data_dir")
        values = {name: getattr(self, name) for name in names}
        if self.max_corrupt_fraction < 1:
            values["data.max_corrupt_fraction"] = self.max_corrupt_fraction
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class ShowViewsOptions(Section):
    """The images and views to show, and the file."""

    preset: str | None = option(
        None,
        PRESET_HELP,
        choices=PRESETS,
        common=True,
    )
    output: str = option(
        "show_views",
        "FILE.png, FILE.html, FILE.md, or a folder for all of them.",
        common=True,
    )
    num_images: int = option(2, "Images on which the operators are shown.")
    num_shown: int = option(12, "Pairs of views to show.")
    num_pairs: int = option(256, "Pairs of views to measure.")

    def check(self):
        require_at_least_one(num_images=self.num_images, num_shown=self.num_shown)
        require(
            self.num_pairs >= 2, "`num_pairs` must be >= 2.", num_pairs=self.num_pairs
        )
