"""Measure a frozen encoder on labelled images: kNN, linear, and few labels.

simclr-tf evaluate --workdir=runs/demo
simclr-tf evaluate --encoder=exported_models/demo --data=folder:LABELLED
simclr-tf evaluate --workdir=runs/demo --protocols=linear,ridge,linear_sgd_views

Protocols: knn; linear (logistic regression by L-BFGS); few (ridge on a few labels a
class); ridge (on all labels); linear_sgd and linear_lars (a layer trained on cached
features, many learning rates at once); linear_sgd_views and linear_lars_views (the
same on augmented views). The encoder is frozen in all of them, batch norm too.

The table compares the encoder with raw pixels and, for a workdir, with the same encoder
before its first step. Writes evaluation.json and evaluation.md into the workdir or
--output; for images in memory also neighbours.png and, for a workdir, views.png.
"""

import sys

from simclr_tf.config.evaluate import EvaluateOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (EvaluateOptions,)


def run(given):
    """Run the evaluation that the flags describe."""
    options = given.make(EvaluateOptions)
    import_tensorflow()
    from simclr_tf.commands.evaluate import evaluate_and_report

    evaluate_and_report(options, command=given.command)
    command_line.done(
        command_line.results_folder(options),
        "finetune",
        workdir=options.workdir,
        encoder=options.encoder,
        **options.chosen(),
    )


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("evaluate", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
