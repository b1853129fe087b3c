"""Several runs side by side: results, what differs, curves, cost."""

from simclr_tf.config.schema import flatten
from simclr_tf.evaluation import EVALUATION_FILE, THIS_ENCODER
from simclr_tf.report.blocks import PageSection, Table, Text
from simclr_tf.report.figures import intervals_drawing
from simclr_tf.report.result_figures import interval_of
from simclr_tf.report.run_sections import cost_rows, curve_section, end_section
from simclr_tf.report.tables import protocol_title, value_text

_TITLES = {
    "evaluation.json": "Evaluation, side by side",
    "finetune.json": "Fine-tuning, side by side",
    "transfer.json": "Transfer, side by side",
}


def comparison_sections(runs, learned=()):
    """Make the sections of a comparison page.

    Args:
      runs: list of RunFiles, at least two, with names that tell them apart.
      learned: sections on images, shown after the results.

    Returns:
      list of PageSection.
    """
    sections = [_results(runs, file, title) for file, title in _TITLES.items()]
    if not any(sections):
        note = (
            "None of the runs has been evaluated: `simclr-tf evaluate --workdir=RUN`."
        )
        sections = [PageSection("Evaluation", (Text(note, "note"),))]
    sections += [
        _options(runs),
        *learned,
        curve_section(runs),
        end_section(runs),
        _cost(runs),
    ]
    return [section for section in sections if section is not None]


def differing_options(configs):
    """Find the options in which configs differ.

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
        return PageSection(title, (Text("All options are the same."),))
    return PageSection(
        title,
        (Table(("option", *(run.name for run in runs)), rows, "l" * (len(runs) + 1)),),
    )


def _results(runs, file, title):
    """Tabulate one file of results: a row a measurement, a column a run."""
    cells = {}
    for place, run in enumerate(runs):
        if file in run.results:
            for found in run.results[file].measurements:
                cells.setdefault(_row(found, file), {})[place] = found
    if not cells:
        return None
    rows = tuple(
        (*key, *(value_text(found.get(place)) for place in range(len(runs))))
        for key, found in cells.items()
    )
    best = frozenset(
        (row, 2 + place)
        for row, found in enumerate(cells.values())
        for place, m in found.items()
        if m.value == max(other.value for other in found.values())
        and m.value > min(other.value for other in found.values())
    )
    groups = {
        what: {runs[place].name: interval_of(m) for place, m in found.items()}
        for (what, of), found in cells.items()
        if of == THIS_ENCODER
    }
    blocks = []
    if groups:
        blocks.append(intervals_drawing(groups, f"Accuracy of {THIS_ENCODER}"))
    blocks += [
        Table(
            ("accuracy (%)", "of", *(run.name for run in runs)),
            rows,
            "ll" + "r" * len(runs),
            best,
        ),
        Text(
            "The best of a row is marked. In brackets: 95 % intervals, as the test "
            "images are a sample; ± is the standard deviation over draws or seeds. "
            "Where intervals overlap, the order may be chance."
        ),
    ]
    sets = {run.results[file].data for run in runs if file in run.results}
    if len(sets) > 1:
        blocks.append(
            Text(
                "These results are not of the same test images: "
                f"{', '.join(sorted(sets))}.",
                "warning",
            )
        )
    return PageSection(title, tuple(blocks))


def _row(found, file):
    """Identify a row: (what was measured how, of which representation)."""
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
    return PageSection(
        "Environment and cost", (Table(("", *(run.name for run in runs)), tuple(rows)),)
    )
