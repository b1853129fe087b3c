"""Markdown tables: aligned in the file, so that they read well there too."""

from simclr_tf.errors import require
from simclr_tf.evaluation import RAW_PIXELS, THIS_ENCODER

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
    """A Markdown table with padded columns.

    Args:
      header: list of str, titles of the columns.
      rows: list of lists, cells; anything with a `str`.
      align: str of "l" and "r", one a column; default: first left, others right.

    Returns:
      str, without a newline at the end.

    Raises:
      ConfigError: a row or `align` of another length than the header.

    Example:
      >>> print(markdown_table(["name", "kNN"], [["raw", 66.7], ["ours", 73]]))
      | name |  kNN |
      |:-----|-----:|
      | raw  | 66.7 |
      | ours |   73 |
    """
    align = align or "l" + "r" * (len(header) - 1)
    rows = [[str(cell).replace("|", "\\|") for cell in row] for row in [header, *rows]]
    for row in [*rows, align]:
        require(
            len(row) == len(header),
            f"Every row of a table has {len(header)} cells.",
            row=row,
        )
    widths = [
        max(3, *(len(cell) for cell in column)) for column in zip(*rows, strict=True)
    ]
    lines = [
        "| "
        + " | ".join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, align, strict=True)
        )
        + " |"
        for row in rows
    ]
    rule = "|".join(
        "-" * (width + 1) + ":" if side == "r" else ":" + "-" * (width + 1)
        for width, side in zip(widths, align, strict=True)
    )
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def number_text(value):
    """A measured number for a table: four digits, or a large whole number in full.

    Args:
      value: int or float.

    Returns:
      str.

    Example:
      >>> number_text(43.4999), number_text(700_480.0), number_text(0.00123456)
      ('43.5', '700,480', '0.001235')
    """
    if abs(value) >= 1000 and value == int(value):
        return f"{int(value):,}"
    return f"{value:.4g}"


def results_markdown(results):
    """The table of an evaluation: representations against protocols, in percent.

    Single runs carry their 95 % interval, means over draws their standard deviation.
    A last row says how far this encoder is above the raw pixels.

    Args:
      results: Results of `simclr_tf.evaluation`.

    Returns:
      str, Markdown: the table, then a line that explains it.

    Example:
      >>> from simclr_tf.evaluation import Measurement, Results
      >>> found = Measurement("this encoder", "weighted_knn", "accuracy_percent",
      ...                     73.2, 2534, 6007, low_95=71.4, high_95=74.9)
      >>> print(results_markdown(Results("mine", "resnet18", (found,))).splitlines()[2])
      | this encoder | 73.2 (71.4 to 74.9) |
    """
    protocols = {m.protocol: m for m in results.measurements}
    representations = dict.fromkeys(m.representation for m in results.measurements)
    rows = [
        [name, *(value_text(results.find(name, p)) for p in protocols)]
        for name in representations
    ]
    if {RAW_PIXELS, THIS_ENCODER} <= set(representations):
        rows.append(["gain over raw pixels", *(_gain(results, p) for p in protocols)])
    header = [
        "accuracy (%)",
        *(protocol_title(measurement) for measurement in protocols.values()),
    ]
    return f"{markdown_table(header, rows)}\n\n{_legend(results, protocols)}"


def protocol_title(measurement):
    """How a protocol is called in tables.

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
    title = PROTOCOL_TITLES.get(measurement.protocol, measurement.protocol)
    return title.format(**measurement.settings)


def value_text(measurement):
    """A value with what is known of its uncertainty; "" for None.

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


def _gain(results, protocol):
    pair = [results.find(name, protocol) for name in (THIS_ENCODER, RAW_PIXELS)]
    if None in pair:
        return ""
    return f"{pair[0].value - pair[1].value:+.1f}"


def _legend(results, protocols):
    """What the columns are, with the settings that matter."""
    parts = []
    if (knn := protocols.get("weighted_knn")) is not None and knn.settings:
        k, temperature = knn.settings["k"], knn.settings["temperature"]
        parts.append(f"kNN: {k} neighbours, temperature {temperature}")
    if "linear_probe" in protocols:
        parts.append(
            "linear: logistic regression, L2 chosen on held-out training images"
        )
    if (few := protocols.get("few_label_ridge")) is not None and few.settings:
        parts.append(f"{protocol_title(few)}: ridge, {few.settings['draws']} draws")
    if "ridge" in protocols:
        parts.append("ridge: on all labels, penalty by leave-one-out")
    parts.extend(_trained_layers(protocols))
    sizes = sorted({m.num_test for m in results.measurements})
    tested = ", ".join(f"{size:,}" for size in sizes)
    parts.append(f"{tested} test images of {results.data}; in brackets 95 % intervals")
    return "; ".join(parts) + "."


def _trained_layers(protocols):
    """What the linear layers trained by steps have in common."""
    trained = [m for m in protocols.values() if "base_learning_rate" in m.settings]
    if trained:
        titles = [protocol_title(m).removeprefix("linear, ") for m in trained]
        yield (
            f"{', '.join(titles)}: {trained[0].settings['epochs']} epochs, learning "
            "rate chosen on held-out training images, then trained on all"
        )
    if any(m.protocol.endswith("_views") for m in trained):
        yield "views: random crops and flips of the training images"
