"""Options of `evaluate`, and those by which a verb is given an encoder.

`PROTOCOLS` names the probes; their code is in `simclr_tf.evaluation`.
"""

from dataclasses import dataclass, field
from typing import Literal

from simclr_tf.config.data import RECIPES
from simclr_tf.config.schema import (
    LARGEST_SEED,
    LARGEST_SIDE,
    MOST_REPETITIONS,
    Section,
    option,
    require_at_least_one,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import require

# What the user asks for -> what the results call it.
PROTOCOLS = {
    "knn": "weighted_knn",
    "linear": "linear_probe",
    "few": "few_label_ridge",
    "ridge": "ridge",
    "linear_sgd": "linear_sgd",
    "linear_lars": "linear_lars",
    "linear_sgd_views": "linear_sgd_views",
    "linear_lars_views": "linear_lars_views",
}
DEFAULT_PROTOCOLS = ("knn", "linear", "few")


@dataclass(frozen=True)
class MeasuredEncoder(Section):
    """Which encoder, and the labelled images to measure it on."""

    workdir: str | None = option(
        None,
        "Folder of a run; its data and sizes are taken from there.",
        common=True,
    )
    encoder: str | None = option(
        None,
        "Instead of --workdir: an export's folder, zoo:NAME, or a Keras file.",
        common=True,
    )
    split: str | None = option(None, "Split to learn on; the run's if unset.")
    test_split: str | None = option(
        None,
        "Split that is tested on; the run's if unset, and a fifth of the images to "
        "learn on where there is none.",
    )
    data_dir: str | None = option(None, "Folder of prepared tfds data sets.")
    image_size_pixels: int | None = option(
        None,
        "Height and width of the images as the encoder sees them; the run's if unset.",
        common=True,
        largest=LARGEST_SIDE,
    )
    output: str | None = option(
        None, "Folder for the results; the workdir if unset.", common=True
    )

    def check(self):
        require(
            bool(self.workdir) != bool(self.encoder),
            "Exactly one of --workdir and --encoder is required: the folder of a run, "
            "or an encoder to load.",
            workdir=self.workdir,
            encoder=self.encoder,
        )
        require_positive(image_size_pixels=self.image_size_pixels)

    @property
    def path(self):
        """str, path of the encoder."""
        return self.workdir or self.encoder

    def chosen(self):
        """Return the options of the images that differ from the run's, as a dict."""
        names = ("data", "split", "test_split", "data_dir", "image_size_pixels")
        values = {name: getattr(self, name, None) for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class KNNConfig(Section):
    """The nearest neighbours that vote (knn)."""

    k: int = option(20, "Neighbours that vote.")
    temperature: float = option(0.07, "Temperature of the votes.")

    def check(self):
        require_at_least_one(k=self.k)
        require_positive(temperature=self.temperature)


@dataclass(frozen=True)
class LinearConfig(Section):
    """Linear classifiers: linear, and trained layers (linear_sgd, linear_lars)."""

    l2_values: Literal["fast", "paper"] = option(
        "fast", "Penalties that linear chooses from: 17, or the paper's 45."
    )
    epochs: int = option(90, "Epochs of a trained layer.")
    batch_size: int = option(256, "Images a step of a trained layer.")
    base_learning_rates: tuple[float, ...] | None = option(
        None,
        "Learning rates at batch 256 that a trained layer chooses from; 13 from 0.0001 "
        "to 100 if unset.",
    )
    recipe: str = option(
        "finetune",
        "Recipe of the views that a layer is trained on.",
        flag="recipe",
        choices=RECIPES,
    )

    def check(self):
        require_positive(epochs=self.epochs, batch_size=self.batch_size)
        for rate in self.base_learning_rates or ():
            require_positive(base_learning_rates=rate)


@dataclass(frozen=True)
class FewConfig(Section):
    """Ridge on a few labels a class (few)."""

    labels_per_class: int = option(
        10, "Labels a class; 0 leaves it out.", flag="labels_per_class"
    )
    draws: int = option(5, "Draws of the labels.", largest=MOST_REPETITIONS)

    def check(self):
        require_not_negative(labels_per_class=self.labels_per_class)
        require_at_least_one(draws=self.draws)


@dataclass(frozen=True)
class EvaluateOptions(MeasuredEncoder):
    """What is measured."""

    data: str | None = option(
        None, "Labelled images; those of the run if unset.", common=True
    )
    protocols: tuple[str, ...] = option(
        DEFAULT_PROTOCOLS,
        "Protocols to run, in this order.",
        choices=PROTOCOLS,
        common=True,
    )
    batch_size: int = option(256, "Images a step of the encoder.")
    seed: int = option(
        0,
        "Seed of the draws, of what is held out, and of training.",
        largest=LARGEST_SEED,
    )
    knn: KNNConfig = field(default_factory=KNNConfig)
    linear: LinearConfig = field(default_factory=LinearConfig)
    few: FewConfig = field(default_factory=FewConfig)

    def check(self):
        super().check()
        require_positive(batch_size=self.batch_size)
        require_not_negative(seed=self.seed)
        require(
            self.few.labels_per_class or set(self.protocols) != {"few"},
            "Nothing is left to measure: `labels_per_class=0` leaves out few.",
            protocols=self.protocols,
        )
