"""The page study.md: our numbers beside the paper's, the differences, every cell."""

from simclr_tf.config.image_size import size_text
from simclr_tf.config.moved import flat_with_present_names
from simclr_tf.config.schema import guest_options
from simclr_tf.config.shared_choices import ENCODERS
from simclr_tf.markdown import code_span, prose
from simclr_tf.models.encoders import family_of
from simclr_tf.report.blocks import Table, Text
from simclr_tf.report.tables import markdown_of, markdown_of_table, number_text
from simclr_tf.studies.rows import DONE, FAILED, PENDING, rows_of
from simclr_tf.studies.study import BUDGETS

PAPER = "paper"
_MEAN = "mean of the row"


def study_markdown(study, cells, record):
    """Write the page of a study.

    Args:
      study: Study.
      cells: tuple of Cell.
      record: dict of study.json.

    Returns:
      str, Markdown.
    """
    rows = rows_of(cells, record["cells"])
    statuses = [summary["status"] for summary in record["cells"]]
    minutes = sum(s["wall_seconds"] or 0 for s in record["cells"]) / 60
    seeds = len({summary["seed"] for summary in record["cells"]})
    lines = [
        f"# {study.title}",
        "",
        study.question,
        "",
        f"Command: {code_span(record['command'])}",
        "",
        f"{statuses.count(DONE)} of {len(statuses)} cells done, "
        f"{statuses.count(FAILED)} failed, {statuses.count(PENDING)} pending; "
        f"{minutes:.1f} minutes; {seeds} seed{'s, mean ± std' * (seeds > 1)}.",
        "",
        prose(
            f"Budget {record['budget']}: {BUDGETS.get(record['budget'], '')}. All "
            f"cells: {in_common(cells, record['base'])}."
        ),
        "",
        "## Numbers",
        "",
        markdown_of(numbers_of(study, rows)),
        "",
        f"The paper: {study.paper.source}. {study.paper.note}",
        "",
        "## Cells",
        "",
        markdown_of_table(_cells_table(record["cells"])),
        "",
    ]
    return "\n".join(lines)


def in_common(cells, base):
    """Name the data, network and training options that all cells share.

    Args:
      cells: tuple of Cell.
      base: dict of dotted option to value.

    Returns:
      str, e.g. "npz:mine.npz, views of 32 px, ResNet-18 (0.25x), batch 128, ...".
    """
    base = flat_with_present_names(base)
    varied = {option for cell in cells for option in cell.changes}
    if any(option.startswith("encoder.") for option in varied):
        network = base["encoder.name"]
    else:
        network = _network(base)
    lengths = {"steps": "{} steps", "minutes": "{:g} minutes", "epochs": "{} epochs"}
    length = next((name for name in lengths if base.get(name) is not None), "epochs")
    size = base.get("data.image_size_pixels")
    parts = {
        "data.source": "{}",
        "data.image_size_pixels": f"views of {size and size_text(size, ' x ')} px",
        "encoder.name": network,
        "global_batch_size": "batch {}",
        length: lengths[length],
        "optimizer.name": "{}",
        "optimizer.base_learning_rate": "base learning rate {:g}",
        "objective.temperature": "temperature {:g}",
        "augment.recipe": "recipe {}",
        "augment.crop_area_min_fraction": "crops from {:g} of the area",
        "augment.color_strength": "colour strength {:g}",
    }
    if "objective.name" in varied:
        del parts["objective.temperature"]
    return ", ".join(
        text.format(base[option])
        for option, text in parts.items()
        if option not in varied and base.get(option) is not None
    )


def _network(base):
    """Describe the encoder of a flat config in a few words."""
    options = guest_options(
        ENCODERS,
        {
            name.removeprefix("encoder."): value
            for name, value in base.items()
            if name.startswith("encoder.")
        },
    )
    return family_of(options).describe(options, base.get("data.image_size_pixels"))


def numbers_of(study, rows):
    """Tabulate our numbers and the paper's, side by side or in a second table.

    Args:
      study: Study.
      rows: list of StudyValue.

    Returns:
      list of simclr_tf.report.blocks.Table and Text.
    """
    most = max((row.count for row in rows), default=0)
    ours = {(row.series, row.x): row for row in rows if row.x is not None}
    levels = [row for row in rows if row.x is None]
    remarks = [Text(f"Linear probe (%): {levels_text(levels)}.")] if levels else []
    paper = study.paper.numbers
    if study.figure.kind == "heat_map":
        tables = [_matrix(study, ours, lambda row: _text(row, most), "ours")]
        if paper:
            tables.append(_matrix(study, paper, lambda value: f"{value:g}", PAPER))
        return [*tables, *remarks]
    shared = {series for series, _ in ours}
    xs = list(dict.fromkeys(x for _, x in ours))
    xs += [x for series, x in paper if series in shared and x not in xs]
    if all(isinstance(x, (int, float)) for x in xs):
        xs.sort()
    columns = []
    for series in dict.fromkeys(series for series, _ in ours):
        columns.append((series, lambda x, s=series: _text(ours.get((s, x)), most)))
        if any(s == series for s, _ in paper):
            columns.append(
                (f"{series}, {PAPER}", lambda x, s=series: _number(paper.get((s, x))))
            )
    tables = [_table(study, xs, columns)]
    others = list(dict.fromkeys(s for s, _ in paper if s not in shared))
    if others:
        tables.append(
            _table(
                study,
                list(dict.fromkeys(x for s, x in paper if s in others)),
                [
                    (
                        f"{series}, {PAPER}",
                        lambda x, s=series: _number(paper.get((s, x))),
                    )
                    for series in others
                ],
            )
        )
    chosen = [row.cell for row in rows if row.status == DONE and row.choices > 1]
    if chosen:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(chosen))
        tables.append(
            Text(
                "Each number is of the cell that was best on held-out training "
                f"images: {names}."
            )
        )
    return [*tables, *remarks]


def levels_text(levels):
    """Write the values of levels in a line: "raw pixels 39.0, untrained encoder 27.0".

    Args:
      levels: list of StudyValue without x.

    Returns:
      str.
    """
    return ", ".join(f"{row.series} {_text(row, row.count)}" for row in levels)


def row_means(numbers):
    """Average each row of a heat map; a row with a missing number has none.

    Args:
      numbers: dict of (row, column) to float or None.

    Returns:
      dict of row to float or None.

    Example:
      >>> row_means({("a", "x"): 1.0, ("a", "y"): 3.0, ("b", "x"): None})
      {'a': 2.0, 'b': None}
    """
    means = {}
    for row in dict.fromkeys(row for row, _ in numbers):
        values = [value for (r, _), value in numbers.items() if r == row]
        means[row] = None if None in values else sum(values) / len(values)
    return means


def _table(study, xs, columns):
    return Table(
        (study.figure.x_title, *(title for title, _ in columns)),
        tuple(
            (f"{x:g}" if isinstance(x, float) else x, *(cell(x) for _, cell in columns))
            for x in xs
        ),
    )


def _matrix(study, numbers, text, whose):
    columns = list(dict.fromkeys(column for _, column in numbers))
    means = row_means(
        {place: getattr(number, "mean", number) for place, number in numbers.items()}
    )
    return Table(
        (
            f"{whose}: {study.figure.y_title} \\ {study.figure.x_title}",
            *columns,
            _MEAN,
        ),
        tuple(
            (
                row,
                *(
                    text(numbers[row, column]) if (row, column) in numbers else ""
                    for column in columns
                ),
                _number(mean),
            )
            for row, mean in means.items()
        ),
    )


def _text(row, seeds):
    """Write a number; with how many seeds it is of, if others are of more."""
    if row is None:
        return ""
    if row.mean is None:
        return row.status
    digits = 1 if row.mean >= 10 else 2
    text = f"{row.mean:.{digits}f}"
    if row.std is not None:
        text += f" ± {row.std:.{digits}f}"
    if row.count < seeds:
        text += f" ({row.count} seed{'s' * (row.count > 1)})"
    return text


def _number(value):
    return "" if value is None else f"{value:.1f}"


def _cells_table(summaries):
    rows = []
    for summary in summaries:
        values = ", ".join(
            f"{name} {number_text(value)}" for name, value in summary["values"].items()
        )
        seconds = summary["wall_seconds"]
        rows.append(
            (
                summary["name"],
                summary["seed"],
                summary["status"],
                "" if seconds is None else f"{seconds:.0f}",
                " ".join((summary["error"] or values).split()),
            )
        )
    return Table(
        ("cell", "seed", "status", "seconds", "values, or what went wrong"),
        tuple(rows),
        "lrlrl",
    )
