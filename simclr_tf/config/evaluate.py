"""Options of `evaluate`, and the options of an encoder for several verbs.

`PROTOCOLS` names the probes; their code is in `simclr_tf.evaluation`.
"""

from dataclasses import dataclass, field
from typing import Literal

from simclr_tf.config.data import RECIPES
from simclr_tf.config.image_size import ImageSize
from simclr_tf.config.schema import (
    JOINED,
    LARGEST_SEED,
    LARGEST_SIDE,
    MOST_REPETITIONS,
    Section,
    option,
    require_at_least_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import require

# Name of a protocol in flags -> its name in results.
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
class ChosenEncoder(Section):
    """An encoder: of a run, of an export, of the zoo, or of a file."""

    workdir: str | None = option(
        None,
        "Folder of a run; data and sizes come from the run.",
        common=True,
    )
    encoder: str | None = option(
        None,
        "Instead of --workdir: an export's folder, zoo:NAME, or a Keras file.",
        common=True,
    )

    def check(self) -> None:
        require(
            bool(self.workdir) != bool(self.encoder),
            "Exactly one of --workdir and --encoder is required: the folder of a run, "
            "or an encoder to load.",
            workdir=self.workdir,
            encoder=self.encoder,
        )

    @property
    def path(self):
        """str, path of the encoder."""
        return self.workdir or self.encoder


@dataclass(frozen=True)
class MeasuredEncoder(ChosenEncoder):
    """The encoder, and the labelled images to measure it on."""

    split: str | None = option(None, "Split to learn on; the run's if unset.")
    test_split: str | None = option(
        None,
        "Split to test on; the run's if unset. If the data set has none, a fifth of "
        "the training images is held out.",
    )
    data_dir: str | None = option(None, "Folder of prepared tfds data sets.")
    max_corrupt_fraction: float | None = option(
        None,
        "Fraction of the images that may be unreadable; the run's if unset. They are "
        "left out, and named in a file beside the results.",
        flag="data.max_corrupt_fraction",
    )
    image_size_pixels: ImageSize | None = option(
        None,
        "Size of the encoder's input images, such as 32 or 64x96 (height x width); the "
        "run's if unset.",
        common=True,
        largest=LARGEST_SIDE,
    )
    output: str | None = option(
        None, "Folder for the results; the workdir if unset.", common=True
    )

    def check(self) -> None:
        ChosenEncoder.check(self)
        require_fraction("max_corrupt_fraction", self.max_corrupt_fraction)

    def chosen(self):
        """Return the flags of the images that differ from the run's, as a dict."""
        names = ("data", "split", "test_split", "data_dir", "image_size_pixels")
        values = {name: getattr(self, name, None) for name in names}
        values["data.max_corrupt_fraction"] = self.max_corrupt_fraction
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class KNNConfig(Section):
    """Classification by the nearest neighbours (knn)."""

    k: int = option(20, "Neighbours that vote.")
    temperature: float = option(0.07, "Temperature of the votes.")

    def check(self) -> None:
        require_at_least_one(k=self.k)
        require_positive(temperature=self.temperature)


@dataclass(frozen=True)
class LinearConfig(Section):
    """Linear classifiers: linear, and trained layers (linear_sgd, linear_lars)."""

    l2_values: Literal["fast", "paper"] = option(
        "fast", "L2 penalties that linear tries: 17 (fast), or the paper's 45."
    )
    epochs: int = option(90, "Epochs of a trained layer.")
    batch_size: int = option(256, "Images a step of a trained layer.")
    base_learning_rates: tuple[float, ...] | None = option(
        None,
        "Learning rates at batch 256 that a trained layer tries; 13 from 0.0001 to 100 "
        "if unset.",
    )
    recipe: str = option(
        "finetune",
        "Recipe of the views of linear_sgd_views and linear_lars_views.",
        flag="recipe",
        choices=RECIPES,
    )

    def check(self) -> None:
        require_positive(epochs=self.epochs, batch_size=self.batch_size)
        for rate in self.base_learning_rates or ():
            require_positive(base_learning_rates=rate)


@dataclass(frozen=True)
class FewConfig(Section):
    """Ridge on a few labels a class (few)."""

    labels_per_class: int = option(
        10, "Labels a class; 0 leaves the protocol out.", flag="labels_per_class"
    )
    draws: int = option(5, "Draws of the labels.", largest=MOST_REPETITIONS)

    def check(self) -> None:
        require_not_negative(labels_per_class=self.labels_per_class)
        require_at_least_one(draws=self.draws)


@dataclass(frozen=True)
class EvaluateConfig(Section):
    """The protocols that measure features, and their settings.

    Example:
      >>> EvaluateConfig(protocols=("ridge", "knn"), knn=KNNConfig(k=5)).knn.temperature
      0.07
    """

    protocols: tuple[str, ...] = option(
        DEFAULT_PROTOCOLS,
        "Protocols to run, in this order.",
        choices=PROTOCOLS,
        common=True,
    )
    seed: int = option(
        0,
        "Seed of the draws, of held-out images, and of training.",
        largest=LARGEST_SEED,
    )
    knn: KNNConfig = field(default_factory=KNNConfig)
    linear: LinearConfig = field(default_factory=LinearConfig)
    few: FewConfig = field(default_factory=FewConfig)

    def check(self) -> None:
        require_not_negative(seed=self.seed)
        require(
            self.measured(),
            f"Nothing is left to measure. Protocols: {', '.join(PROTOCOLS)}.",
            protocols=self.protocols,
            labels_per_class=self.few.labels_per_class,
        )

    def measured(self) -> list[str]:
        """Return the protocols to run, each once; without labels a class, not `few`.

        Example:
          >>> none = FewConfig(labels_per_class=0)
          >>> EvaluateConfig(protocols=("ridge", "few", "ridge"), few=none).measured()
          ['ridge']
        """
        chosen = dict.fromkeys(self.protocols)
        return [p for p in chosen if p != "few" or self.few.labels_per_class]


@dataclass(frozen=True)
class EvaluateOptions(EvaluateConfig, MeasuredEncoder):
    """The images and the protocols of an evaluation."""

    data: str | None = option(
        None, "Labelled images; those of the run if unset.", common=True, joined=JOINED
    )
    batch_size: int = option(256, "Images a step of the encoder.")
    step: int | None = option(
        None,
        "With --workdir: step of the checkpoint; the newest if unset. The results of a "
        "chosen step are in WORKDIR/evaluations/step-N.",
    )

    def check(self) -> None:
        MeasuredEncoder.check(self)
        require_not_negative(step=self.step)
        EvaluateConfig.check(self)
        require_positive(batch_size=self.batch_size)
