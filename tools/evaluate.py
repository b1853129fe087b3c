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
from simclr_tf.config.schema import to_dict
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (EvaluateOptions,)


def run(given):
    """Run the evaluation that the flags describe."""
    options = given.make(EvaluateOptions)
    import_tensorflow()
    from simclr_tf.commands.evaluate import evaluate_and_report
    from simclr_tf.training import Workdir

    if options.workdir:
        Workdir(options.workdir).read()  # Fail early if this is not a run's workdir.
    rates = options.linear.base_learning_rates
    evaluate_and_report(
        options.path,
        chosen=options.chosen(),
        output=options.output,
        batch_size=options.batch_size,
        views_recipe=options.linear.recipe,
        command=given.command,
        options=to_dict(options),
        protocols=options.protocols,
        k=options.knn.k,
        temperature=options.knn.temperature,
        l2_values=options.linear.l2_values,
        linear_epochs=options.linear.epochs,
        linear_batch_size=options.linear.batch_size,
        per_class=options.few.labels_per_class or None,
        draws=options.few.draws,
        seed=options.seed,
        **({} if rates is None else {"base_learning_rates": rates}),
    )
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
