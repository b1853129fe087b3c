"""Fine-tune an encoder on few labels, beside training from scratch and a frozen probe.

simclr-tf finetune --workdir=runs/demo --label_fraction=0.01,0.1,1.0 --seeds=5
simclr-tf finetune --encoder=exported_models/NAME --data=folder:LABELLED
    --labels_per_class=10 --base_learning_rate=0.1

All methods see the same labels: stratified draws, the 1 % inside the 10 %. Writes
finetune.json, finetune.md, finetune.png and the fine-tuned networks
(classifiers/BUDGET/classifier.keras) into the workdir or --output. The same command
continues after an interruption; further budgets and seeds are added to what is there.
"""

import sys

from absl import flags

from simclr_tf.config.finetune import FineTuneConfig
from simclr_tf.tools import command_line, config_flags
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

DEFAULT_FRACTIONS = ("0.01", "0.1", "1.0")


def define(values):
    """The tool's flags."""
    texts = {
        "workdir": "Folder of a run; its data and sizes are taken from there.",
        "encoder": "Instead of --workdir: an export's folder or a Keras file.",
        "data": "Labelled images; those of the run if unset.",
        "split": "Split to train on; the run's if unset.",
        "test_split": "Split that is tested on; the run's if unset.",
        "data_dir": "Folder of prepared tfds data sets.",
        "output": "Folder for the results; the workdir if unset.",
        "label_list": "Instead of fractions: a text file with the names of the "
        "labelled images, one a line, e.g. the lists of 1 % and 10 % of ImageNet.",
    }
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_integer(
        "image_size_pixels",
        None,
        "Height and width of the images as the encoder sees them; the run's if unset.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "label_fraction",
        None,
        "Parts of the labels, with commas "
        f"between; {','.join(DEFAULT_FRACTIONS)} if nothing is said.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "labels_per_class",
        None,
        "Instead of fractions: labels a class, with commas between.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "methods",
        ["fine_tune", "scratch", "linear"],
        "What to train: "
        "fine_tune, scratch (supervised, from new weights), linear (a "
        "probe of the frozen encoder), linear_untrained (new weights).",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seeds",
        1,
        "Repetitions; seed s draws the labels, the order "
        "and the crops, and the weights from scratch.",
        flag_values=values,
    )
    flags.DEFINE_integer("seed", 0, "The first seed.", flag_values=values)
    flags.DEFINE_string(
        "strategy", "auto", "auto, one_device or mirrored.", flag_values=values
    )
    flags.DEFINE_integer(
        "replicas", None, "mirrored: devices to train on.", flag_values=values
    )
    config_flags.define_section_flags(FineTuneConfig, values, leave_out=("epochs",))
    flags.DEFINE_list(
        "epochs",
        None,
        "Passes over the labelled images, one number for "
        "all budgets or one for each; 60 with at most 2 % of the labels "
        "and 30 with more if unset.",
        flag_values=values,
    )


def run(values):
    """Fine-tune as the flags say."""
    path = command_line.one_encoder(values)
    config = config_flags.section_from_flags(
        FineTuneConfig(), values, leave_out=("epochs",)
    )
    seeds = command_line.seeds(values)
    given = _budgets(values)
    epochs = command_line.numbers(values, "epochs", int)
    if epochs is not None and len(epochs) == 1:
        epochs *= len(given)
    import_tensorflow()
    from simclr_tf.data import LabelBudget
    from simclr_tf.reports import finetune_and_report
    from simclr_tf.training import Workdir

    if values["workdir"].value:
        Workdir(path).read()  # Whatever else lies there is refused.
    chosen = {
        name: values[name].value
        for name in ("data", "split", "test_split", "data_dir", "image_size_pixels")
    }
    finetune_and_report(
        path,
        [LabelBudget(**budget) for budget in given],
        config=config,
        chosen={name: value for name, value in chosen.items() if value is not None},
        output=values["output"].value,
        epochs=epochs,
        methods=values["methods"].value,
        seeds=seeds,
        strategy=values["strategy"].value,
        replicas=values["replicas"].value,
        command=command_line.typed("finetune", values),
    )


def _budgets(values):
    """The label budgets as keyword arguments."""
    names = ("label_fraction", "labels_per_class", "label_list")
    given = [name for name in names if values[name].value]
    if len(given) > 1:
        raise command_line.FlagError(
            "Give one of --label_fraction, --labels_per_class and --label_list. "
            f"Received: {', '.join('--' + name for name in given)}."
        )
    if values["label_list"].value:
        return [{"listed": values["label_list"].value}]
    if values["labels_per_class"].value:
        return [
            {"per_class": number}
            for number in command_line.numbers(values, "labels_per_class", int)
        ]
    fractions = command_line.numbers(values, "label_fraction", float)
    return [
        {"fraction": number} for number in fractions or map(float, DEFAULT_FRACTIONS)
    ]


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
