"""The verb `transfer`: one encoder on several labelled data sets."""

import dataclasses
import re
import time

from simclr_tf.commands.encoder_at import (
    open_encoder,
    output_folder,
    write_results_and_table,
)
from simclr_tf.commands.finetune import (
    LOCK_FILE,
    chosen_training,
    one_process_strategy,
    options_line,
)
from simclr_tf.commands.labelled_data import labelled_data, warn_of_small_classes
from simclr_tf.config.image_size import size_text
from simclr_tf.config.schema import to_dict
from simclr_tf.data import LabelBudget
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.errors import DataError, require
from simclr_tf.evaluation import TRANSFER_FILE, Results
from simclr_tf.evaluation.few_labels import FewLabels
from simclr_tf.evaluation.run_log import RunLog
from simclr_tf.locks import sole_writer
from simclr_tf.markdown import prose
from simclr_tf.report.result_tables import transfer_markdown
from simclr_tf.training.resumable_fit import TrainingFolder
from simclr_tf.training.workdir import versions


def transfer_and_report(options, *, encoder=None, command=None, say=print):
    """Measure an encoder on several labelled sets, and compare random weights.

    On each set: a linear probe of the frozen encoder and of an untrained one, the
    encoder fine-tuned, and the same network trained from scratch. Writes transfer.json
    (the schema of every evaluation) and transfer.md after each set, and
    transfer_runs/SET.jsonl, from which the same call continues after an interruption
    (within a training, from transfer_checkpoints). Of a set without a test split a
    fifth of the images is held out, and a line is logged.

    Args:
      options: simclr_tf.config.few_label_options.TransferOptions.
      encoder: keras.Model, for a workdir whose encoder is a Python object.
      command: str, for the record.
      say: function that prints a line (str).

    Returns:
      simclr_tf.evaluation.Results.

    Raises:
      SimCLRError: invalid options or data; no set is left out silently.

    Source: arXiv 2002.05709, section 4.2 "transfer", Table 8 and section B.8.
    """
    started = time.monotonic()
    strategy = one_process_strategy(options, "Transfer")
    folder = output_folder(options)
    chosen = options.chosen()
    place = open_encoder(options, {**chosen, "data": options.datasets[0]}, encoder)
    left_out = folder / f"transfer_{LEFT_OUT_FILE}"
    with left_out_listed(left_out):
        opened = [
            _opened(name, place.config.data, chosen, place.channels)
            for name in options.datasets
        ]
    sources = [source for _, train, test, _ in opened for source in (train, test)]
    with (
        sole_writer(folder / LOCK_FILE, f"The folder of results {folder}"),
        left_out_listed(left_out, *sources),
    ):
        # All sets are checked before the first training: so a typo is found at once.
        sets = _checked(opened, options, place, strategy, folder, say)
        measurements = []
        while sets:  # The features of a set are freed after it.
            measurements += _measured(sets.pop(0), options, folder, say)
            results = Results(
                ", ".join(options.datasets),
                place.name,
                tuple(measurements),
                command=command,
                options=to_dict(options),
                versions=versions(),
                wall_seconds=round(time.monotonic() - started, 3),
                step=place.step,
            )
            write_results_and_table(
                folder / TRANSFER_FILE,
                results,
                f"Transfer of {prose(place.name)}",
                transfer_markdown(results),
                (lambda text: None) if sets else say,
            )
    return results


def _opened(name, options, chosen, channels):
    """Open one set: (name, training images, test images, DataConfig)."""
    options = dataclasses.replace(options, split="train", test_split="test")
    try:
        train, test, data = labelled_data(
            options, {**chosen, "data": name}, channels=channels, may_hold_out=True
        )
    except DataError as error:
        raise error.restated(f"{name}: {error}") from error
    return name, train, test, data


def _checked(opened, options, place, strategy, folder, say):
    """Make what measures each set: (name, FewLabels, RunLog); refuse what cannot be."""
    logs = [folder / "transfer_runs" / f"{_file_name(o[0])}.jsonl" for o in opened]
    require(
        len(set(logs)) == len(logs),
        "The names of the data sets must differ in more than punctuation.",
        datasets=options.datasets,
    )
    training = chosen_training(options, strategy, logs[0], say)
    head = place.projection_head(options.head_layer)
    sets = []
    for (name, train, test, data), path in zip(opened, logs, strict=True):
        protocol = FewLabels(
            place.encoder,
            train,
            test,
            config=training,
            projection_head=head,
            image_size_pixels=data.image_size_pixels,
            strategy=strategy,
        )
        protocol.check(_budgets(options), options.methods, options.all_seeds())
        log = RunLog(path, {"data": name, **protocol.identity()})
        sets.append((name, protocol, log))
    return sets


def _measured(one, options, folder, say):
    """Measure one set: list of Measurement that name it, and what the encoder sees."""
    name, protocol, log = one
    warn_of_small_classes(protocol.train, options.budget().get("per_class") or 0)
    found = protocol.measure(
        _budgets(options),
        methods=options.methods,
        seeds=options.all_seeds(),
        log=log,
        on_budget=lambda _, config: say(f"{name:28}  {options_line(config, options)}"),
        on_run=lambda run: say(
            f"{name:28}  {run.representation:24}  seed {run.seed}  "
            f"{run.accuracy_percent:5.1f} %  {run.wall_seconds:.0f} s"
        ),
        folder=TrainingFolder(
            folder / "transfer_checkpoints", options.checkpoint_seconds, say
        ),
    )
    kind = {1: "grey", 3: "RGB"}.get(
        protocol.train.channels, f"{protocol.train.channels} channels"
    )
    size = size_text(protocol.record.image_size_pixels, " x ")
    settings = {"data": name, "input": f"{size} {kind}"}
    return [dataclasses.replace(m, settings={**m.settings, **settings}) for m in found]


def _budgets(options):
    return [LabelBudget(**options.budget())]


def _file_name(name):
    return re.sub(r"[^\w.-]+", "_", name).strip("_")
