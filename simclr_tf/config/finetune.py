"""Options of one fine-tuning, and of the student that it teaches."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.data import RECIPES, AugmentConfig
from simclr_tf.config.schema import (
    Section,
    option,
    require_below_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.config.shared_choices import (
    LABELLED_PRECISION_HELP,
    SCALING_HELP,
    OptimizerName,
    PrecisionName,
    Scaling,
)
from simclr_tf.errors import require

# Defaults for few and for many labels, by the number of labelled images a class:
# passes over them (paper, section B.5) and the learning rate.
_FEW_A_CLASS = 100
_EPOCHS_OF_FEW, _EPOCHS_OF_MANY = 60, 30
_RATE_OF_FEW, _RATE_OF_MANY = 0.02, 0.05
# Labelled images a class, for which half of the probe and of the encoder is kept.
_HALF = 20
# Training from scratch: passes times labelled images a class, the fewest and the most
# passes, and the learning rate.
_SCRATCH_IMAGES, _SCRATCH_EPOCHS = 40_000, (30, 300)
_SCRATCH_RATE = 0.2
# Smallest crop of the recipe finetune: its own 0.08 shows too little of small images.
_CROP = 0.5
_BY_LABELS = f"with at most {_FEW_A_CLASS} labelled images a class"
UNSET_EPOCHS = (
    f"{_EPOCHS_OF_FEW} {_BY_LABELS} and {_EPOCHS_OF_MANY} with more if unset."
)
_JITTER_PROBABILITY = 0.8  # Of pretraining (SimCLR, Appendix A).


@dataclass(frozen=True)
class FineTuneConfig(Section):
    """The training of a classifier on labelled images, from an encoder or from scratch.

    As in SimCLR's section B.5: SGD with Nesterov momentum, 0.05 at batch 256, no
    warm-up, no weight decay, crops and flips alone. Unlike there, the classifier starts
    from a linear probe, crops show at least half of an image, and few labels have
    defaults of their own, among them a mean of the weights before and after training
    (docs/photographs.md).
    """

    epochs: int | None = option(
        None,
        f"Passes over the labelled images; {UNSET_EPOCHS}",
    )
    min_steps: int = option(
        0,
        "Fewest steps: where the epochs are fewer, training goes on to this step, so "
        "that few labels get enough of them. With --epochs=1 all budgets of few labels "
        "get this number.",
        common=True,
    )
    batch_size: int = option(
        128,
        "Images a step, over all replicas; at most all labelled images.",
        common=True,
    )
    optimizer: OptimizerName = option("sgd", "Optimizer.")
    base_learning_rate: float | None = option(
        None,
        f"Learning rate before scaling with the batch size; {_RATE_OF_FEW} "
        f"{_BY_LABELS} and {_RATE_OF_MANY} with more if unset.",
        common=True,
    )
    scaling: Scaling = option("linear", SCALING_HELP, flag="optimizer.scaling")
    warmup_fraction: float = option(
        0.0,
        "Fraction of the steps in which the learning rate rises.",
        flag="optimizer.warmup_fraction",
    )
    weight_decay: float = option(
        0.0, "Weight decay (kernels only).", flag="optimizer.weight_decay"
    )
    momentum: float = option(
        0.9, "Nesterov momentum of sgd, momentum of lars.", flag="optimizer.momentum"
    )
    average_decay: float = option(
        0.0,
        "Decay, a step, of a moving average of the weights, which is tested and kept "
        "instead of the last weights; e.g. 0.99. 0: the last weights.",
        flag="optimizer.average_decay",
    )
    classifier_start: Literal["auto", "probe", "zeros"] = option(
        "auto",
        "Weights with which the linear layer of a fine-tuned classifier starts. probe: "
        "those of the linear probe on the same labels, so that training begins at the "
        "accuracy of the frozen encoder; auto: the same, or zeros where the labels are "
        "too few for a probe or the features too small.",
        common=True,
    )
    start_share: float | None = option(
        None,
        "Share of the weights before the training, the probe's among them, in those "
        "that are tested and kept (a weight-space ensemble, WiSE-FT). If unset, "
        f"{_HALF} / ({_HALF} + labelled images a class), so that few labels change "
        "little; 0 where the classifier starts at zeros.",
        common=True,
    )
    layer_decay: float = option(
        1.0,
        "Layer-wise learning rates: the rate of each block group, and of the stem, is "
        "this factor times the rate of the next one. 1: equal rates.",
    )
    freeze_until: str = option(
        "none",
        "Freeze the encoder up to and including this endpoint, batch norm too. "
        "Endpoints of a ResNet: initial_conv, initial_max_pool, block_group1 to "
        "block_group4, and final_avg_pool, which is the whole encoder; an unknown name "
        "lists those of the encoder.",
    )
    head_layer: int | None = option(
        None,
        "Layer of the projection head whose output the classifier takes; 0: the "
        f"encoder's features. If unset, 1 {_BY_LABELS} (as SimCLRv2 recommends) where "
        "there is a head of several layers, and 0 else.",
    )
    recipe: str = option(
        "finetune",
        "Recipe of the training images; finetune: crops and flips.",
        choices=RECIPES,
    )
    crop_area_min_fraction: float | None = option(
        None,
        "Smallest crop, as a fraction of the image's area. If unset, "
        f"{_CROP} with the recipe finetune, and that of any other recipe.",
        flag="augment.crop_area_min_fraction",
    )
    color_strength: float | None = option(
        None,
        "Strength of the colour jitter, in most images also where the recipe has none; "
        "the recipe's if unset. 0.5 is that of the recipe cifar.",
        flag="augment.color_strength",
    )
    precision: PrecisionName = option("float32", LABELLED_PRECISION_HELP)
    early_stopping_epochs: int | None = option(
        None,
        "Early stopping: stop when the held-out accuracy has not risen for this many "
        "epochs, and take the best epoch. If unset, nothing is held out.",
    )
    held_out_fraction: float = option(
        0.2,
        "Fraction of the labelled images that early stopping holds out.",
    )
    scratch_epochs: int | None = option(
        None,
        "`epochs` of training from scratch. If unset, the same where they are given, "
        f"else {_SCRATCH_IMAGES:,} / labelled images a class, from "
        f"{_SCRATCH_EPOCHS[0]} to {_SCRATCH_EPOCHS[1]}.",
    )
    scratch_learning_rate: float | None = option(
        None,
        "`base_learning_rate` of training from scratch; if unset, the same where that "
        f"is given, else {_SCRATCH_RATE}.",
    )

    def check(self):
        require_positive(
            epochs=self.epochs,
            batch_size=self.batch_size,
            base_learning_rate=self.base_learning_rate,
            scratch_epochs=self.scratch_epochs,
            scratch_learning_rate=self.scratch_learning_rate,
            early_stopping_epochs=self.early_stopping_epochs,
        )
        require_not_negative(
            weight_decay=self.weight_decay,
            head_layer=self.head_layer,
            min_steps=self.min_steps,
        )
        require_below_one(
            warmup_fraction=self.warmup_fraction,
            momentum=self.momentum,
            average_decay=self.average_decay,
            start_share=self.start_share,
        )
        require(
            not (self.start_share and self.classifier_start == "zeros"),
            "`start_share` keeps a share of the probe's weights, and there is no probe "
            "with --classifier_start=zeros: give one of them.",
            start_share=self.start_share,
        )
        require(
            not (self.average_decay and self.early_stopping_epochs),
            "`average_decay` takes the average at the last step, and "
            "`early_stopping_epochs` the best epoch: give one of them.",
            average_decay=self.average_decay,
            early_stopping_epochs=self.early_stopping_epochs,
        )
        self.build_recipe()
        for name in ("layer_decay", "crop_area_min_fraction"):
            require_fraction(name, getattr(self, name), low_open=True)
        require(
            0 < self.held_out_fraction < 1,
            "`held_out_fraction` must be between 0 and 1.",
            held_out_fraction=self.held_out_fraction,
        )

    def build_recipe(self):
        """Build the recipe of the training images.

        Raises:
          ConfigError: an option outside its range.

        Example:
          >>> FineTuneConfig(color_strength=0.5).build_recipe().jitter_probability
          0.8
        """
        changes = {
            "recipe": self.recipe,
            "crop_area_min_fraction": self.smallest_crop(),
            "color_strength": self.color_strength,
        }
        recipe = AugmentConfig(**changes).build()
        if self.color_strength is None or recipe.jitter_probability:
            return recipe
        changes["jitter_probability"] = _JITTER_PROBABILITY
        return AugmentConfig(**changes).build()

    def smallest_crop(self):
        """Return the fraction of the smallest crop; None for the recipe's own."""
        if self.crop_area_min_fraction is None and self.recipe == "finetune":
            return _CROP
        return self.crop_area_min_fraction

    def for_labels(self, images_a_class, head_layers=0):
        """Set what is unset by the number of labels.

        Args:
          images_a_class: float, labelled images / classes.
          head_layers: int, layers of the projection head; 0 if there is none.

        Returns:
          FineTuneConfig with `epochs`, `base_learning_rate`, `start_share`,
          `head_layer` and those of training from scratch.

        Example:
          >>> found = FineTuneConfig().for_labels(10, head_layers=2)
          >>> found.epochs, found.base_learning_rate, found.head_layer
          (60, 0.02, 1)
          >>> round(found.start_share, 2), found.scratch_epochs
          (0.67, 300)
          >>> found = FineTuneConfig(head_layer=1).for_labels(500, head_layers=2)
          >>> found.epochs, found.base_learning_rate, found.head_layer
          (30, 0.05, 1)
        """
        few = images_a_class <= _FEW_A_CLASS
        share = _HALF / (_HALF + images_a_class)
        fewest, most = _SCRATCH_EPOCHS
        scratch_epochs = round(min(max(_SCRATCH_IMAGES / images_a_class, fewest), most))
        chosen = {
            "epochs": _EPOCHS_OF_FEW if few else _EPOCHS_OF_MANY,
            "base_learning_rate": _RATE_OF_FEW if few else _RATE_OF_MANY,
            "start_share": 0.0 if self.classifier_start == "zeros" else share,
            "head_layer": int(few and head_layers >= 2),
            "scratch_epochs": self.epochs or scratch_epochs,
            "scratch_learning_rate": self.base_learning_rate or _SCRATCH_RATE,
        }
        unset = {n: v for n, v in chosen.items() if getattr(self, n) is None}
        return dataclasses.replace(self, **unset)


@dataclass(frozen=True)
class SelfDistillation(Section):
    """The students of --then_distill: each learns from a fine-tuned network.

    They see all training images without labels, under the recipe of the fine-tuning.
    The defaults are those of `distill`, with fewer passes, as the student starts from
    the pretrained encoder, and with the temperature of SimCLRv2 for a student of the
    teacher's size.
    """

    epochs: int = option(
        30,
        "Passes over all training images; a student that does not start from the "
        "encoder needs more (SimCLRv2: 400).",
    )
    batch_size: int = option(256, "Images a step; at most all images.")
    temperature: float = option(0.1, "Temperature of both predictions.")
    start: Literal["encoder", "fresh"] = option(
        "encoder",
        "First weights of the student: the pretrained encoder, or fresh ones.",
    )
    optimizer: OptimizerName = option("lars", "Optimizer.")
    base_learning_rate: float = option(
        0.1, "Learning rate before scaling with the batch size."
    )
    scaling: Scaling = option("sqrt", SCALING_HELP)
    warmup_fraction: float = option(
        0.05, "Fraction of the steps in which the learning rate rises."
    )
    weight_decay: float = option(1e-4, "Weight decay (kernels only).")

    def check(self):
        require_positive(
            epochs=self.epochs,
            temperature=self.temperature,
            base_learning_rate=self.base_learning_rate,
        )
        require(
            self.batch_size >= 2,
            "`distill.batch_size` must be at least 2: batch norm needs several images.",
            batch_size=self.batch_size,
        )
        require_below_one(warmup_fraction=self.warmup_fraction)
        require_not_negative(weight_decay=self.weight_decay)

    def training(self):
        """Return the options that a DistillConfig has too, without the batch size.

        Example:
          >>> sorted(SelfDistillation().training())[:3]
          ['base_learning_rate', 'epochs', 'optimizer']
        """
        values = dataclasses.asdict(self)
        return {k: v for k, v in values.items() if k not in ("start", "batch_size")}
