"""Options of `distill`, once each: default, help, unit and check."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from simclr_tf.config import Config, ProbeConfig
from simclr_tf.config.data import RECIPES, AugmentConfig, DataConfig, source_forms
from simclr_tf.config.image_size import ImageSize
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.schema import (
    JOINED,
    LARGEST_SEED,
    LARGEST_SIDE,
    MOST_REPLICAS,
    GuestOptions,
    Section,
    find_guest,
    guest,
    guest_names,
    option,
    part_of,
    require_below_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.config.shared_choices import (
    ENCODERS,
    LABELLED_PRECISION_HELP,
    SCALING_HELP,
    OneProcessStrategy,
    OptimizerName,
    PrecisionName,
    Scaling,
)
from simclr_tf.errors import ConfigError, require, unknown_choice


@dataclass(frozen=True)
class DistillConfig(Section):
    """The training of a student on a fine-tuned teacher's predictions.

    The defaults are those of SimCLRv2 (section 3): the schedule of its pretraining
    (LARS, 0.1 times the root of the batch, 5 % warm-up, cosine, weight decay 1e-4),
    400 epochs, crops and flips alone, no labels.
    """

    teacher: str | None = option(
        None,
        "A fine-tuned classifier: classifier.keras, or the folder that holds it.",
        required="classifier.keras of a fine-tuning, or its folder",
        common=True,
    )
    data: str | None = option(
        None,
        lambda: f"Images to learn from, without their labels: {source_forms()}.",
        required="the images to learn from, e.g. folder:PATH",
        common=True,
        joined=JOINED,
    )
    split: str = option("train", "Split to learn from.")
    test_data: str | None = option(
        None,
        "Labelled images to test teacher and student on; those of --data if unset.",
        common=True,
        joined=JOINED,
    )
    test_split: str | None = option(
        None,
        "Split to test on; test if unset. If the data set has none, a fifth of its "
        "training images is held out, and the student does not learn from them.",
    )
    data_dir: str | None = option(None, "Folder of prepared tfds data sets.")
    image_size_pixels: ImageSize | None = option(
        None,
        "Size of the images as the teacher sees them, such as 32 or 64x96 (height x "
        "width); that of its training if unset.",
        common=True,
        largest=LARGEST_SIDE,
    )
    max_corrupt_fraction: float = option(
        0.01,
        "Fraction of the images that may be unreadable.",
        flag="data.max_corrupt_fraction",
    )
    background: str = option(
        "white",
        "Colour behind transparent images: that of the teacher's training.",
        flag=False,
    )
    architecture: Literal["same", "other"] = option(
        "same",
        "same: the teacher's network; other: the network of `student`.",
        flag=False,
    )
    student: GuestOptions = guest(
        ENCODERS,
        "resnet50",
        "The student's network: same, the teacher's with fresh weights; the name of an "
        "encoder; or a preset, for the encoder of that preset "
        f"({', '.join(PRESETS)}).",
        common=True,
    )
    init_from: str | None = option(
        None,
        "Path of an encoder to start from (a workdir, an export or a Keras file) "
        "instead of fresh weights.",
    )
    temperature: float = option(
        1.0,
        "Temperature of both predictions (SimCLRv2: 1.0 for a smaller student, "
        "0.1 for a student of the teacher's size).",
        common=True,
    )
    alpha: float = option(
        1.0,
        "Weight of the distillation loss; 1 - alpha is the weight of the labels. Both "
        "are sums over images: with 1 % of the labels, 0.01 makes them about equal.",
    )
    label_fraction: float = option(
        1.0,
        "Fraction of the labels to use if alpha < 1; for the same seed the same "
        "labels as in fine-tuning.",
    )
    epochs: int = option(400, "Passes over the images.", common=True)
    steps: int | None = option(None, "Length in steps; overrides epochs.")
    batch_size: int = option(256, "Images a step, over all replicas.", common=True)
    optimizer: OptimizerName = option("lars", "Optimizer.")
    base_learning_rate: float = option(
        0.1,
        "Learning rate before scaling with the batch size.",
    )
    scaling: Scaling = option("sqrt", SCALING_HELP, flag="optimizer.scaling")
    warmup_fraction: float = option(
        0.05,
        "Fraction of the steps in which the learning rate rises.",
        flag="optimizer.warmup_fraction",
    )
    weight_decay: float = option(
        1e-4, "Weight decay (kernels only).", flag="optimizer.weight_decay"
    )
    momentum: float = option(
        0.9, "Momentum of lars and sgd.", flag="optimizer.momentum"
    )
    recipe: str = option(
        "finetune",
        "Recipe of the view, one for teacher and student; finetune: crops and flips.",
        choices=RECIPES,
    )
    crop_area_min_fraction: float | None = option(
        None,
        "Smallest crop, as a fraction of the image's area; the recipe's if unset.",
        flag="augment.crop_area_min_fraction",
    )
    seed: int = option(0, "Seed of everything random.", largest=LARGEST_SEED)
    strategy: OneProcessStrategy = option(
        "auto",
        "auto: all GPUs of this machine if there are several, else one device.",
    )
    replicas: int | None = option(
        None,
        "mirrored: devices to train on; without a GPU, logical CPU devices.",
        largest=MOST_REPLICAS,
    )
    precision: PrecisionName = option("float32", LABELLED_PRECISION_HELP)
    compile_views: bool = option(True, "Compile the making of views with XLA.")

    def check(self):
        require_positive(
            temperature=self.temperature,
            base_learning_rate=self.base_learning_rate,
        )
        require_fraction("alpha", self.alpha)
        require_fraction("label_fraction", self.label_fraction, low_open=True)
        require_below_one(warmup_fraction=self.warmup_fraction, momentum=self.momentum)
        require_not_negative(weight_decay=self.weight_decay)
        require(
            self.batch_size >= 2,
            "`batch_size` must be at least 2: batch norm needs several images.",
            batch_size=self.batch_size,
        )
        self.run_config(3)  # Checks the remaining options.

    def run_config(self, channels):
        """Return the options as the Config of a pretraining, to build networks from.

        Args:
          channels: int, of the teacher's images.

        Returns:
          Config.

        Raises:
          ConfigError: a value outside its range.
        """
        size = {"image_size_pixels": self.image_size_pixels}
        if self.image_size_pixels is None:
            size = {}  # It has no part in the networks.
        return Config(
            epochs=self.epochs,
            steps=self.steps,
            global_batch_size=self.batch_size,
            seed=self.seed,
            strategy=self.strategy,
            replicas=self.replicas,
            encoder=self.student,
            probe=ProbeConfig(online=False),
            data=DataConfig(
                source=self.data,
                split=self.split,
                data_dir=self.data_dir,
                # A slice of labelled images is cut with its share of each class.
                labels="none" if self.alpha == 1 and "[" not in self.split else "auto",
                channels=channels,
                **size,
                max_corrupt_fraction=self.max_corrupt_fraction,
                background=self.background,
            ),
            augment=AugmentConfig(
                recipe=self.recipe, crop_area_min_fraction=self.crop_area_min_fraction
            ),
        )


@dataclass(frozen=True)
class DistillOptions(DistillConfig):
    """The folder of the student."""

    output: str | None = option(
        None,
        "Folder to make, e.g. runs/student.",
        required="the folder to make, e.g. runs/student",
        common=True,
    )
    checkpoint_seconds: float = option(
        60.0,
        "Seconds between the checkpoints, from which the same command continues after "
        "a kill. They are in OUTPUT_checkpoints until the student is done.",
        flag="checkpoint.every_seconds",
    )

    def check(self):
        super().check()
        require_not_negative(checkpoint_seconds=self.checkpoint_seconds)

    def config(self):
        """Return the DistillConfig of the training."""
        return part_of(self, DistillConfig)


def named_student(name, options):
    """Return the changes of `--student=NAME` to a DistillConfig.

    Args:
      name: str: "same", an encoder, or a preset.
      options: dict, the options of the student's network that were given.

    Returns:
      dict for `override`.

    Raises:
      ConfigError: an unknown name, or options without --student=NAME.
    """
    if name == "same":
        require(
            not options,
            "`student.OPTION` needs --student=ENCODER or --student=PRESET: the "
            "teacher's own network cannot be changed.",
            **options,
        )
        return {"architecture": "same"}
    if name in PRESETS:
        return {
            "architecture": "other",
            "student": {**dataclasses.asdict(get_preset(name).encoder), **options},
        }
    try:
        find_guest(ENCODERS, name)
    except ConfigError:
        choices = ["same", *guest_names(ENCODERS), *PRESETS]
        raise unknown_choice("student", name, choices) from None
    return {"architecture": "other", "student": {"name": name, **options}}
