"""The blocks of a report that are pictures, as PNG files: matplotlib, on white."""

import numpy as np

from simclr_tf.errors import DataError
from simclr_tf.report.blocks import class_name
from simclr_tf.report.figure_files import matplotlib_parts, save_figure
from simclr_tf.report.plots import CORRECT, INCORRECT
from simclr_tf.report.tile_sheet import TileSheet, displayable

# As on the page, in print: told apart by marker too.
COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#A67C00",
    "#3DA5D9",
    "#7A3E9D",
    "#5C5C5C",
    "#8F1D2C",
    "#6B8E23",
)
MARKERS = "osD^"
_FRAMES = {None: None, "same": CORRECT, "other": INCORRECT}
_INK, _FAINT = "#222222", "#DDDDDD"
_STEP, _HEAD = 1.08, 0.7  # From tile to tile, and the height of a title, in tiles.


def curves_figure(charts, path, *, columns=2):
    """Line charts beside and below each other.

    Args:
      charts: list of Curves, at least one.
      path: path of the PNG.
      columns: int >= 1.

    Raises:
      ConfigError: matplotlib is missing.
      WorkdirError: the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> from simclr_tf.report.blocks import Curves
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "curves.png"
      >>> curves_figure([Curves("loss", {"run": ([1, 2], [3.0, 2.5])})], path)
      >>> path.exists()
      True
    """
    columns = min(columns, len(charts))
    rows = -(-len(charts) // columns)
    figure = _figure(5.2 * columns, 3.0 * rows)
    for place, curves in enumerate(charts, 1):
        axes = _axes(figure, (rows, columns, place), curves.title)
        for number, (name, (xs, ys)) in enumerate(curves.lines.items()):
            axes.plot(
                xs,
                ys,
                label=name,
                color=COLORS[number % len(COLORS)],
                linestyle="-" if number < len(COLORS) else "--",
                linewidth=1.6,
                marker="o" if len(xs) <= 40 else None,
                markersize=3,
            )
        axes.set_xlabel(curves.x_label)
        axes.grid(color=_FAINT, linewidth=0.6)
        if curves.value_format.endswith("%"):
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        if len(curves.lines) > 1:
            axes.legend(frameon=False, fontsize=7)
    figure.tight_layout()
    save_figure(figure, path)


def maps_figure(maps, path):
    """The planes of a FeatureMaps beside each other, coloured by label.

    Args:
      maps: FeatureMaps.
      path: path of the PNG.

    Raises:
      ConfigError: matplotlib is missing.
      WorkdirError: the file cannot be written.
    """
    labels = (
        np.full(len(maps.images), -1)
        if maps.labels is None
        else np.asarray(maps.labels)
    )
    figure = _figure(5.2 * len(maps.places), 5.6)
    for place, (title, points) in enumerate(maps.places.items(), 1):
        axes = _axes(figure, (1, len(maps.places), place), title)
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
        for label in np.unique(labels):
            rows = labels == label
            color = "#777777" if label < 0 else COLORS[label % len(COLORS)]
            marker = MARKERS[max(label, 0) // len(COLORS) % len(MARKERS)]
            axes.scatter(
                *np.asarray(points)[rows].T,
                s=9,
                color=color,
                marker=marker,
                label=class_name(label, maps.classes),
                linewidths=0,
            )
    if maps.labels is not None and len(np.unique(labels)) <= 40:
        handles = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            *handles,
            loc="lower center",
            ncols=6,
            frameon=False,
            fontsize=8,
            markerscale=2,
        )
        figure.tight_layout(rect=(0, 0.05 * -(-len(np.unique(labels)) // 6), 1, 1))
    save_figure(figure, path)


def matrix_figure(matrix, path):
    """A confusion matrix with counts, darker the larger the share of the true class.

    Args:
      matrix: Matrix.
      path: path of the PNG.

    Raises:
      ConfigError: matplotlib is missing.
      WorkdirError: the file cannot be written.
    """
    counts, size = np.asarray(matrix.counts), len(matrix.names)
    side = 2.2 + 0.42 * size
    figure = _figure(side, side)
    axes = _axes(figure, (1, 1, 1), matrix.title)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(size), matrix.names, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(size), matrix.names, fontsize=7)
    axes.set(xlabel="predicted", ylabel="true")
    for row, column in np.argwhere(counts):
        axes.text(
            column,
            row,
            counts[row, column],
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if shares[row, column] > 0.5 else _INK,
        )
    figure.tight_layout()
    save_figure(figure, path)


def gallery_figure(galleries, path):
    """Rows of small images, each row under its title, for one gallery or several.

    Args:
      galleries: list of Gallery.
      path: path of the PNG.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: there is nothing to draw.
      WorkdirError: the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> from simclr_tf.report.blocks import Gallery, Tile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "gallery.png"
      >>> tile = Tile(np.zeros([8, 8, 1]), "black")
      >>> gallery_figure([Gallery("tiles", (("row", (tile,)),))], path)
      >>> path.exists()
      True
    """
    if not any(tiles for gallery in galleries for _, tiles in gallery.rows):
        raise DataError("A gallery needs at least one image.")
    lines = [_lines(gallery) for gallery in galleries]
    width = max(
        x + len(row[1]) * _STEP
        for of_one in lines
        for line in of_one
        for x, row in line
    )
    height = sum(_HEAD + sum(map(_line_height, of_one)) for of_one in lines)
    sheet = TileSheet(max(12.0, width), height, top=0.0)
    y = 0.0
    for gallery, of_one in zip(galleries, lines, strict=True):
        sheet.text(gallery.title, 0, y + 0.4, align="left", bold=True)
        y += _HEAD
        for line in of_one:
            for x, row in line:
                _draw_row(sheet, row, x, y, y + _line_height(line) - 1.1)
            y += _line_height(line)
    legend = [
        (text, _FRAMES[mark]) for gallery in galleries for text, mark in gallery.legend
    ]
    if legend:
        sheet.legend(legend)
    sheet.save(path)


def _lines(gallery):
    """Rows beside each other: lists of (place of the first tile, row)."""
    step = max(len(tiles) for _, tiles in gallery.rows) * _STEP + 0.6
    return [
        [
            (place * step, row)
            for place, row in enumerate(gallery.rows[first : first + gallery.beside])
        ]
        for first in range(0, len(gallery.rows), gallery.beside)
    ]


def _draw_row(sheet, row, x, title_y, tile_y):
    title, tiles = row
    if title:
        sheet.text(title, x, title_y + 0.28, align="left")
    for place, tile in enumerate(tiles):
        frame = _FRAMES[tile.mark]
        left = x + place * _STEP
        sheet.tile(displayable(tile.image[np.newaxis])[0], left, tile_y, frame=frame)
        sheet.text(
            _cut(tile.caption), left + 0.5, tile_y - 0.04, small=True, color=frame
        )


def _line_height(line):
    return max(_row_height(row) for _, row in line)


def _row_height(row):
    title, tiles = row
    captions = any(tile.caption for tile in tiles)
    return 1.1 + 0.2 * captions + 0.4 * bool(title)


def _cut(caption):
    return caption if len(caption) <= 16 else f"{caption[:15]}…"


def _figure(width, height):
    figure_module, canvas_module = matplotlib_parts()
    figure = figure_module.Figure(figsize=(width, height), dpi=130, facecolor="white")
    canvas_module.FigureCanvasAgg(figure)
    return figure


def _axes(figure, place, title):
    axes = figure.add_subplot(*place)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return axes
