"""Curves, maps and matrices as SVG for a page: colours are the page's own.

Every mark has its words as a title, which browsers show on hover; colours are classes
(`s0` to `s9`), so that one drawing serves light and dark pages.
"""

from xml.sax.saxutils import escape

import numpy as np

from simclr_tf.extras import import_extra
from simclr_tf.report.blocks import class_name

NUM_COLORS = 10
_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 34
_POINTS_A_LINE = 150
_MAP = 360


def curves_svg(curves):
    """A line chart.

    Args:
      curves: Curves; values that are not finite are left out.

    Returns:
      str, an `<svg>` element.

    Raises:
      ConfigError: matplotlib, which chooses the ticks, is missing.

    Example:
      >>> from simclr_tf.report.blocks import Curves
      >>> curves_svg(Curves("loss", {"run": ([1, 2], [3.0, 2.5])})).count("<title>")
      2
    """
    lines = {name: _thinned(*line) for name, line in curves.lines.items()}
    every = np.concatenate([np.stack(line) for line in lines.values()], axis=1)
    x_ticks, y_ticks = _ticks(every[0], whole=True), _ticks(every[1])
    if curves.value_format.endswith("%") and every[1].size and every[1].max() <= 1:
        y_ticks = np.unique(np.minimum(y_ticks, 1))  # No share is above one.

    def place(x, y):
        return (
            _LEFT + _share(x, x_ticks) * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - _share(y, y_ticks) * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{_quoted(curves.title)}">'
    ]
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" class="end">'
            f"{_number(tick, y_ticks, curves.value_format)}</text>"
        )
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" class="middle">'
            f"{tick:g}</text>"
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 5}" '
        f'class="middle">{escape(curves.x_label)}</text>'
    )
    for number, (name, (xs, ys)) in enumerate(lines.items()):
        parts.append(_line(number, name, xs, ys, place, curves))
    return "".join([*parts, "</svg>"])


def map_svg(title, maps):
    """One plane of a FeatureMaps: a dot an image, with its number for thumbnails.

    Args:
      title: str, a key of `maps.places`.
      maps: FeatureMaps.

    Returns:
      str, an `<svg>` element.
    """
    places = np.asarray(maps.places[title], np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (_MAP - 20) / max(float((high - low).max()), 1e-12)
    # The smaller extent stands in the middle; y grows upwards.
    offset = (_MAP - (high - low) * scale) / 2
    spots = (places - low) * scale + offset
    parts = [
        f'<svg class="chart map" viewBox="0 0 {_MAP} {_MAP}" role="img" '
        f'aria-label="{_quoted(title)}">'
    ]
    for index, (x, y) in enumerate(spots):
        label = -1 if maps.labels is None else int(maps.labels[index])
        words = maps.names[index]
        if maps.labels is not None:
            words = f"{class_name(label, maps.classes)} · {words}"
        parts.append(
            f'<g class="{mark_class(label)}" data-i="{index}">'
            f"{_mark(label, x, _MAP - y)}<title>{escape(words)}</title></g>"
        )
    return "".join([*parts, "</svg>"])


def matrix_svg(matrix):
    """A confusion matrix: shares of each true class by darkness, counts as text.

    Args:
      matrix: Matrix.

    Returns:
      str, an `<svg>` element.
    """
    counts, names = np.asarray(matrix.counts), matrix.names
    left, top, cell, size = 96, 84, 30, len(names)
    # The last name leans out to the right.
    width, height = left + size * cell + 60, top + size * cell + 4
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'style="min-width:{min(width, 640)}px" '
        f'aria-label="{_quoted(matrix.title)}">'
    ]
    for number, name in enumerate(names):
        y, x = top + (number + 0.6) * cell, left + (number + 0.6) * cell
        parts.append(
            f'<text x="{left - 6}" y="{y:.0f}" class="end">{_short(name)}'
            f'</text><text x="{x:.0f}" y="{top - 6}" class="start" transform='
            f'"rotate(-55 {x:.0f} {top - 6})">{_short(name)}</text>'
        )
    for row, column in np.ndindex(*counts.shape):
        x, y, share = left + column * cell, top + row * cell, shares[row, column]
        color = "hit" if row == column else "miss"
        words = (
            f"{names[row]} taken for {names[column]}: {counts[row, column]:,} of "
            f"{counts[row].sum():,} ({share:.1%})"
        )
        ink = "on" if share > 0.5 else "off"
        parts.append(
            f'<g><rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" '
            f'class="{color}" fill-opacity="{0.04 + 0.9 * share:.2f}"/>'
            f'<text x="{x + cell / 2:.0f}" y="{y + cell / 2 + 4:.0f}" '
            f'class="middle {ink}">{counts[row, column] or ""}</text>'
            f"<title>{escape(words)}</title></g>"
        )
    return "".join([*parts, "</svg>"])


def mark_class(label):
    """The CSS class of a label's colour.

    Example:
      >>> mark_class(12), mark_class(-1)
      ('s2', 'none')
    """
    return f"s{label % NUM_COLORS}" if label >= 0 else "none"


def legend_svg(label):
    """The mark of a label alone, for a legend.

    Example:
      >>> "circle" in legend_svg(3), "rect" in legend_svg(13)
      (True, True)
    """
    return (
        f'<svg class="mark" viewBox="0 0 10 10" aria-hidden="true">'
        f'<g class="{mark_class(label)}">{_mark(label, 5, 5)}</g></svg>'
    )


def _mark(label, x, y):
    """Dots for the first ten classes, squares, diamonds and rings for the next."""
    kind = max(label, 0) // NUM_COLORS % 4
    if kind in (0, 3):
        ring = ' class="ring"' if kind else ""
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2"{ring}/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if kind == 2 else ""
    return f'<rect x="{x - 2.8:.1f}" y="{y - 2.8:.1f}" width="5.6" height="5.6"{turn}/>'


def _line(number, name, xs, ys, place, curves):
    spots = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    color = f"s{number % NUM_COLORS}"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    # Beyond ten lines the colours come again, dashed.
    dashed = " dashed" if number >= NUM_COLORS else ""
    parts = [f'<polyline class="line {color}{dashed}" points="{points}"/>']
    dot = 2.5 if len(xs) <= 40 else 0.1
    for (x, y), at, value in zip(spots, xs, ys, strict=True):
        words = f"{name}: {value:{curves.value_format}} at {curves.x_label} {at:g}"
        parts.append(
            f'<g class="{color}"><circle cx="{x:.1f}" cy="{y:.1f}" r="{dot}"/>'
            f'<circle class="touch" cx="{x:.1f}" cy="{y:.1f}" r="7"/>'
            f"<title>{escape(words)}</title></g>"
        )
    return "".join(parts)


def _thinned(xs, ys):
    """Finite points, at most `_POINTS_A_LINE` and the last."""
    xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    finite = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[finite], ys[finite]
    kept = np.unique(np.linspace(0, max(len(xs) - 1, 0), _POINTS_A_LINE).astype(int))
    return (xs[kept], ys[kept]) if len(xs) else (xs, ys)


def _ticks(values, whole=False):
    """Round numbers that enclose the values, at least two."""
    ticker = import_extra("matplotlib.ticker", extra="report", wanted="The report")
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    if low == high:
        low, high = low - abs(low) * 0.1 - 1e-9, high + abs(high) * 0.1 + 1e-9
    found = ticker.MaxNLocator(
        nbins=5, integer=whole, steps=[1, 2, 2.5, 5, 10]
    ).tick_values(low, high)
    return found if len(found) > 1 else np.array([low, high])


def _share(value, ticks):
    return (value - ticks[0]) / (ticks[-1] - ticks[0])


def _number(tick, ticks, value_format):
    """A tick with as many digits as it and the others need to be told exactly."""
    percent = value_format.endswith("%")
    if not percent and max(abs(ticks[0]), abs(ticks[-1])) < 1e-2:
        return f"{tick:.3g}"
    values = np.asarray(ticks) * (100 if percent else 1)
    tolerance = 1e-3 * abs(values[1] - values[0])
    digits = next(
        digits
        for digits in range(9)
        if digits == 8 or np.all(np.abs(np.round(values, digits) - values) <= tolerance)
    )
    return f"{tick * (100 if percent else 1):,.{digits}f}{'%' if percent else ''}"


def _short(name):
    return escape(name if len(name) <= 14 else f"{name[:13]}…")


def _quoted(text):
    return escape(text, {'"': "&quot;"})
