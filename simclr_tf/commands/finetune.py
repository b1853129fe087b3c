"""The verb `finetune`: from a path to numbers, a table, a plot and the classifiers."""

import re
import time

from simclr_tf.commands.encoder_at import open_encoder, output_folder
from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.config.schema import to_dict
from simclr_tf.data import LabelBudget
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.distribution import is_chief, make_strategy
from simclr_tf.errors import ConfigError, require
from simclr_tf.evaluation import FINETUNE_FILE, Results, write_results
from simclr_tf.evaluation.few_labels import FewLabels
from simclr_tf.evaluation.run_log import RunLog
from simclr_tf.export import plain_copy
from simclr_tf.files import whole_file, write_atomically
from simclr_tf.locks import sole_writer
from simclr_tf.markdown import prose
from simclr_tf.report.result_figures import accuracy_against_labels
from simclr_tf.report.result_tables import finetune_markdown
from simclr_tf.training.classifier_records import add_record
from simclr_tf.training.keras_files import CLASSIFIER_FILE
from simclr_tf.training.workdir import versions

RUNS_FILE = "finetune_runs.jsonl"
CLASSIFIERS = "classifiers"
LOCK_FILE = ".finetune.lock"  # A pretraining may go on beside it.


def finetune_and_report(options, *, encoder=None, command=None, say=print):
    """Fine-tune an encoder on few labels; compare training from scratch and a probe.

    Writes finetune.json (the schema of every evaluation), finetune.md, finetune.png,
    and for each budget the network fine-tuned with the first seed,
    classifiers/BUDGET/classifier.keras. Each finished training is kept in
    finetune_runs.jsonl: the same call continues after an interruption, and further
    budgets, methods and seeds are added to the earlier results.

    Args:
      options: simclr_tf.config.finetune.FineTuneOptions.
      encoder: keras.Model, for a workdir whose encoder is a Python object.
      command: str, for the record.
      say: function that prints a line (str).

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: invalid options or data.
    """
    started = time.monotonic()
    strategy = one_process_strategy(options, "Fine-tuning")
    folder = output_folder(options)
    chosen = options.chosen()
    place = open_encoder(options, chosen, encoder)
    head = place.projection_head(options.head_layer)
    left_out = folder / f"finetune_{LEFT_OUT_FILE}"
    with left_out_listed(left_out):
        train, test, data = labelled_data(
            place.config.data, chosen, channels=place.channels, may_hold_out=True
        )
    with (
        sole_writer(folder / LOCK_FILE, f"The folder of results {folder}"),
        left_out_listed(left_out, train, test),
    ):
        protocol = FewLabels(
            place.encoder,
            train,
            test,
            config=options.training(),
            projection_head=head,
            image_size_pixels=data.image_size_pixels,
            strategy=strategy,
        )
        log = RunLog(folder / RUNS_FILE, {"data": data.source, **protocol.identity()})
        measurements = protocol.measure(
            [LabelBudget(**budget) for budget in options.budgets()],
            epochs=options.epochs_of_budgets(),
            methods=options.methods,
            seeds=options.all_seeds(),
            log=log,
            on_run=lambda run: say(
                f"{run.budget:>10}  {run.representation:24}seed {run.seed}  "
                f"{run.accuracy_percent:5.1f} %  {run.wall_seconds:.0f} s"
            ),
            on_network=lambda budget, network: _save_classifier(
                folder, budget, network, protocol.record
            ),
        )
        results = Results(
            data.source,
            place.name,
            measurements,
            command=command,
            options=to_dict(options),
            versions=versions(),
            wall_seconds=round(time.monotonic() - started, 3),
            step=place.step,
        )
        write_results(folder / FINETUNE_FILE, results)
        table = finetune_markdown(results)
        title = f"# Fine-tuning of {prose(place.name)}"
        write_atomically(folder / "finetune.md", f"{title}\n\n{table}\n")
        say(f"\n{table}\n")
        try:
            accuracy_against_labels(results).save(folder / "finetune.png")
        except ConfigError as error:  # matplotlib is an extra.
            say(f"No plot: {error}")
    return results


def one_process_strategy(options, what):
    """Make the strategy of `finetune` and `transfer`, which train in one process.

    Args:
      options: FineTuneOptions or TransferOptions.
      what: str, the work, for the message.

    Raises:
      ConfigError: several workers are set up.
    """
    strategy = make_strategy(options.strategy, replicas=options.replicas)
    require(
        is_chief(strategy),
        f"{what} runs in one process: use --strategy=mirrored for several GPUs.",
        strategy="multi_worker",
    )
    return strategy


def classifier_folder(folder, budget):
    """Name the folder that holds the network fine-tuned on a LabelBudget."""
    name = re.sub(r"[^\w.]+", "_", budget.title().replace("%", "percent")).strip("_")
    return folder / CLASSIFIERS / name


def _save_classifier(folder, budget, network, record):
    """Write a fine-tuned network and its record as a Keras file, atomically."""
    path = classifier_folder(folder, budget) / CLASSIFIER_FILE
    with whole_file(path, make_folder=True) as temporary:
        plain_copy(network).save(temporary)
        add_record(temporary, record)
