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

from simclr_tf.config.evaluate import EvaluateOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (EvaluateOptions,)


def run(given):
    """Evaluate as the flags say."""
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
    """Returns the exit code."""
    return command_line.execute("evaluate", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
