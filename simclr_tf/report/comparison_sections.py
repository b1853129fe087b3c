"""Several runs side by side: options, curves, figures, results."""

from simclr_tf.config.schema import flatten
from simclr_tf.evaluation import EVALUATION_FILE
from simclr_tf.report.blocks import Section, Table, Text
from simclr_tf.report.run_sections import cost_rows, curve_section, end_section
from simclr_tf.report.tables import protocol_title, value_text

_TITLES = {
    "evaluation.json": "Evaluation, side by side",
    "finetune.json": "Fine-tuning, side by side",
    "transfer.json": "Transfer, side by side",
}


def comparison_sections(runs):
    """The sections of a comparison page.

    Args:
      runs: list of RunFiles, at least two, with names that tell them apart.

    Returns:
      list of Section.
    """
    sections = [_options(runs), curve_section(runs), end_section(runs)]
    sections += [_results(runs, file, title) for file, title in _TITLES.items()]
    sections.append(_cost(runs))
    return [section for section in sections if section is not None]


def differing_options(configs):
    """The options in which configs differ.

    Args:
      configs: list of Config.

    Returns:
      list of (name, value of each config).

    Example:
      >>> from simclr_tf.config import Config
      >>> differing_options([Config(epochs=3), Config(epochs=5)])
      [('epochs', 3, 5)]
    """
    values = [flatten(config) for config in configs]
    return [
        (name, *(each[name] for each in values))
        for name in values[0]
        if any(each[name] != values[0][name] for each in values)
    ]


def _options(runs):
    rows = tuple(
        (name, *map(str, values))
        for name, *values in differing_options([run.config for run in runs])
    )
    title = "What differs"
    if not rows:
        return Section(title, (Text("All options are the same."),))
    return Section(
        title,
        (Table(("option", *(run.name for run in runs)), rows, "l" * (len(runs) + 1)),),
    )


def _results(runs, file, title):
    """One table of a file of results: a row a measurement, a column a run."""
    cells = {}
    for place, run in enumerate(runs):
        if file in run.results:
            for found in run.results[file].measurements:
                cells.setdefault(_row(found, file), {})[place] = value_text(found)
    if not cells:
        return None
    rows = tuple(
        (*key, *(found.get(place, "") for place in range(len(runs))))
        for key, found in cells.items()
    )
    blocks = [
        Table(
            ("accuracy (%)", "of", *(run.name for run in runs)),
            rows,
            "ll" + "r" * len(runs),
        ),
        Text(
            "In brackets 95 % intervals for the test images being a sample; "
            "± is the standard deviation over draws or seeds."
        ),
    ]
    sets = {run.results[file].data for run in runs if file in run.results}
    if len(sets) > 1:
        blocks.append(
            Text(
                "These were not measured on the same images: "
                f"{', '.join(sorted(sets))}.",
                "warning",
            )
        )
    return Section(title, tuple(blocks))


def _row(found, file):
    """(what was measured how, of which representation)."""
    if file == EVALUATION_FILE:
        return protocol_title(found), found.representation
    place = found.settings.get("data") or found.settings.get("budget", found.protocol)
    return place, found.representation


def _cost(runs):
    found = [dict(cost_rows(run)) for run in runs]
    names = list(dict.fromkeys(name for rows in found for name in rows))
    rows = [(name, *(each.get(name, "") for each in found)) for name in names]
    versions = [run.record.get("versions", {}) for run in runs]
    rows += [
        (name, *(str(each.get(name, "")) for each in versions))
        for name in dict.fromkeys(name for each in versions for name in each)
    ]
    return Section(
        "Environment and cost", (Table(("", *(run.name for run in runs)), tuple(rows)),)
    )
