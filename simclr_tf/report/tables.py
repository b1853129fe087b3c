"""Tables: measured values as text, and any table as Markdown."""

import math

import tabulate

from simclr_tf.errors import require
from simclr_tf.markdown import Markdown, escaped, prose, table_cell
from simclr_tf.report.blocks import Table

PROTOCOL_TITLES = {
    "weighted_knn": "kNN",
    "linear_probe": "linear",
    "few_label_ridge": "{per_class} labels a class",
    "ridge": "ridge",
    "linear_sgd": "linear, SGD",
    "linear_lars": "linear, LARS",
    "linear_sgd_views": "linear, SGD on views",
    "linear_lars_views": "linear, LARS on views",
}


def markdown_table(header, rows, align=None):
    """Write a Markdown table with padded columns.

    Args:
      header: list of str, titles of the columns.
      rows: list of lists, cells; anything with a `str`. What is not `Markdown` is
        escaped.
      align: str of "l" and "r", one a column; default: first left, others right.

    Returns:
      str, without a newline at the end.

    Raises:
      ConfigError: a row or `align` of another length than the header.

    Example:
      >>> print(markdown_table(["name", "kNN"], [["raw", 66.7], ["ours", 73]]))
      | name   |   kNN |
      |:-------|------:|
      | raw    |  66.7 |
      | ours   |    73 |
    """
    align = align or "l" + "r" * (len(header) - 1)
    cells = [[table_cell(cell) for cell in row] for row in (header, *rows)]
    for row in (*cells, align):
        require(
            len(row) == len(header),
            f"Every row of a table has {len(header)} cells.",
            row=row,
        )
    return tabulate.tabulate(
        cells[1:],
        cells[0],
        "pipe",
        disable_numparse=True,
        colalign=["right" if side == "r" else "left" for side in align],
    )


def markdown_of_table(table):
    """Write a Table as Markdown; the cells that are marked as best are bold."""
    rows = [
        [
            Markdown(f"**{escaped(cell)}**") if (number, column) in table.best else cell
            for column, cell in enumerate(row)
        ]
        for number, row in enumerate(table.rows)
    ]
    return markdown_table(list(table.header), rows, table.sides)


def markdown_of(blocks):
    """Write tables and paragraphs as Markdown, with empty lines between them.

    Example:
      >>> print(markdown_of([Table(("a",), (("b",),))]))
      | a   |
      |:----|
      | b   |
    """
    return "\n\n".join(
        markdown_of_table(block) if isinstance(block, Table) else prose(block.text)
        for block in blocks
    )


def number_text(value):
    """Format a measured number: four digits, or a large whole number in full.

    Args:
      value: int or float.

    Returns:
      str.

    Example:
      >>> number_text(43.4999), number_text(700_480.0), number_text(float("inf"))
      ('43.5', '700,480', 'inf')
    """
    if math.isfinite(value) and abs(value) >= 1000 and value == int(value):
        return f"{int(value):,}"
    return f"{value:.4g}"


def protocol_title(measurement):
    """Return the title of a protocol in tables.

    Args:
      measurement: Measurement.

    Returns:
      str, e.g. "10 labels a class"; the protocol's own name if it has no title.

    Example:
      >>> from simclr_tf.evaluation import Measurement
      >>> protocol_title(Measurement("x", "few_label_ridge", "accuracy_percent", 1.0,
      ...                            1, 1, settings={"per_class": 10}))
      '10 labels a class'
    """
    title = PROTOCOL_TITLES.get(measurement.protocol)
    if title is None:  # Anyone's words: no format.
        return measurement.protocol
    return title.format(per_class=measurement.settings.get("per_class", "some"))


def value_text(measurement):
    """Format a value with its uncertainty, where that is known; "" for None.

    Args:
      measurement: Measurement or None.

    Returns:
      str: "73.2 (71.4 to 74.9)", "66.2 ± 1.8" or "66.2".

    Example:
      >>> from simclr_tf.evaluation import Measurement
      >>> value_text(Measurement("x", "few_label_ridge", "accuracy_percent", 66.16,
      ...                        2534, 120, std=1.76))
      '66.2 ± 1.8'
    """
    if measurement is None:
        return ""
    text = f"{measurement.value:.1f}"
    if measurement.std is not None:
        return f"{text} ± {measurement.std:.1f}"
    if measurement.low_95 is not None:
        return f"{text} ({measurement.low_95:.1f} to {measurement.high_95:.1f})"
    return text
