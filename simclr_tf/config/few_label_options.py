"""Options of the verbs `finetune` and `transfer`: labels, methods, repetitions."""

from dataclasses import dataclass, field

from simclr_tf.config.evaluate import MeasuredEncoder
from simclr_tf.config.finetune import (
    UNSET_EPOCHS,
    FineTuneConfig,
    SelfDistillation,
)
from simclr_tf.config.schema import (
    JOINED,
    LARGEST_SEED,
    MOST_REPETITIONS,
    MOST_REPLICAS,
    option,
    part_of,
    require_at_least_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.config.shared_choices import OneProcessStrategy
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


@dataclass(frozen=True)
class _FewLabelOptions(MeasuredEncoder, FineTuneConfig):
    """The repetitions and the devices of a training on few labels."""

    epochs: tuple[int, ...] | None = option(  # type: ignore[assignment]
        None,
        "Passes over the labelled images, one number for all label budgets or one for "
        f"each; {UNSET_EPOCHS}",
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
        for name in ("label_fraction", "labels_per_class"):
            numbers = getattr(self, name) or ()
            require(
                len(set(numbers)) == len(numbers),
                f"`{name}` must not have a number twice.",
                **{name: numbers},
            )
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
