"""All charts: curves, maps, confusion matrices, intervals, trends."""

import itertools

import numpy as np

from simclr_tf.errors import DataError
from simclr_tf.report.blocks import class_name
from simclr_tf.report.drawing import (
    CORRECT,
    DASHES,
    FAINT,
    INCORRECT,
    INK,
    MARKERS,
    PAPER,
    SERIES,
    STYLES,
    Drawing,
    plain,
    short,
)

_POINTS_A_LINE = 150
_MOST_IN_LEGEND = 40


def lines_drawing(curves, *, has_legend=True):
    """Draw Curves: lines over one axis, each point with its value.

    Args:
      curves: Curves; values that are not finite are left out.
      has_legend: bool; False where the chart before it names the same lines.

    Returns:
      Drawing.

    Raises:
      ConfigError: matplotlib is missing.

    Example:
      >>> from simclr_tf.report.blocks import Curves
      >>> curves = Curves("loss", {"run": ([1, 2], [3.0, 2.5])})
      >>> lines_drawing(curves).svg().count("<title>")
      2
    """

    def draw(figure, drawing):
        axes = figure.add_subplot(title=plain(curves.title), xlabel=curves.x_label)
        for number, (name, line) in enumerate(curves.lines.items()):
            xs, ys = _thinned(*line)
            axes.plot(
                xs,
                ys,
                label=short(name, 40),
                color=SERIES[number % len(SERIES)],
                linestyle=DASHES[number // len(SERIES) % len(DASHES)],
                marker="o" if len(xs) <= 40 else None,
                markersize=3,
            )
            words = (
                f"{name}: {y:{curves.value_format}} at {curves.x_label} {x:g}"
                for x, y in zip(xs, ys, strict=True)
            )
            _name_points(axes, drawing, xs, ys, words)
        first, last = axes.dataLim.intervalx
        if last - first < 1:  # With one epoch the axis would have fractions.
            axes.set_xlim(first - 1, last + 1)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        if curves.value_format.endswith("%"):
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        if has_legend:
            _legend(figure, axes, curves.lines)

    rows = -(-len(curves.lines) // 2) if has_legend and len(curves.lines) > 1 else 0
    return Drawing(5.0, 2.9 + 0.18 * rows, draw, curves.title)


def map_drawing(maps, title):
    """Draw one plane of a FeatureMaps: a mark an image, coloured by its label.

    Args:
      maps: FeatureMaps.
      title: str, a key of `maps.places`.

    Returns:
      Drawing; each mark has the number of its image as `data-i`, for thumbnails, and
      the name of its class as `data-group`.
    """
    number = len(maps.images)
    labels = np.full(number, -1) if maps.labels is None else np.asarray(maps.labels)
    groups = [class_name(label, maps.classes) for label in labels]
    words = [
        name if maps.labels is None else f"{group} · {name}"
        for group, name in zip(groups, maps.names, strict=True)
    ]
    known = np.unique(labels)

    def draw(figure, drawing):
        axes = figure.add_subplot(title=plain(title), xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
        for label in known:
            rows = np.flatnonzero(labels == label)
            marks = axes.scatter(
                *np.asarray(maps.places[title], np.float64)[rows].T,
                s=16,
                linewidths=0,
                color=FAINT if label < 0 else SERIES[label % len(SERIES)],
                marker=MARKERS[max(label, 0) // len(SERIES) % len(MARKERS)],
                label=short(groups[rows[0]]),
            )
            drawing.name_marks(
                marks,
                [words[row] for row in rows],
                i=rows,
                group=[plain(groups[row]) for row in rows],
            )
        if maps.labels is not None and len(known) <= _MOST_IN_LEGEND:
            figure.legend(
                *axes.get_legend_handles_labels(),
                loc="outside lower center",
                ncols=3,
                markerscale=1.6,
            )

    return Drawing(5.0, 5.0 + 0.18 * min(len(known), 40) / 3, draw, title)


def matrix_drawing(matrix):
    """Draw a confusion matrix: counts, darker the larger the share of the true class.

    Args:
      matrix: Matrix.

    Returns:
      Drawing.
    """
    counts, names = np.asarray(matrix.counts), matrix.names
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(names)

    def draw(figure, drawing):
        axes = figure.add_subplot(
            title=plain(matrix.title), xlabel="predicted", ylabel="true"
        )
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        titles = [short(name, 14) for name in names]
        axes.set_xticks(range(size), titles, rotation=55, ha="right")
        axes.set_yticks(range(size), titles)
        for row, column in np.ndindex(*counts.shape):
            share = shares[row, column]
            (cell,) = axes.bar(
                column,
                0.96,
                0.96,
                row - 0.48,
                color=CORRECT if row == column else INCORRECT,
                alpha=0.04 + 0.9 * share,
            )
            drawing.name_marks(
                cell,
                [
                    f"{names[row]} taken for {names[column]}: {counts[row, column]:,} "
                    f"of {counts[row].sum():,} ({share:.1%})"
                ],
            )
            if counts[row, column]:
                color = PAPER if share > 0.5 else INK
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color=color,
                )

    side = 1.7 + 0.36 * size
    return Drawing(max(3.2, side), max(3.2, side), draw, matrix.title)


def intervals_drawing(groups, title, *, x_label="accuracy (%)"):
    """Draw numbers as dots with intervals, in groups below each other.

    Args:
      groups: dict of group title to dict of name to (value, low, high); low and high
        may be None. A name has one colour in all groups.
      title: str.
      x_label: str.

    Returns:
      Drawing.

    Raises:
      DataError: there is nothing to draw.
    """
    names = list(dict.fromkeys(itertools.chain(*groups.values())))
    if not names:
        raise DataError("A figure of results needs at least one measurement.")
    step = 0.62 / max(len(names), 1)
    count = sum(len(found) for found in groups.values())

    def draw(figure, drawing):
        axes = figure.add_subplot(title=plain(title), xlabel=x_label)
        axes.grid(axis="y", visible=False)
        for number, name in enumerate(names):
            found = [
                (place + (number - (len(names) - 1) / 2) * step, values[name])
                for place, values in enumerate(groups.values())
                if name in values
            ]
            ys, points = zip(*found, strict=True)
            xs = [value for value, _, _ in points]
            around = [
                [0 if low is None else value - low for value, low, _ in points],
                [0 if high is None else high - value for value, _, high in points],
            ]
            color, marker, _ = STYLES[number % len(STYLES)]
            axes.errorbar(
                xs,
                ys,
                xerr=np.maximum(around, 0),
                fmt=marker,
                color=color,
                label=short(name, 40),
            )
            words = (f"{name}: {_interval_text(*point)}" for point in points)
            _name_points(axes, drawing, xs, ys, words)
        axes.set_yticks(range(len(groups)), [short(group, 30) for group in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        _legend(figure, axes, names)

    height = 1.0 + 0.2 * count + 0.12 * len(groups) + 0.18 * -(-len(names) // 2)
    return Drawing(5.0, max(height, 1.9), draw, title)


def _interval_text(value, low, high):
    return f"{value:.1f}" if low is None else f"{value:.1f} ({low:.1f} to {high:.1f})"


def trends_drawing(lines, title, *, x_label, y_label, is_logarithmic=(True, False)):
    """Draw numbers with errors over a size, a line a method.

    Args:
      lines: dict of name to list of (x, y, below, above): the error bar reaches from
        y - below to y + above.
      title, x_label, y_label: str.
      is_logarithmic: (bool, bool), of the axes.

    Returns:
      Drawing.

    Raises:
      DataError: there is nothing to draw.

    Example:
      >>> lines = {"ours": [(60, 70.0, 1.0, 1.0), (600, 80.0, 0.5, 0.5)]}
      >>> trends_drawing(lines, "mine", x_label="labels", y_label="%").png()[1:4]
      b'PNG'
    """
    if not any(lines.values()):
        raise DataError("A figure of trends needs at least one measurement.")

    def draw(figure, drawing):
        axes = figure.add_subplot(title=plain(title), xlabel=x_label, ylabel=y_label)
        for number, (name, points) in enumerate(lines.items()):
            xs, ys, below, above = zip(*sorted(points), strict=True)
            color, marker, dashes = STYLES[number % len(STYLES)]
            axes.errorbar(
                xs,
                ys,
                yerr=(below, above),
                label=short(name, 40),
                color=color,
                marker=marker,
                linestyle=dashes,
            )
            words = (f"{name}: {y:.4g} at {x:,g}" for x, y, *_ in sorted(points))
            _name_points(axes, drawing, xs, ys, words)
        axes.set(
            xscale="log" if is_logarithmic[0] else "linear",
            yscale="log" if is_logarithmic[1] else "linear",
        )
        if is_logarithmic[0]:
            ticks = sorted({x for points in lines.values() for x, *_ in points})
            axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
            axes.xaxis.minorticks_off()
        _legend(figure, axes, lines)

    return Drawing(5.0, 3.6, draw, title)


def _name_points(axes, drawing, xs, ys, words):
    """Add hover text to points, on invisible marks large enough to touch."""
    touch = axes.plot(xs, ys, "o", color=INK, markersize=12, alpha=0)[0]
    drawing.name_marks(touch, list(words))


def _legend(figure, axes, lines):
    """Name the lines below the axes, where there are several."""
    if len(lines) > 1:
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)


def _thinned(xs, ys):
    """Keep finite points, at most `_POINTS_A_LINE` and the last."""
    xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    finite = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[finite], ys[finite]
    kept = np.unique(np.linspace(0, max(len(xs) - 1, 0), _POINTS_A_LINE).astype(int))
    return (xs[kept], ys[kept]) if len(xs) else (xs, ys)
