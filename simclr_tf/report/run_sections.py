"""The sections of a report that need nothing but a run's files."""

from simclr_tf.config import Config
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.schema import differences
from simclr_tf.evaluation import FINETUNE_FILE, TRANSFER_FILE
from simclr_tf.export.card import wall_time_text
from simclr_tf.objectives import figures_of
from simclr_tf.report.blocks import Curves, Picture, Section, Table, Text
from simclr_tf.report.markdown_blocks import markdown_blocks
from simclr_tf.report.result_sections import result_sections, seconds_of
from simclr_tf.report.result_tables import transfer_markdown
from simclr_tf.training.warm_start import read_warm_start


def configuration_section(run):
    """What differs from the preset, and what the run started from.

    Args:
      run: RunFiles.

    Returns:
      Section.
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
    return Section("Configuration", tuple(blocks))


def curve_section(runs):
    """The training curves of one run, or of several over each other.

    Args:
      runs: list of RunFiles.

    Returns:
      Section; it says so where there is no curve.
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
        return Section(
            "Training curves",
            (Text("No epoch has ended yet: there is no curve.", "note"),),
        )
    return Section("Training curves", tuple(charts))


def end_section(runs):
    """The figures of the last epoch, a column a run.

    Args:
      runs: list of RunFiles.

    Returns:
      Section, or None where no epoch has ended.
    """
    rows = [
        (
            figure.title,
            *(
                format(run.last[figure.name], figure.form)
                if figure.name in run.last
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
    return Section("At the end", (Table(header, tuple(rows)),))


def evaluation_sections(run):
    """The tables of evaluation, fine-tuning and transfer, with their intervals.

    Args:
      run: RunFiles.

    Returns:
      list of Section.
    """
    sections = []
    for file, results in run.results.items():
        parts = (
            [{"title": "Transfer", "markdown": transfer_markdown(results)}]
            if file == TRANSFER_FILE
            else result_sections(results)
        )
        for part in parts:
            blocks = list(markdown_blocks(part["markdown"]))
            if run.step is not None and results.step not in (None, run.step):
                blocks.insert(
                    0,
                    Text(
                        f"{file} is of step {results.step:,}; the newest checkpoint is "
                        f"of step {run.step:,}: evaluate again.",
                        "warning",
                    ),
                )
            picture = run.workdir.path / "finetune.png"
            if file == FINETUNE_FILE and picture.is_file():
                blocks.append(Picture("Accuracy against labels", picture.read_bytes()))
            sections.append(Section(part["title"], tuple(blocks)))
    if run.problems:
        sections.append(
            Section(
                "Results that cannot be read",
                tuple(Text(problem, "warning") for problem in run.problems),
            )
        )
    if not sections:
        sections.append(
            Section(
                "Evaluation",
                (
                    Text(
                        "Not evaluated yet: `simclr-tf evaluate --workdir="
                        f"{run.workdir.path}`.",
                        "note",
                    ),
                ),
            )
        )
    return sections


def environment_section(run, facts=()):
    """Versions, and what the run cost.

    Args:
      run: RunFiles.
      facts: rows (what, value) about the encoder.

    Returns:
      Section.
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
    return Section(
        "Environment and cost",
        (
            Table(("", "this run"), tuple(rows), "lr"),
            Table(("package", "version"), versions, "lr"),
        ),
    )


def cost_rows(run):
    """Rows (what, value) of what training cost.

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
    """The figures of all runs, each once, in the order in which they are shown."""
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
