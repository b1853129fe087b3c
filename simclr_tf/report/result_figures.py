"""Figures of results: accuracies with intervals, over labels, and costs over sizes."""

from simclr_tf.benchmarks import spread
from simclr_tf.errors import DataError
from simclr_tf.report.figures import intervals_drawing, trends_drawing
from simclr_tf.report.tables import protocol_title


def accuracies_of(results):
    """Draw an evaluation: each protocol with all representations and intervals.

    Args:
      results: Results of `simclr_tf.evaluation`.

    Returns:
      Drawing.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: there is nothing to draw.
    """
    groups = {}
    for m in results.measurements:
        groups.setdefault(protocol_title(m), {})[m.representation] = interval_of(m)
    return intervals_drawing(groups, f"Accuracy on {results.data}")


def interval_of(measurement):
    """Return (value, low, high) of a measurement: its interval, or one deviation."""
    value = measurement.value
    if measurement.std is not None:
        return value, value - measurement.std, value + measurement.std
    return value, measurement.low_95, measurement.high_95


def accuracy_against_labels(results):
    """Draw a fine-tuning: accuracy over the number of labels, a line a method.

    Args:
      results: Results with measurements of the protocol "fine_tune".

    Returns:
      Drawing.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: there is nothing to draw.
    """
    lines, seeds = {}, 1
    for m in results.measurements:
        error = m.std or 0.0
        lines.setdefault(m.representation, []).append(
            (m.num_train_labels, m.value, error, error)
        )
        seeds = max(seeds, len(m.settings["seeds"]))
    return trends_drawing(
        lines,
        f"{results.data}, {seeds} seed{'s' * (seeds > 1)}",
        x_label="labelled training images",
        y_label="accuracy on the test images (%)",
    )


def compares_sizes(record):
    """Tell whether a line of a benchmark has at least two sizes."""
    sizes = {}
    for row in record.rows:
        if row.line is not None:
            sizes.setdefault(row.line, set()).add(row.size)
    return any(len(found) > 1 for found in sizes.values())


def cost_figure(record):
    """Draw the cost of one unit over the size, both logarithmic, with quartiles.

    Args:
      record: Record of `simclr_tf.benchmarks` whose rows have lines and sizes.

    Returns:
      Drawing.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: no sizes are compared.
    """
    if not compares_sizes(record):
        raise DataError(f"The benchmark {record.benchmark} compared no sizes.")
    lines = {}
    for row in record.rows:
        if row.line is not None:
            cost = spread([1e6 * second / row.units for second in row.seconds])
            below, above = cost.median - cost.low, cost.high - cost.median
            point = (row.size, cost.median, below, above)
            lines.setdefault(row.line, []).append(point)
    return trends_drawing(
        lines,
        f"{record.benchmark}: cost over size",
        x_label="size",
        y_label=f"µs for one of the {record.rows[0].unit}",
        is_logarithmic=(True, True),
    )
