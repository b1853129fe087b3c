"""Probe a frozen encoder: kNN, linear, and few labels.

simclr-tf evaluate --workdir=runs/demo
simclr-tf evaluate --encoder=exported_models/demo --data=folder:LABELLED
simclr-tf evaluate --workdir=runs/demo --protocols=linear,ridge,linear_sgd_views

Protocols: knn; linear (logistic regression by L-BFGS); few (ridge on a few labels a
class); ridge (on all labels); linear_sgd and linear_lars (a layer trained on cached
features, many learning rates at once); linear_sgd_views and linear_lars_views (the
same on augmented views). The encoder is frozen in all of them, batch norm too.

Beside the encoder stand the raw pixels and, for a workdir, the same encoder before
its first step. Writes evaluation.json and evaluation.md, and for images in memory
views.png and neighbours.png, into the workdir or --output.
"""

import sys

from absl import flags

from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow


def define(values):
    """The tool's flags."""
    texts = {
        "workdir": "Folder of a run; its data and sizes are taken from there.",
        "encoder": "Instead of --workdir: an export's folder, zoo:NAME, a Keras file.",
        "data": "Labelled images; those of the run if unset.",
        "split": "Split the probes learn on; the run's if unset.",
        "test_split": "Split that is tested on; the run's if unset.",
        "data_dir": "Folder of prepared tfds data sets.",
        "output": "Folder for the results; the workdir if unset.",
    }
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_list(
        "protocols",
        ["knn", "linear", "few"],
        "Protocols to run, in this order.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "l2_values",
        "fast",
        ["fast", "paper"],
        "Penalties that linear chooses from: 17, or the paper's 45.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "linear_epochs", 90, "Epochs of a trained linear layer.", flag_values=values
    )
    flags.DEFINE_integer(
        "linear_batch_size",
        256,
        "Images a step of a trained linear layer.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "linear_learning_rates",
        None,
        "Learning rates at batch 256 that "
        "a trained linear layer chooses from; 13 from 0.0001 to 100 if "
        "unset.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "views_recipe",
        "finetune",
        "Recipe of the augmented views of a trained linear layer.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "image_size_pixels",
        None,
        "Height and width of the images as the encoder sees them; the run's if unset.",
        flag_values=values,
    )
    flags.DEFINE_integer("batch_size", 256, "Images a step.", flag_values=values)
    flags.DEFINE_integer("k", 20, "Neighbours that vote.", flag_values=values)
    flags.DEFINE_float(
        "temperature", 0.07, "Temperature of the votes.", flag_values=values
    )
    flags.DEFINE_integer(
        "per_class",
        10,
        "Labels a class of the few-label probe; 0 leaves it out.",
        flag_values=values,
    )
    flags.DEFINE_integer("draws", 5, "Draws of the few labels.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of the draws.", flag_values=values)


def run(values):
    """Evaluate as the flags say."""
    path = command_line.one_encoder(values)
    rates = command_line.numbers(values, "linear_learning_rates", float)
    import_tensorflow()
    from simclr_tf.reports import evaluate_and_report
    from simclr_tf.training import Workdir

    if values["workdir"].value:
        Workdir(path).read()  # Whatever else lies there is refused.
    chosen = {
        name: values[name].value
        for name in ("data", "split", "test_split", "data_dir", "image_size_pixels")
    }
    settings = {
        name: values[name].value
        for name in (
            "k",
            "temperature",
            "draws",
            "seed",
            "protocols",
            "l2_values",
            "linear_epochs",
            "linear_batch_size",
            "views_recipe",
        )
    }
    if rates is not None:
        settings["base_learning_rates"] = rates
    evaluate_and_report(
        path,
        chosen={name: value for name, value in chosen.items() if value is not None},
        output=values["output"].value,
        batch_size=values["batch_size"].value,
        command=command_line.typed("evaluate", values),
        per_class=values["per_class"].value or None,
        **settings,
    )


def main(argv=None):
    """Returns the exit code."""
    return command_line.execute(__doc__, define, run, argv)


if __name__ == "__main__":
    sys.exit(main())
