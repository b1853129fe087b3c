"""The figure of a study: our numbers on the left, the paper's on the right."""

import textwrap

import numpy as np

from simclr_tf.report.drawing import DASHES, FAINT, INK, PANEL, PAPER, STYLES, Drawing
from simclr_tf.studies.rows import DONE, StudyValue
from simclr_tf.studies.study_tables import levels_text, row_means

_MEAN = "mean"
_UPRIGHT = 8  # Places of upright bars; the bars of more lie, to leave room for names.
_ROOM_AMONG_LINES = (
    4  # Series in a legend inside the axes; with more, lines run through it.
)


def study_figure(study, rows, *, ours):
    """Draw a study: our numbers on the left, the paper's on the right.

    Args:
      study: Study.
      rows: list of StudyValue; failed and pending ones are marked.
      ours: str, the data, network and epochs of our numbers.

    Returns:
      simclr_tf.report.drawing.Drawing.

    Raises:
      ConfigError: matplotlib is missing.
    """
    shown = study.figure.series
    levels = [row for row in rows if row.x is None and row.mean is not None]
    rows = [
        row for row in rows if row.x is not None and (not shown or row.series in shown)
    ]
    paper = [
        StudyValue(
            series, x, value, None, 1, "", DONE, position=study.paper.positions.get(x)
        )
        for (series, x), value in study.paper.numbers.items()
        if not shown or series in shown
    ]

    def draw(figure, _):
        draw_side = _DRAWINGS[study.figure.kind]
        left, right = figure.subplots(1, 2)
        styles = _styles(rows, {})
        is_map = study.figure.kind == "heat_map"
        if not is_map:
            _draw_levels(left, levels, lies=_lies(study.figure, rows))
        draw_side(left, study.figure, rows, styles)
        if is_map and levels:
            text = f"linear probe: {levels_text(levels)}"
            left.set_xlabel(f"{study.figure.x_title}\n{text}")
        left.set_title(_wrapped(f"Ours: {ours}", 62), fontsize=9, fontweight="normal")
        if paper:
            draw_side(right, study.figure, paper, _styles(paper, styles))
        else:
            right.axis("off")
            right.text(
                0.5,
                0.6,
                _wrapped(study.paper.note, 52),
                ha="center",
                va="center",
                fontsize=10,
                transform=right.transAxes,
            )
        right.set_title(
            f"The paper: {study.paper.source}", fontsize=9, fontweight="normal"
        )
        figure.suptitle(study.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        if paper:
            figure.supxlabel(
                _wrapped(f"What differs: {study.paper.note}", 190),
                x=0.01,
                ha="left",
                fontsize=7.5,
            )

    size = (12.6, 6.6) if study.figure.kind == "heat_map" else (11.4, 5.2)
    if _lies(study.figure, rows):
        size = (11.4, 2.4 + 0.25 * len({row.x for row in rows}))
    return Drawing(*size, draw, study.title)


def _lies(figure, rows):
    """Tell whether the bars of a figure lie."""
    return figure.kind == "bars" and len({row.x for row in rows}) > _UPRIGHT


def _draw_levels(axes, levels, *, lies):
    """Draw a line across for each level."""
    for row, dashes in zip(levels, DASHES[1:], strict=False):
        (axes.axvline if lies else axes.axhline)(
            row.mean, color=FAINT, linestyle=dashes, linewidth=1, label=row.series
        )


def _heat_map(axes, figure, rows, styles):
    """Draw rows and columns in their order, each with its number, and the row means."""
    names = list(dict.fromkeys(row.series for row in rows))
    columns = list(dict.fromkeys(row.x for row in rows))
    by_place = {(row.series, row.x): row for row in rows}
    means = row_means({place: row.mean for place, row in by_place.items()})
    grid = np.full((len(names), len(columns) + 1), np.nan)
    for (name, column), row in by_place.items():
        grid[names.index(name), columns.index(column)] = (
            np.nan if row.mean is None else row.mean
        )
    for name, mean in means.items():
        grid[names.index(name), -1] = np.nan if mean is None else mean
    axes.set_facecolor(PANEL)
    axes.grid(False)
    image = axes.imshow(grid, cmap="viridis")
    # The means are set apart, because they are not cells.
    axes.axvline(len(columns) - 0.5, color=PAPER, linewidth=4)
    low, high = _range(grid)
    for (y, x), value in np.ndenumerate(grid):
        if np.isnan(value):
            row = by_place.get((names[y], columns[x])) if x < len(columns) else None
            text, color = ("" if row is None else row.status), INK
        else:
            text = f"{value:.1f}"
            # The map has the same colours on dark pages, so the text has too.
            color = "#FEFEFE" if value < low + 0.6 * (high - low) else "#010101"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(
        range(len(columns) + 1), [*columns, _MEAN], rotation=35, ha="right", fontsize=8
    )
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel(figure.x_title)
    axes.set_ylabel(figure.y_title)
    axes.figure.colorbar(image, ax=axes, shrink=0.72, label="linear probe (%)")


def _bars(axes, figure, rows, styles):
    """Draw groups of bars; a missing bar shows its status. Many groups lie."""
    names = list(dict.fromkeys(row.series for row in rows))
    places = list(dict.fromkeys(row.x for row in rows))
    members = {
        x: [n for n in names if any((r.series, r.x) == (n, x) for r in rows)]
        for x in places
    }
    width = 0.82 / max(map(len, members.values()))
    labelled, lies = set(), _lies(figure, rows)
    for row in rows:
        group = members[row.x]
        x = places.index(row.x) + width * (
            group.index(row.series) - (len(group) - 1) / 2
        )
        label = None if row.series in labelled else row.series
        labelled.add(row.series)
        length, beyond = row.mean or 0.0, (row.mean or 0.0) + (row.std or 0.0)
        (axes.barh if lies else axes.bar)(
            x,
            length,
            width * 0.94,
            **{"xerr" if lies else "yerr": row.std},
            label=label,
            color=styles[row.series][0],
            capsize=2,
            error_kw={"linewidth": 1, "ecolor": INK},
        )
        text = row.status if row.mean is None else f"{row.mean:.1f}"
        axes.annotate(
            text,
            (beyond, x) if lies else (x, beyond),
            (2, 0) if lies else (0, 2),
            textcoords="offset points",
            ha="left" if lies else "center",
            va="center" if lies else "bottom",
            fontsize=7,
            rotation=90 if len(rows) > 8 and not lies else 0,
        )
    turned = 20 if 4 < len(places) <= _UPRIGHT else 0
    _finish(axes, figure, legend=False)
    if lies:
        axes.set_yticks(range(len(places)), places, fontsize=8)
        axes.set(xlabel=figure.y_title, ylabel=figure.x_title)
        axes.grid(axis="x", visible=True)
        axes.grid(axis="y", visible=False)
        axes.invert_yaxis()
        axes.margins(x=0.16, y=0.01)
    else:
        axes.set_xticks(
            range(len(places)),
            places,
            fontsize=8,
            rotation=turned,
            ha="right" if turned else "center",
            rotation_mode="anchor",
        )
        axes.margins(y=0.16)
    labels = len(axes.get_legend_handles_labels()[0])
    if labels > 1:  # Bars leave no room among them.
        _legend_below(axes, min(labels, 5), 0.24 if turned else 0.14)


def _lines(axes, figure, rows, styles):
    """Draw one line for each series, with error bars if there are several seeds."""
    places = list(dict.fromkeys(row.x for row in rows))
    is_numeric = all(isinstance(x, (int, float)) for x in places)
    missing = []
    for name in dict.fromkeys(row.series for row in rows):
        color, marker, dashes = styles[name]
        points = []
        for row in (row for row in rows if row.series == name):
            x = row.x if is_numeric else places.index(row.x)
            if row.mean is None:
                missing.append((x, row.status, color))
            else:
                points.append((x, row.mean, _error(row)))
        if is_numeric:
            points.sort()
        xs, means, errors = zip(*points, strict=True) if points else ((), (), ())
        axes.errorbar(
            xs,
            means,
            yerr=_known(errors),
            label=name,
            color=color,
            marker=marker,
            linestyle=dashes,
        )
    for number, (x, status, color) in enumerate(missing):
        above = sum(other == x for other, _, _ in missing[:number])
        axes.annotate(
            status,
            (x, 0.0),
            (0, 4 + 36 * above),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            fontsize=7,
            color=color,
            ha="center",
            va="bottom",
        )
    if figure.is_logarithmic and is_numeric:
        axes.set_xscale("log")
        axes.minorticks_off()
    labels = [f"{x:g}" if is_numeric else x for x in places]
    axes.set_xticks(places if is_numeric else range(len(places)), labels, fontsize=8)
    series = len(axes.get_legend_handles_labels()[0])
    _finish(axes, figure, legend=series <= _ROOM_AMONG_LINES)
    if series > _ROOM_AMONG_LINES:
        _legend_below(axes, -(-series // 2), 0.14)


def _scatter(axes, figure, rows, styles):
    """Draw accuracy over parameters, each network with its name."""
    missing, named = [], set()
    for name in dict.fromkeys(row.series for row in rows):
        color, marker, _ = styles[name]
        points = []
        for row in (row for row in rows if row.series == name):
            if row.mean is None or row.position is None:
                missing.append(f"{name}, {row.x}: {row.status}")
            else:
                points.append((row.position, row.mean, _error(row), row.x))
        if not points:
            continue
        xs, means, errors, names = zip(*points, strict=True)
        axes.errorbar(
            xs,
            means,
            yerr=_known(errors),
            label=name,
            color=color,
            marker=marker,
            linestyle="none",
            markersize=7,
        )
        for x, mean, text in zip(xs, means, names, strict=True):
            if text not in named:  # Each name once: the other series has the same x.
                # Downwards: larger networks, to the right, are usually higher.
                axes.annotate(
                    text,
                    (x, mean),
                    (4, -4),
                    textcoords="offset points",
                    fontsize=7,
                    rotation=-35,
                    color=color,
                    va="top",
                    rotation_mode="anchor",
                )
                named.add(text)
    if missing:
        axes.text(
            0.01,
            0.01,
            "\n".join(missing),
            fontsize=7,
            va="bottom",
            transform=axes.transAxes,
            color=INK,
        )
    if figure.is_logarithmic:
        axes.set_xscale("log")
        axes.minorticks_off()
    ticks = sorted({row.position for row in rows if row.position is not None})
    if ticks:
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks], fontsize=8)
    axes.margins(x=0.16, y=0.32)  # Room for the names.
    _finish(axes, figure)


_DRAWINGS = {"heat_map": _heat_map, "bars": _bars, "lines": _lines, "scatter": _scatter}


def _finish(axes, figure, legend=True):
    axes.set_xlabel(figure.x_title)
    axes.set_ylabel(figure.y_title)
    axes.grid(axis="x", visible=False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7.5, loc="best")


def _legend_below(axes, columns, distance):
    """Put a legend below the axes, by `distance`, a fraction of their height."""
    axes.legend(
        fontsize=7.5,
        ncols=columns,
        loc="upper center",
        bbox_to_anchor=(0.5, -distance),
    )


def _styles(rows, others):
    """Give each series a style, the same on both sides of the figure."""
    names = list(dict.fromkeys(row.series for row in rows))
    kept = {name: others[name] for name in names if name in others}
    free = [style for style in STYLES if style not in kept.values()]
    new = [name for name in names if name not in kept]
    return {
        **kept,
        **{name: free[number % len(free)] for number, name in enumerate(new)},
    }


def _error(row):
    """Return the error bar of a number; NaN, which is not drawn, if it is unknown."""
    return np.nan if row.std is None else row.std


def _known(errors):
    """Return error bars, or None if none is known."""
    return None if np.all(np.isnan(errors)) else list(errors)


def _range(grid):
    known = grid[~np.isnan(grid)]
    return (known.min(), known.max()) if known.size else (0.0, 1.0)


def _wrapped(text, width):
    return "\n".join(textwrap.wrap(text, width))
