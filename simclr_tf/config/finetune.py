"""Options of `finetune` and `transfer`."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from simclr_tf.config.data import RECIPES, AugmentConfig
from simclr_tf.config.evaluate import MeasuredEncoder
from simclr_tf.config.pretrain import (
    LABELLED_PRECISION_HELP,
    SCALING_HELP,
    OneProcessStrategy,
    OptimizerName,
    PrecisionName,
    Scaling,
)
from simclr_tf.config.schema import (
    JOINED,
    LARGEST_SEED,
    MOST_REPETITIONS,
    MOST_REPLICAS,
    Section,
    option,
    part_of,
    require_at_least_one,
    require_below_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import require

# Name of a method in flags -> its name in results.
METHODS = {
    "fine_tune": "fine-tuned",
    "scratch": "supervised from scratch",
    "linear": "linear probe (frozen)",
    "linear_untrained": "linear probe (untrained)",
}
STUDENT_METHOD = "student"  # Of --then_distill.
METHODS_HELP = (
    "fine_tune; scratch (supervised, from random weights); linear (a probe of the "
    "frozen encoder); linear_untrained (a probe of random weights)."
)
DEFAULT_FRACTIONS = (0.01, 0.1, 1.0)
# Defaults for few and for many labels, by the number of labelled images a class:
# passes over them (paper, section B.5) and the learning rate.
FEW_A_CLASS = 100
EPOCHS_OF_FEW, EPOCHS_OF_MANY = 60, 30
RATE_OF_FEW, RATE_OF_MANY = 0.02, 0.05
# Labelled images a class, for which half of the probe and of the encoder is kept.
_HALF = 20
# Training from scratch: passes times labelled images a class, the fewest and the most
# passes, and the learning rate.
_SCRATCH_IMAGES, _SCRATCH_EPOCHS = 40_000, (30, 300)
_SCRATCH_RATE = 0.2
# Smallest crop of the recipe finetune: its own 0.08 shows too little of small images.
_CROP = 0.5
_BY_LABELS = f"with at most {FEW_A_CLASS} labelled images a class"
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
        f"Passes over the labelled images; {EPOCHS_OF_FEW} {_BY_LABELS} and "
        f"{EPOCHS_OF_MANY} with more if unset.",
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
        f"Learning rate before scaling with the batch size; {RATE_OF_FEW} {_BY_LABELS} "
        f"and {RATE_OF_MANY} with more if unset.",
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
        few = images_a_class <= FEW_A_CLASS
        share = _HALF / (_HALF + images_a_class)
        fewest, most = _SCRATCH_EPOCHS
        scratch_epochs = round(min(max(_SCRATCH_IMAGES / images_a_class, fewest), most))
        chosen = {
            "epochs": EPOCHS_OF_FEW if few else EPOCHS_OF_MANY,
            "base_learning_rate": RATE_OF_FEW if few else RATE_OF_MANY,
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


@dataclass(frozen=True)
class _FewLabelOptions(MeasuredEncoder, FineTuneConfig):
    """The repetitions and the devices of a training on few labels."""

    epochs: tuple[int, ...] | None = option(  # type: ignore[assignment]
        None,
        "Passes over the labelled images, one number for all label budgets or one for "
        f"each; {EPOCHS_OF_FEW} {_BY_LABELS} and {EPOCHS_OF_MANY} with more if unset.",
        common=True,
    )
    seeds: int = option(
        1,
        "Repetitions; seed s draws the labels, the order, the crops and the weights "
        "from scratch.",
        common=True,
        largest=MOST_REPETITIONS,
    )
    seed: int = option(0, "The first seed.", largest=LARGEST_SEED)
    strategy: OneProcessStrategy = option(
        "auto",
        "auto: all GPUs of this machine if there are several, else one device.",
    )
    replicas: int | None = option(
        None,
        "mirrored: devices to train on; without a GPU, logical CPU devices.",
        largest=MOST_REPLICAS,
    )
    checkpoint_seconds: float = option(
        60.0,
        "Seconds between the checkpoints within a training, from which the same "
        "command continues after a kill. They are removed when it is done.",
        flag="checkpoint.every_seconds",
    )

    def check(self):
        MeasuredEncoder.check(self)
        require_not_negative(checkpoint_seconds=self.checkpoint_seconds)
        self.training()
        for epochs in self.epochs or ():
            require_positive(epochs=epochs)
        require_at_least_one(seeds=self.seeds, replicas=self.replicas)
        require_not_negative(seed=self.seed)

    def training(self):
        """Return the FineTuneConfig of every training, without `epochs`."""
        return part_of(self, FineTuneConfig, epochs=None)

    def all_seeds(self):
        """Return the seeds, as a tuple."""
        return tuple(range(self.seed, self.seed + self.seeds))


@dataclass(frozen=True)
class FineTuneOptions(_FewLabelOptions):
    """The labels, and the methods to compare."""

    data: str | None = option(
        None, "Labelled images; those of the run if unset.", common=True, joined=JOINED
    )
    label_fraction: tuple[float, ...] | None = option(
        None,
        "Fractions of the labels, with commas between; "
        f"{','.join(map(str, DEFAULT_FRACTIONS))} if no budget is given.",
        common=True,
    )
    labels_per_class: tuple[int, ...] | None = option(
        None, "Instead of fractions: labels a class, with commas between.", common=True
    )
    label_list: str | None = option(
        None,
        "Instead of fractions: a text file with the names of the labelled images, one "
        "a line, e.g. the lists of 1 % and 10 % of ImageNet.",
    )
    methods: tuple[str, ...] = option(
        ("fine_tune", "scratch", "linear"),
        f"What to train: {METHODS_HELP}",
        choices=METHODS,
        common=True,
    )
    then_distill: bool = option(
        False,
        "Afterwards each fine-tuned network teaches a student on all training images, "
        "without their labels, as in `distill` (SimCLRv2's last stage).",
        common=True,
    )
    distill: SelfDistillation = field(default_factory=SelfDistillation)

    def check(self):
        super().check()
        require(
            not self.then_distill or "fine_tune" in self.methods,
            "--then_distill needs fine_tune among the methods: it makes the teacher.",
            methods=self.methods,
        )
        names = ("label_fraction", "labels_per_class", "label_list")
        given = {name: getattr(self, name) for name in names if getattr(self, name)}
        require(
            len(given) <= 1,
            "Give one of --label_fraction, --labels_per_class and --label_list.",
            **given,
        )
        for fraction in self.label_fraction or ():
            require_fraction("label_fraction", fraction, low_open=True)
        for number in self.labels_per_class or ():
            require_at_least_one(labels_per_class=number)
        require(
            len(self.epochs or ()) in (0, 1, len(self.budgets())),
            "`epochs` needs one number for each label budget.",
            epochs=self.epochs,
            budgets=self.budgets(),
        )

    def budgets(self):
        """Return the label budgets, as keyword arguments of LabelBudget.

        Example:
          >>> FineTuneOptions(workdir="run", labels_per_class=(4, 10)).budgets()
          [{'per_class': 4}, {'per_class': 10}]
        """
        if self.label_list:
            return [{"listed": self.label_list}]
        if self.labels_per_class:
            return [{"per_class": number} for number in self.labels_per_class]
        fractions = self.label_fraction or DEFAULT_FRACTIONS
        return [{"fraction": number} for number in fractions]

    def epochs_of_budgets(self):
        """Return the epochs of each budget, as a list; None for those of the config."""
        if not self.epochs:
            return None
        return list(self.epochs) * (len(self.budgets()) if len(self.epochs) == 1 else 1)


@dataclass(frozen=True)
class TransferOptions(_FewLabelOptions):
    """The labelled data sets, and the methods to compare."""

    datasets: tuple[str, ...] | None = option(
        None,
        "Labelled sets, with commas between, each in the grammar of --data.",
        required="labelled sets with commas between, e.g. "
        "--datasets=embedded:freedoom_12,folder:PATH",
        common=True,
    )
    split: str | None = option(None, "Split to train on; train if unset.")
    test_split: str | None = option(
        None,
        "Split to test on; test if unset. If a data set has none, a fifth of the "
        "training images is held out.",
    )
    label_fraction: float | None = option(
        None, "Fraction of the labels; all if unset.", common=True
    )
    labels_per_class: int | None = option(
        None, "Instead of a fraction: labels a class."
    )
    methods: tuple[str, ...] = option(
        ("linear", "linear_untrained", "fine_tune", "scratch"),
        f"What to measure: {METHODS_HELP}",
        choices=METHODS,
        common=True,
    )

    def check(self):
        super().check()
        require(
            self.label_fraction is None or self.labels_per_class is None,
            "Give one of --label_fraction and --labels_per_class.",
            label_fraction=self.label_fraction,
            labels_per_class=self.labels_per_class,
        )
        require_fraction("label_fraction", self.label_fraction, low_open=True)
        require_at_least_one(labels_per_class=self.labels_per_class)
        require(
            len(self.epochs or ()) <= 1,
            "`epochs` must be one number: each data set has one label budget.",
            epochs=self.epochs,
        )

    def training(self):
        """Return the FineTuneConfig of every training."""
        return part_of(
            self, FineTuneConfig, epochs=self.epochs[0] if self.epochs else None
        )

    def budget(self):
        """Return the label budget, as keyword arguments of LabelBudget."""
        if self.labels_per_class is not None:
            return {"per_class": self.labels_per_class}
        if self.label_fraction is not None:
            return {"fraction": self.label_fraction}
        return {"fraction": 1.0}
