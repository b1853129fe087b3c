"""Fine-tune an encoder on few labels; compare training from scratch and a probe.

simclr-tf finetune --workdir=runs/demo --label_fraction=0.01,0.1,1.0 --seeds=5
simclr-tf finetune --encoder=exported_models/NAME --data=folder:LABELLED
    --labels_per_class=10 --base_learning_rate=0.1

All methods use the same labels, drawn evenly from all classes; a smaller draw is part
of a larger one. Writes finetune.json, finetune.md, finetune.png and the fine-tuned
networks (classifiers/BUDGET/classifier.keras) into the workdir or --output. The same
command continues after an interruption. Further budgets are added to the results; with
more --seeds only the new ones are trained, and a budget's row is of the seeds of the
last call.
"""

import sys

from simclr_tf.config.few_label_options import FineTuneOptions
from simclr_tf.tools import command_line
from simclr_tf.tools.quiet_tensorflow import import_tensorflow

SECTIONS = (FineTuneOptions,)


def run(given):
    """Run the fine-tuning that the flags describe."""
    options = given.make(FineTuneOptions)
    import_tensorflow()
    from simclr_tf.commands.finetune import classifier_folder, finetune_and_report
    from simclr_tf.data import LabelBudget

    results = finetune_and_report(options, command=given.command)
    folder = command_line.results_folder(options)
    if "fine_tune" not in options.methods:
        export = command_line.export_of(options.workdir) if options.workdir else {}
        command_line.done(folder, "export" if export else None, **export)
        return
    budgets = [LabelBudget(**budget) for budget in options.budgets()]
    made = [classifier_folder(folder, budget) for budget in budgets]
    # A budget may have been too small to train on.
    classifier = next((path for path in reversed(made) if path.is_dir()), made[-1])
    if options.workdir:
        export = command_line.export_of(options.workdir, classifier)
        print(f"To export it: {command_line.command_text('export', **export)}")
    command_line.done(
        folder,
        "predict",
        classifier=classifier,
        data=results.data,  # To be replaced by new images.
        data_dir=options.data_dir,
        output=command_line.new_path("predictions.csv"),
    )


def main(argv=None):
    """Run the tool; return the exit code."""
    return command_line.execute("finetune", __doc__, SECTIONS, run, argv)


if __name__ == "__main__":
    sys.exit(main())
