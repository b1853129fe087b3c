"""Every hyper-parameter of fine-tuning, once: its default, help, unit and check."""

from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.data import RECIPES
from simclr_tf.config.schema import Section, option
from simclr_tf.errors import require

FreezableName = Literal[
    "none",
    "initial_conv",
    "initial_max_pool",
    "block_group1",
    "block_group2",
    "block_group3",
    "block_group4",
    "final_avg_pool",
]
# Passes over the labelled images: many where there are few (paper, section B.5).
EPOCHS_OF_FEW, EPOCHS_OF_MANY = 60, 30
FEW = 0.02


@dataclass(frozen=True)
class FineTuneConfig(Section):
    """How a classifier is trained on labelled images, from an encoder or from scratch.

    The defaults are those of SimCLR's section B.5: SGD with Nesterov momentum, 0.05 at
    batch 256, no warm-up, no weight decay, crops and flips alone.
    """

    epochs: int | None = option(
        None,
        f"Passes over the labelled images; {EPOCHS_OF_FEW} with at most "
        f"{100 * FEW:.0f} % of the labels and {EPOCHS_OF_MANY} with more if unset.",
        flag="epochs",
    )
    batch_size: int = option(
        128,
        "Images a step over all replicas; all labelled images if they are fewer.",
        flag="batch_size",
    )
    optimizer: Literal["sgd", "lars", "lamb", "adamw"] = option(
        "sgd", "Optimizer.", flag="optimizer"
    )
    base_learning_rate: float = option(
        0.05,
        "Learning rate before scaling with the batch size.",
        flag="base_learning_rate",
    )
    scaling: Literal["linear", "sqrt", "none"] = option(
        "linear",
        "linear: base * batch / 256; sqrt: base * sqrt(batch); none: base.",
        flag="scaling",
    )
    warmup_fraction: float = option(
        0.0,
        "Part of the steps in which the learning rate rises.",
        flag="warmup_fraction",
    )
    weight_decay: float = option(
        0.0, "Weight decay (kernels only).", flag="weight_decay"
    )
    momentum: float = option(
        0.9, "Nesterov momentum of sgd, momentum of lars.", flag="momentum"
    )
    layer_decay: float = option(
        1.0,
        "Layer-wise learning rates: each block group, and the stem below, learns "
        "at this times the rate of what follows it. 1: all alike.",
        flag="layer_decay",
    )
    freeze_until: FreezableName = option(
        "none",
        "Keep everything up to and including this endpoint as it is, batch "
        "norm too; final_avg_pool: the whole encoder.",
        flag="freeze_until",
    )
    head_layer: int = option(
        0,
        "Layer of the projection head from whose output the classifier starts; 0: "
        "from the encoder's features (SimCLRv2 recommends 1 of 3).",
        flag="head_layer",
    )
    recipe: str = option(
        "finetune",
        "Recipe of the training images; finetune: crops and flips.",
        flag="recipe",
        choices=RECIPES,
    )
    crop_area_min_fraction: float | None = option(
        None,
        "Smallest crop, as a fraction of the image's area; the recipe's if unset.",
        flag="crop_area_min_fraction",
    )
    early_stopping_epochs: int | None = option(
        None,
        "Stop when the accuracy on the held-out part has not risen for so many "
        "epochs, and go back to the best; no held-out part if unset.",
        flag="early_stopping_epochs",
    )
    held_out_fraction: float = option(
        0.2,
        "Part of the labelled images that early stopping holds out.",
        flag="held_out_fraction",
    )
    scratch_epochs: int | None = option(
        None,
        "`epochs` of training from scratch; the same if unset.",
        flag="scratch_epochs",
    )
    scratch_learning_rate: float | None = option(
        None,
        "`base_learning_rate` of training from scratch; the same if unset.",
        flag="scratch_learning_rate",
    )

    def check(self):
        for name in (
            "epochs",
            "batch_size",
            "base_learning_rate",
            "scratch_epochs",
            "scratch_learning_rate",
            "early_stopping_epochs",
        ):
            value = getattr(self, name)
            require(
                value is None or value > 0, f"`{name}` must be > 0.", **{name: value}
            )
        for name in ("weight_decay", "head_layer"):
            require(
                getattr(self, name) >= 0,
                f"`{name}` must be >= 0.",
                **{name: getattr(self, name)},
            )
        for name in ("warmup_fraction", "momentum"):
            require(
                0 <= getattr(self, name) < 1,
                f"`{name}` must lie in [0, 1).",
                **{name: getattr(self, name)},
            )
        for name in ("layer_decay", "crop_area_min_fraction"):
            value = getattr(self, name)
            require(
                value is None or 0 < value <= 1,
                f"`{name}` must lie in (0, 1].",
                **{name: value},
            )
        require(
            0 < self.held_out_fraction < 1,
            "`held_out_fraction` must lie between 0 and 1.",
            held_out_fraction=self.held_out_fraction,
        )

    def epochs_for(self, fraction):
        """Passes over a part of the labels.

        Example:
          >>> FineTuneConfig().epochs_for(0.01), FineTuneConfig().epochs_for(0.1)
          (60, 30)
        """
        if self.epochs is not None:
            return self.epochs
        return EPOCHS_OF_FEW if fraction <= FEW else EPOCHS_OF_MANY
