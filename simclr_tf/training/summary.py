"""SUMMARY.md: the configuration and the result of a finished run."""

from simclr_tf.config import Config
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.schema import differences
from simclr_tf.files import write_atomically
from simclr_tf.markdown import code_span, prose, table_cell
from simclr_tf.models.precision_copy import POLICIES
from simclr_tf.objectives import figures_of
from simclr_tf.training.warm_start import read_warm_start
from simclr_tf.training.workdir import SUMMARY_FILE, versions


def write_summary(workdir, config, records, *, command, corrupt=()):
    """Write SUMMARY.md into a workdir.

    Args:
      workdir: Workdir.
      config: Config of the run.
      records: list of dicts, one an epoch, as in metrics.jsonl.
      command: str, the command of the run.
      corrupt: names of images that could not be read.
    """
    last = records[-1] if records else {}
    lines = [
        f"# Pretraining on {prose(config.data.source)}",
        "",
        f"Command: {code_span(command)}",
        "",
        f"{last.get('step', 0):,} steps, "
        f"{sum(r.get('seconds', 0.0) for r in records) / 60:.1f} minutes of training.",
        "",
        "## At the end",
        "",
        "| figure | value |",
        "|---|---:|",
    ]
    for figure in figures_of(config.objective):
        if figure.name in last:
            value = format(last[figure.name], figure.form)
            lines.append(f"| {figure.title} | {value} |")
    started = read_warm_start(workdir.path)
    if started is not None:
        lines += ["", "## Started from", "", code_span(started["source"]), ""]
        lines += [f"- {prose(line)}" for line in started["summary"]]
    lines += ["", *_configuration_lines(config)]
    record = workdir.read()
    for option, said in (
        ("precision", {name: f"Computed in {name}" for name in POLICIES}),
        ("jit_compile", {"true": "Each step compiled by XLA"}),
    ):
        choice = record.get(option)
        if choice is not None and choice["chosen"] in said:
            why = f"(--{option}={choice['asked']}: {choice['because']})"
            lines += ["", prose(f"{said[choice['chosen']]} {why}.")]
    if corrupt:
        lines += ["", f"## {len(corrupt)} images could not be read", ""]
        lines += [f"- {prose(name)}" for name in sorted(corrupt)]
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines += ["", f"Versions: {used}.", ""]
    write_atomically(workdir.path / SUMMARY_FILE, "\n".join(lines))


def _configuration_lines(config):
    base = get_preset(config.preset) if config.preset in PRESETS else Config()
    changed = [
        (name, old, new)
        for name, old, new in differences(base, config)
        if (name, old) not in (("precision", "auto"), ("jit_compile", "auto"))
    ]  # The choices of auto.
    if not changed:
        return [
            f"The preset {code_span(config.preset)}, unchanged "
            "(config.json has it all)."
        ]
    lines = [
        f"## What differs from the preset {code_span(config.preset or 'defaults')}",
        "",
        "| option | preset | this run |",
        "|---|---|---|",
    ]
    return lines + [
        f"| {name} | {table_cell(old)} | {table_cell(new)} |"
        for name, old, new in changed
    ]
