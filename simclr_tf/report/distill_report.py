"""Distillation from a config to a folder: networks, numbers, table."""

import json

from simclr_tf.config.schema import to_dict
from simclr_tf.evaluation import DISTILL_FILE, distill, write_results
from simclr_tf.evaluation.distillation import AGREE, CLASSIFY, STUDENT, TEACHER
from simclr_tf.export.publication import check_new, new_folder
from simclr_tf.report.tables import markdown_table, value_text
from simclr_tf.training.keras_files import ENCODER_FILE, STUDENT_FILE
from simclr_tf.training.workdir import CONFIG_FILE, versions


def distill_and_report(config, output, *, command=None, say=print):
    """Train a student, test it beside its teacher, and write everything down.

    The folder gets its name when all is there: student.keras (images to logits),
    encoder.keras (images to features, for `load_encoder`), config.json, distill.json
    (the schema of every evaluation) and distill.md.

    Args:
      config: DistillConfig.
      output: path of the folder to make.
      command: str, for the record.
      say: function of a str.

    Returns:
      simclr_tf.evaluation.Distilled.

    Raises:
      SimCLRError: what the caller can put right; nothing is left behind.
    """
    output = check_new(output)
    found = distill(config, command=command, say=say)
    table = distill_markdown(found.results)
    record = {
        "distillation": to_dict(config),
        "images": found.images,
        "history": found.history,
        "versions": versions(),
        "command": command,
    }
    with new_folder(output) as folder:
        found.student.save(folder / STUDENT_FILE)
        found.encoder.save(folder / ENCODER_FILE)
        text = json.dumps(record, indent=1) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        write_results(folder / DISTILL_FILE, found.results)
        text = f"# Distilled from {config.teacher}\n\n{table}\n"
        (folder / "distill.md").write_text(text, encoding="utf-8")
    say(f"\n{table}\n")
    say(f"Written to {output}.")
    return found


def distill_markdown(results):
    """The table of a distillation: teacher and student side by side.

    Args:
      results: Results of `simclr_tf.evaluation.distill`.

    Returns:
      str, Markdown: the table, then a line that explains it.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> cost = {"parameters": 1000, "flops_per_image": 2e6}
      >>> rows = [Measurement(name, "classify", "accuracy_percent", 80.0, 100, 0,
      ...                     settings=cost) for name in ("teacher", "student")]
      >>> rows.append(Measurement(
      ...     "student", "agreement_with_teacher", "agreement_percent", 90.0, 100, 0,
      ...     settings={"data": "mine", "num_images": 500, "num_train_labels": 0}))
      >>> table = distill_markdown(Results("mine", "t", tuple(rows)))
      >>> " ".join(table.splitlines()[3].split())
      '| student | 80.0 | 90.0 | 1,000 | 2.0 |'
    """
    agreement = results.find(STUDENT, AGREE)
    rows = []
    for name in (TEACHER, STUDENT):
        found = results.find(name, CLASSIFY)
        rows.append(
            [
                name,
                value_text(found),
                value_text(agreement) if name == STUDENT else "",
                f"{found.settings['parameters']:,}",
                f"{found.settings['flops_per_image'] / 1e6:,.1f}",
            ]
        )
    header = [
        "network",
        "accuracy (%)",
        "as the teacher (%)",
        "parameters",
        "MFLOPs an image",
    ]
    training = agreement.settings
    return (
        f"{markdown_table(header, rows)}\n\n"
        f"{agreement.num_test:,} test images of {results.data}, in brackets 95 % "
        f"intervals; the student learned from {training['num_images']:,} images of "
        f"{training['data']} with {training['num_train_labels']:,} labels."
    )
