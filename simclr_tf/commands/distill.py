"""Distillation from a config to a folder: networks, numbers, table."""

import dataclasses
import json
import pathlib

from simclr_tf.config.schema import to_dict
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed, write_left_out
from simclr_tf.evaluation import DISTILL_FILE, distill, write_results
from simclr_tf.export.publication import new_folder
from simclr_tf.files import write_atomically
from simclr_tf.markdown import prose
from simclr_tf.report.result_tables import distill_markdown
from simclr_tf.training.classifier_records import add_record
from simclr_tf.training.keras_files import ENCODER_FILE, STUDENT_FILE
from simclr_tf.training.resumable_fit import TrainingFolder
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, versions


def distill_and_report(options, *, command=None, say=print):
    """Train a student, test it and its teacher, and write the results.

    The folder appears under its name when all files are written: student.keras (images
    to logits), encoder.keras (images to features, for `load_encoder`), config.json,
    distill.json (the schema of every evaluation) and distill.md. Until then the
    training is in OUTPUT_checkpoints, from which the same call continues.

    Args:
      options: simclr_tf.config.distill.DistillOptions.
      command: str, for the record.
      say: function that prints a line (str).

    Returns:
      simclr_tf.evaluation.Distilled.

    Raises:
      SimCLRError: invalid options or data; nothing is left behind.
      Interrupted: a signal; the training is saved.
    """
    config = options.config()
    output = pathlib.Path(options.output).expanduser()
    beside = output.with_name(f"{output.name}_{LEFT_OUT_FILE}")
    checkpoints = TrainingFolder(
        output.with_name(f"{output.name}_{CHECKPOINTS}"),
        options.checkpoint_seconds,
        say,
    )
    with new_folder(options.output) as folder:
        with left_out_listed(beside):  # A refused start leaves no folder.
            found = distill(config, command=command, say=say, folder=checkpoints)
        write_left_out(folder / LEFT_OUT_FILE, *found.sources)
        table = distill_markdown(found.results)
        record = {
            "distillation": to_dict(config),
            **dataclasses.asdict(found.record),
            "images": found.images,
            "history": found.history,
            "versions": versions(),
            "command": command,
        }
        found.student.save(folder / STUDENT_FILE)
        add_record(folder / STUDENT_FILE, found.record)
        found.encoder.save(folder / ENCODER_FILE)
        text = json.dumps(record, indent=1) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        write_results(folder / DISTILL_FILE, found.results)
        text = f"# Distilled from {prose(config.teacher)}\n\n{table}\n"
        write_atomically(folder / "distill.md", text)
    checkpoints.remove()
    say(f"\n{table}\n")
    return found
