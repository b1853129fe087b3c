"""Every hyper-parameter of distillation, once: its default, help, unit and check."""

from dataclasses import dataclass
from typing import Literal

from simclr_tf.config import Config, ProbeConfig
from simclr_tf.config.data import RECIPES, AugmentConfig, DataConfig, source_forms
from simclr_tf.config.pretrain import ENCODERS
from simclr_tf.config.schema import GuestOptions, Section, guest, option
from simclr_tf.errors import require


@dataclass(frozen=True)
class DistillConfig(Section):
    """How a student is trained on a fine-tuned teacher's predictions.

    The defaults are those of SimCLRv2 (section 3): the schedule of its pretraining
    (LARS, 0.1 times the root of the batch, 5 % warm-up, cosine, weight decay 1e-4),
    400 epochs, crops and flips alone, no labels.
    """

    teacher: str = option(
        "",
        "A fine-tuned classifier: classifier.keras, or the folder that holds it.",
        flag="teacher",
    )
    data: str = option(
        "",
        lambda: f"Images to learn from, without their labels: {source_forms()}.",
        flag="data",
    )
    split: str = option("train", "Split to learn from.", flag="split")
    test_data: str | None = option(
        None,
        "Labelled images to test teacher and student on; those of --data if unset.",
        flag="test_data",
    )
    test_split: str = option("test", "Split to test on.", flag="test_split")
    data_dir: str | None = option(
        None, "Folder of prepared tfds data sets.", flag="data_dir"
    )
    image_size_pixels: int | None = option(
        None,
        "Height and width of the images as the teacher sees them.",
        flag="image_size_pixels",
    )
    max_corrupt_fraction: float = option(
        0.01, "Part of the images that may be unreadable.", flag="max_corrupt_fraction"
    )
    architecture: Literal["same", "other"] = option(
        "same", "same: the teacher's own network; other: as `student` says."
    )
    student: GuestOptions = guest(ENCODERS, "resnet50", "The student's network.")
    init_from: str | None = option(
        None,
        "Start from the encoder that lies there (a workdir, an export or a Keras "
        "file) instead of fresh weights.",
        flag="init_from",
    )
    temperature: float = option(
        1.0,
        "Temperature of both predictions (SimCLRv2: 1.0 for a smaller student, "
        "0.1 for one like its teacher).",
        flag="temperature",
    )
    alpha: float = option(
        1.0,
        "Weight of the distillation; 1 - alpha is that of the labels. Both count "
        "images: with 1 % of the labels, 0.01 weighs them alike.",
        flag="alpha",
    )
    label_fraction: float = option(
        1.0,
        "Part of the labels that is used where alpha < 1; for the same seed the "
        "same as in fine-tuning.",
        flag="label_fraction",
    )
    epochs: int = option(400, "Passes over the images.", flag="epochs")
    steps: int | None = option(None, "Length in steps; overrides epochs.", flag="steps")
    batch_size: int = option(
        256, "Images a step, over all replicas.", flag="batch_size"
    )
    optimizer: Literal["lars", "lamb", "sgd", "adamw"] = option(
        "lars", "Optimizer.", flag="optimizer"
    )
    base_learning_rate: float = option(
        0.1,
        "Learning rate before scaling with the batch size.",
        flag="base_learning_rate",
    )
    scaling: Literal["linear", "sqrt", "none"] = option(
        "sqrt",
        "linear: base * batch / 256; sqrt: base * sqrt(batch); none: base.",
        flag="scaling",
    )
    warmup_fraction: float = option(
        0.05,
        "Part of the steps in which the learning rate rises.",
        flag="warmup_fraction",
    )
    weight_decay: float = option(
        1e-4, "Weight decay (kernels only).", flag="weight_decay"
    )
    momentum: float = option(0.9, "Momentum of lars and sgd.", flag="momentum")
    recipe: str = option(
        "finetune",
        "Recipe of the view that teacher and student see; finetune: crops and flips.",
        flag="recipe",
        choices=RECIPES,
    )
    crop_area_min_fraction: float | None = option(
        None,
        "Smallest crop, as a fraction of the image's area; the recipe's if unset.",
        flag="crop_area_min_fraction",
    )
    seed: int = option(0, "Seed of everything random.", flag="seed")
    strategy: Literal["auto", "one_device", "mirrored"] = option(
        "auto",
        "auto: all GPUs of this machine if there are several, else one device.",
        flag="strategy",
    )
    replicas: int | None = option(
        None,
        "mirrored: devices to train on; without a GPU, logical CPU devices.",
        flag="replicas",
    )
    compile_views: bool = option(
        True, "Compile the making of views with XLA.", flag="compile_views"
    )

    def check(self):
        for name in ("temperature", "base_learning_rate"):
            require(
                getattr(self, name) > 0,
                f"`{name}` must be > 0.",
                **{name: getattr(self, name)},
            )
        require(0 <= self.alpha <= 1, "`alpha` must lie in [0, 1].", alpha=self.alpha)
        require(
            0 < self.label_fraction <= 1,
            "`label_fraction` must lie in (0, 1].",
            label_fraction=self.label_fraction,
        )
        for name in ("warmup_fraction", "momentum"):
            require(
                0 <= getattr(self, name) < 1,
                f"`{name}` must lie in [0, 1).",
                **{name: getattr(self, name)},
            )
        require(
            self.weight_decay >= 0,
            "`weight_decay` must be >= 0.",
            weight_decay=self.weight_decay,
        )
        require(
            self.batch_size >= 2,
            "`batch_size` must be at least 2: batch norm compares images.",
            batch_size=self.batch_size,
        )
        for name in ("teacher", "data"):
            require(
                getattr(self, name),
                f"`{name}` must be given.",
                **{name: getattr(self, name)},
            )
        require(
            self.image_size_pixels is not None,
            "`image_size_pixels` must be given: a Keras file does not say at which "
            "size the teacher was trained.",
            image_size_pixels=None,
        )
        self.run_config(3)  # Checks what is left.

    def run_config(self, channels):
        """The training as a Config, for everything that is built from one.

        Args:
          channels: int, of the teacher's images.

        Returns:
          Config.

        Raises:
          ConfigError: a value outside its range.
        """
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
                labels="none" if self.alpha == 1 else "auto",
                channels=channels,
                image_size_pixels=self.image_size_pixels,
                max_corrupt_fraction=self.max_corrupt_fraction,
            ),
            augment=AugmentConfig(
                recipe=self.recipe, crop_area_min_fraction=self.crop_area_min_fraction
            ),
        )
