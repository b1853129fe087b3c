"""One encoder on several labelled sets: linear, fine-tuned, and from random weights.

simclr-tf transfer --workdir=runs/demo --datasets=embedded:fashion_mnist_10k,folder:PATH
simclr-tf transfer --encoder=exported_models/NAME --datasets=tfds:cifar10 --seeds=3

Writes transfer.json and transfer.md into the workdir or --output. The same command
continues after an interruption; further sets and seeds are added to what is there.
"""

import sys

from absl import flags

from simclr_tf.config.finetune import FineTuneConfig
from simclr_tf.tools import command_line, config_flags
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags."""
    flags.DEFINE_list(
        "datasets",
        None,
        "Labelled sets, with commas between, each in the grammar of --data.",
        flag_values=values,
    )
    texts = {
        "workdir": "Folder of a run; the size of the images is taken from there.",
        "encoder": "Instead of --workdir: an export's folder or a Keras file.",
        "split": "Split to train on; train if unset.",
        "test_split": "Split that is tested on; test if unset, and a fifth of the "
        "training images where there is none.",
        "data_dir": "Folder of prepared tfds data sets.",
        "output": "Folder for the results; the workdir if unset.",
    }
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_integer(
        "image_size_pixels",
        None,
        "Height and width of the images as the encoder sees them; the run's if unset.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "label_fraction", None, "Part of the labels; all if unset.", flag_values=values
    )
    flags.DEFINE_integer(
        "labels_per_class", None, "Instead: labels a class.", flag_values=values
    )
    flags.DEFINE_list(
        "methods",
        ["linear", "linear_untrained", "fine_tune", "scratch"],
        "What to measure: linear, linear_untrained (a probe of random "
        "weights), fine_tune, scratch (supervised, from random weights).",
        flag_values=values,
    )
    flags.DEFINE_integer("seeds", 1, "Repetitions.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "The first seed.", flag_values=values)
    flags.DEFINE_string(
        "strategy", "auto", "auto, one_device or mirrored.", flag_values=values
    )
    flags.DEFINE_integer(
        "replicas", None, "mirrored: devices to train on.", flag_values=values
    )
    config_flags.define_section_flags(FineTuneConfig, values)


def run(values):
    """Measure as the flags say."""
    path = command_line.one_encoder(values)
    if not values["datasets"].value:
        raise command_line.FlagError(
            "--datasets is required: labelled sets with commas between, e.g. "
            "--datasets=embedded:freedoom_12,folder:PATH."
        )
    given = {
        "fraction": values["label_fraction"].value,
        "per_class": values["labels_per_class"].value,
    }
    given = {name: value for name, value in given.items() if value is not None}
    config = config_flags.section_from_flags(FineTuneConfig(), values)
    seeds = command_line.seeds(values)
    import_tensorflow()
    from simclr_tf.data import LabelBudget
    from simclr_tf.reports import transfer_and_report
    from simclr_tf.training import Workdir

    if values["workdir"].value:
        Workdir(path).read()  # Whatever else lies there is refused.
    chosen = {
        name: values[name].value
        for name in ("split", "test_split", "data_dir", "image_size_pixels")
    }
    transfer_and_report(
        path,
        values["datasets"].value,
        config=config,
        chosen={name: value for name, value in chosen.items() if value is not None},
        output=values["output"].value,
        budget=LabelBudget(**given) if given else None,
        methods=values["methods"].value,
        seeds=seeds,
        strategy=values["strategy"].value,
        replicas=values["replicas"].value,
        command=command_line.typed("transfer", values),
    )


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
