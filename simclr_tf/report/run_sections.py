"""The sections of a report that need only the files of a run."""

from simclr_tf.config import Config
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.schema import differences
from simclr_tf.evaluation import TRANSFER_FILE
from simclr_tf.export.card import wall_time_text
from simclr_tf.objectives import figures_of
from simclr_tf.report.blocks import Curves, PageSection, Table, Text
from simclr_tf.report.result_figures import accuracies_of, accuracy_against_labels
from simclr_tf.report.result_sections import (
    FINE_TUNING,
    FROZEN,
    results_as_blocks,
    seconds_of,
)
from simclr_tf.report.result_tables import transfer_table
from simclr_tf.training.warm_start import read_warm_start

_DRAWINGS = {FROZEN: accuracies_of, FINE_TUNING: accuracy_against_labels}


def configuration_section(run):
    """Show what differs from the preset, and what the run started from.

    Args:
      run: RunFiles.

    Returns:
      PageSection.
    """
    config = run.config
    base = get_preset(config.preset) if config.preset in PRESETS else Config()
    called = (
        f"the preset `{config.preset}`"
        if config.preset in PRESETS
        else ("the defaults")
    )
    changed = differences(base, config)
    blocks = [Text(f"Command: `{run.record.get('command')}`")]
    if changed:
        blocks += [
            Text(f"What differs from {called}:"),
            Table(
                ("option", "preset", "this run"),
                tuple((name, str(old), str(new)) for name, old, new in changed),
                "lll",
            ),
        ]
    else:
        blocks.append(Text(f"Everything is as in {called}."))
    started = read_warm_start(run.workdir.path)
    if started is not None:
        blocks.append(
            Text(
                f"Started from `{started['source']}`: {'; '.join(started['summary'])}."
            )
        )
    return PageSection("Configuration", tuple(blocks))


def curve_section(runs):
    """Draw the training curves of one run, or of several in one chart.

    Args:
      runs: list of RunFiles.

    Returns:
      PageSection; without a curve, a note.
    """
    charts = []
    for figure in _figures_of(runs):
        key, lines = figure.name, {}
        for run in runs:
            points = [
                (_epoch(record), record[key])
                for record in run.records
                if isinstance(record.get(key), (int, float))
            ]
            if points:
                lines[run.name] = tuple(zip(*points, strict=True))
        if lines:
            charts.append(Curves(figure.title, lines, value_format=figure.form))
    if not charts:
        return PageSection(
            "Training curves",
            (Text("No epoch has ended yet: there is no curve.", "note"),),
        )
    return PageSection("Training curves", tuple(charts))


def end_section(runs):
    """Tabulate the figures of the last epoch, a column a run.

    Args:
      runs: list of RunFiles.

    Returns:
      PageSection, or None where no epoch has ended.
    """
    rows = [
        (
            figure.title,
            *(
                format(run.last[figure.name], figure.form)
                if run.last.get(figure.name) is not None
                else ""
                for run in runs
            ),
        )
        for figure in _figures_of(runs)
        if any(figure.name in run.last for run in runs)
    ]
    if not rows:
        return None
    header = ("figure", *(run.name for run in runs))
    return PageSection("At the end", (Table(header, tuple(rows)),))


def evaluation_sections(run):
    """Show figures and tables of evaluation, fine-tuning and transfer, with intervals.

    Args:
      run: RunFiles.

    Returns:
      list of PageSection.
    """
    sections = []
    for file, results in run.results.items():
        for title, part, blocks in (
            [("Transfer", results, transfer_table(results))]
            if file == TRANSFER_FILE
            else results_as_blocks(results)
        ):
            blocks = list(blocks)
            if title in _DRAWINGS:
                blocks.insert(0, _DRAWINGS[title](part))
            if run.step is not None and results.step not in (None, run.step):
                warning = (
                    f"{file} is of step {results.step:,}; the newest checkpoint is "
                    f"of step {run.step:,}: evaluate again."
                )
                blocks.insert(0, Text(warning, "warning"))
            sections.append(PageSection(title, tuple(blocks)))
    if run.problems:
        problems = tuple(Text(problem, "warning") for problem in run.problems)
        sections.append(PageSection("Results that cannot be read", problems))
    if not sections:
        note = f"Not evaluated yet: `simclr-tf evaluate --workdir={run.workdir.path}`."
        sections.append(PageSection("Evaluation", (Text(note, "note"),)))
    return sections


def environment_section(run, facts=()):
    """List the versions, and the cost of the run.

    Args:
      run: RunFiles.
      facts: rows (what, value) about the encoder.

    Returns:
      PageSection.
    """
    rows = [
        ("images", _images(run.record["data"])),
        *cost_rows(run),
        *facts,
        *(
            (f"{file}, wall time", wall_time_text(seconds_of(results)))
            for file, results in run.results.items()
            if seconds_of(results)
        ),
    ]
    versions = tuple(
        (name, str(version)) for name, version in run.record.get("versions", {}).items()
    )
    return PageSection(
        "Environment and cost",
        (
            Table(("", "this run"), tuple(rows), "lr"),
            Table(("package", "version"), versions, "lr"),
        ),
    )


def cost_rows(run):
    """List the cost of training as rows (what, value).

    Args:
      run: RunFiles.

    Returns:
      list of pairs of str.
    """
    step = run.last.get("step", run.step or 0)
    rows = [
        ("steps", f"{step:,}"),
        ("images seen", f"{step * run.config.global_batch_size:,}"),
    ]
    if run.seconds:
        rows.append(("training time", wall_time_text(run.seconds)))
    for figure in _figures_of([run]):
        if figure.name not in ("images_per_second", "data_wait_fraction"):
            continue
        found = [r[figure.name] for r in run.records if figure.name in r]
        if found:
            mean = format(sum(found) / len(found), figure.form)
            rows.append((f"{figure.title}, mean", mean))
    config = run.config
    rows += [("precision", config.precision), ("strategy", config.strategy)]
    return rows


def _figures_of(runs):
    """List the figures of all runs, each once, in the order in which they are shown."""
    return list(
        dict.fromkeys(
            figure for run in runs for figure in figures_of(run.config.objective)
        )
    )


def _epoch(record):
    return record.get("epoch", record["step"])


def _images(data):
    number = data["num_examples"]
    images = "a stream" if number is None else f"{number:,} images"
    return f"{data.get('name', '')}: {images}, {data['channels']} channel(s)"
