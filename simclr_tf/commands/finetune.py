"""The verb `finetune`: from a path to numbers, a table, a plot and the classifiers."""

import dataclasses
import re
import time

from simclr_tf.commands.encoder_at import (
    open_encoder,
    output_folder,
    write_results_and_table,
)
from simclr_tf.commands.labelled_data import labelled_data, warn_of_small_classes
from simclr_tf.config.few_label_options import STUDENT_METHOD
from simclr_tf.config.schema import to_dict
from simclr_tf.data import LabelBudget
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.distribution import is_chief, make_strategy
from simclr_tf.errors import ConfigError, DataError, require
from simclr_tf.evaluation import FINETUNE_FILE, Results, read_results
from simclr_tf.evaluation.few_labels import FewLabels, cell_name
from simclr_tf.evaluation.run_log import RunLog
from simclr_tf.export import plain_copy
from simclr_tf.export.keras3 import write_keras3_here
from simclr_tf.export.parity import ParityError
from simclr_tf.files import plain_reason, whole_file
from simclr_tf.locks import sole_writer
from simclr_tf.markdown import prose
from simclr_tf.models import split_classifier
from simclr_tf.report.result_figures import accuracy_against_labels
from simclr_tf.report.result_tables import finetune_markdown
from simclr_tf.training.classifier_records import add_record, classifier_record
from simclr_tf.training.keras_files import (
    CLASSIFIER_FILE,
    ENCODER_FILE,
    STUDENT_FILE,
)
from simclr_tf.training.precision import choose_precision
from simclr_tf.training.resumable_fit import TrainingFolder
from simclr_tf.training.workdir import versions

RUNS_FILE = "finetune_runs.jsonl"
CLASSIFIERS = "classifiers"
KERAS3_CLASSIFIER = "classifier_keras3.keras"
TRAININGS = "finetune_checkpoints"
LOCK_FILE = ".finetune.lock"  # A pretraining may go on beside it.
_THEN = " && "  # Between the commands of the rows of one table.


def finetune_and_report(options, *, encoder=None, command=None, say=print):
    """Fine-tune an encoder on few labels; compare training from scratch and a probe.

    Writes finetune.json (the schema of every evaluation), finetune.md, finetune.png,
    and for each budget the network fine-tuned with the first seed,
    classifiers/BUDGET/classifier.keras (Keras 2) and classifier_keras3.keras; with
    `then_distill` also its student, classifiers/BUDGET_student/student.keras, and the
    student's encoder.keras. Each finished training is kept in finetune_runs.jsonl, and
    the present one in finetune_checkpoints: the same call continues after an
    interruption, within a training too. Further budgets and methods are added to the
    earlier results; those that are measured again replace them.

    Args:
      options: simclr_tf.config.few_label_options.FineTuneOptions.
      encoder: keras.Model, for a workdir whose encoder is a Python object.
      command: str, for the record.
      say: function that prints a line (str).

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: invalid options or data.
      Interrupted: a signal; the training is saved.
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
            place.config.data,
            chosen,
            channels=place.channels,
            may_hold_out=True,
            workdir=place.path,
        )
    with (
        sole_writer(folder / LOCK_FILE, f"The folder of results {folder}"),
        left_out_listed(left_out, train, test),
    ):
        protocol = FewLabels(
            place.encoder,
            train,
            test,
            config=chosen_training(options, strategy, folder / RUNS_FILE, say),
            projection_head=head,
            image_size_pixels=data.image_size_pixels,
            strategy=strategy,
        )
        for budget in options.budgets():
            warn_of_small_classes(protocol.train, budget.get("per_class") or 0)
        log = RunLog(folder / RUNS_FILE, {"data": data.source, **protocol.identity()})
        measurements = protocol.measure(
            [LabelBudget(**budget) for budget in options.budgets()],
            epochs=options.epochs_of_budgets(),
            methods=options.methods,
            seeds=options.all_seeds(),
            log=log,
            on_budget=lambda budget, config: say(
                f"{budget.title():>10}  {options_line(config, options)}"
            ),
            on_run=lambda run: say(
                f"{run.budget:>10}  {run.representation:24}seed {run.seed}  "
                f"{run.accuracy_percent:5.1f} %  {run.wall_seconds:.0f} s"
            ),
            on_network=lambda budget, network, method, training: (
                _save_student if method == STUDENT_METHOD else _save_classifier
            )(
                folder,
                budget,
                network,
                dataclasses.replace(protocol.record, training=training),
                say,
            ),
            has_network=lambda budget, method, training: (
                _training_of(folder, budget, method) == training
            ),
            student=options.distill if options.then_distill else None,
            folder=TrainingFolder(folder / TRAININGS, options.checkpoint_seconds, say),
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
            not_measured=protocol.not_measured,
        )
        earlier = earlier_results(folder / FINETUNE_FILE, log, say)
        results = with_earlier(results, earlier)
        title = f"Fine-tuning of {prose(place.name)}"
        table = finetune_markdown(results)
        write_results_and_table(folder / FINETUNE_FILE, results, title, table, say)
        try:
            accuracy_against_labels(results).save(folder / "finetune.png")
        except ConfigError as error:  # matplotlib is an extra.
            say(f"No plot: {error}")
    return results


def with_earlier(results, earlier):
    """Add the rows of a table that were not measured again, ordered by their labels.

    The command becomes those of both, one after the other, as a shell runs them.

    Args:
      results: Results, whose measurements are each of a budget and a method.
      earlier: Results of the same encoder, data and settings, or None.

    Returns:
      Results.
    """
    if earlier is None:
        return results
    new = {cell_name(m) for m in results.measurements}
    rows = [m for m in earlier.measurements if cell_name(m) not in new]
    reasons = {k: why for k, why in earlier.not_measured.items() if k not in new}
    commands = earlier.command.split(_THEN) if rows and earlier.command else []
    rows = sorted([*rows, *results.measurements], key=lambda m: m.num_train_labels)
    return dataclasses.replace(
        results,
        command=results.command
        and _THEN.join(dict.fromkeys([*commands, results.command])),
        measurements=tuple(rows),
        not_measured={**reasons, **results.not_measured},
    )


def earlier_results(path, log, say):
    """Read the results of earlier calls, with those rows whose runs are in the log.

    Args:
      path: pathlib.Path of finetune.json; it need not exist.
      log: RunLog; rows whose runs it does not hold are of other settings, and left out.
      say: function that prints a line (str), if the file cannot be read.

    Returns:
      Results, or None if there is nothing to keep.
    """
    if not path.exists():
        return None
    try:
        found = read_results(path)
        kept = tuple(m for m in found.measurements if log.holds(m))
    except (DataError, KeyError, TypeError, ValueError) as error:
        say(f"The earlier results are not kept: {plain_reason(error)}.")
        return None
    return dataclasses.replace(found, measurements=kept) if kept else None


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


def chosen_training(options, strategy, log, say):
    """Return the FineTuneConfig of a call, with its precision.

    Args:
      options: FineTuneOptions or TransferOptions.
      strategy: tf.distribute.Strategy.
      log: path of the RunLog, whose trainings keep their precision under `auto`.
      say: function that prints a line (str), for a precision that was asked for.
    """
    config = options.training()
    if config.precision == "float32":
        return config
    begun = RunLog.settings_at(log)
    begun = begun.get("precision", "float32") if begun else None
    precision = choose_precision(config.precision, strategy, begun)
    say(precision.line())
    return dataclasses.replace(config, precision=precision.name)


def options_line(config, options):
    """Describe what the number of labels has chosen, with the flags that change it.

    Args:
      config: FineTuneConfig of `for_labels`.
      options: FineTuneOptions or TransferOptions.
    """
    place = "the encoder's features"
    if config.head_layer:
        place = f"layer {config.head_layer} of the projection head"
    kept = f"{100 * config.start_share:.2g} % of the first weights kept"
    names = ["epochs", "base_learning_rate", "head_layer", "start_share"]
    scratch = ""
    if "scratch" in options.methods:
        names += ["scratch_epochs", "scratch_learning_rate"]
        scratch = (
            f"; from scratch {config.scratch_epochs} epochs, learning rate "
            f"{config.scratch_learning_rate:g}"
        )
    flags = [f"--{name}" for name in names if getattr(options, name) is None]
    chosen = f" (chosen for so many labels: {', '.join(flags)})" if flags else ""
    return (
        f"{config.epochs} epochs, learning rate {config.base_learning_rate:g}, a "
        f"classifier on {place}, {kept}{scratch}{chosen}"
    )


def classifier_folder(folder, budget):
    """Name the folder that holds the network fine-tuned on a LabelBudget."""
    name = re.sub(r"[^\w.]+", "_", budget.title().replace("%", "percent")).strip("_")
    return folder / CLASSIFIERS / name


def student_folder(folder, budget):
    """Name the folder of the student of the network of `classifier_folder`."""
    place = classifier_folder(folder, budget)
    return place.with_name(f"{place.name}_student")


def _training_of(folder, budget, method):
    """Name the training of a network that was saved; None if there is none."""
    path = classifier_folder(folder, budget) / CLASSIFIER_FILE
    if method == STUDENT_METHOD:
        path = student_folder(folder, budget) / STUDENT_FILE
    try:
        return classifier_record(path).training
    except (OSError, DataError):
        return None


def _save_student(folder, budget, network, record, say):
    """Write a student with its record, and its encoder, atomically."""
    copy, place = plain_copy(network), student_folder(folder, budget)
    with whole_file(place / STUDENT_FILE, make_folder=True) as temporary:
        copy.save(temporary)
        add_record(temporary, record)
    with whole_file(place / ENCODER_FILE) as temporary:
        split_classifier(copy)[0].save(temporary)


def _save_classifier(folder, budget, network, record, say):
    """Write a fine-tuned network and its record for Keras 2 and Keras 3, atomically."""
    copy = plain_copy(network)
    path = classifier_folder(folder, budget) / CLASSIFIER_FILE
    with whole_file(path, make_folder=True) as temporary:
        copy.save(temporary)
        add_record(temporary, record)
    path = path.with_name(KERAS3_CLASSIFIER)
    path.unlink(missing_ok=True)
    try:
        with whole_file(path) as temporary:
            write_keras3_here(temporary, copy)
            add_record(temporary, record)
    except (ConfigError, ParityError) as error:
        say(f"No {KERAS3_CLASSIFIER}: {error}")
