"""Every figure, drawn once with matplotlib: SVG in a page, the PNG beside it.

Colours have names. A page sets them for its light and its dark scheme, and the SVG
refers to them by name; a PNG has the light ones. Names of classes and files are text,
never formulas or markup. Figures are objects: pyplot and its global state are not used.
"""

import io
import itertools
import re
import warnings
from xml.etree import ElementTree

import numpy as np

from simclr_tf.errors import ConfigError, DataError
from simclr_tf.extras import import_extra
from simclr_tf.files import write_atomically
from simclr_tf.report.blocks import class_name

# Name -> (light, dark). c0 to c9 begin with Okabe and Ito's: told apart with any kind
# of colour vision. c0 frames what is right, c1 what is wrong.
COLORS = {
    "paper": ("#FFFFFF", "#14181F"),
    "panel": ("#F5F6F8", "#1E242D"),
    "ink": ("#1D2430", "#E6E9EE"),
    "faint": ("#5D6675", "#A3ADBB"),
    "rule": ("#D9DDE3", "#38414E"),
    "accent": ("#0063A8", "#7CC0F5"),
    "warn": ("#FFF3D6", "#4A3A12"),
    "c0": ("#0072B2", "#56B4E9"),
    "c1": ("#D55E00", "#FF8A3D"),
    "c2": ("#008A64", "#2BC79C"),
    "c3": ("#B8578A", "#E29AC6"),
    "c4": ("#A67C00", "#F0C649"),
    "c5": ("#2B93C7", "#9AD6FF"),
    "c6": ("#7A3E9D", "#C79BEF"),
    "c7": ("#5C5C5C", "#B8B8B8"),
    "c8": ("#8F1D2C", "#F07383"),
    "c9": ("#5E7D1B", "#B6D96B"),
}
PAPER, PANEL, INK, FAINT, RULE = (
    COLORS[name][0] for name in ("paper", "panel", "ink", "faint", "rule")
)
SERIES = tuple(COLORS[f"c{number}"][0] for number in range(10))
CORRECT, INCORRECT = SERIES[0], SERIES[1]
FRAMES = {"same": CORRECT, "other": INCORRECT}
_MARKERS, _DASHES = "os^DvPX*", ("-", "--", "-.", ":")
# (colour, marker, dashes) of the lines of a figure: told apart in print too.
STYLES = tuple(
    (color, _MARKERS[number % 8], _DASHES[number % 4])
    for number, color in enumerate(SERIES)
)
_SETTINGS = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-5, 7),
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "errorbar.capsize": 3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "image.interpolation": "nearest",
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), INK
    ),
    **dict.fromkeys(("xtick.color", "ytick.color"), FAINT),
}
_POINTS_A_LINE = 150
_MOST_IN_LEGEND = 40


class Drawing:
    """One figure with the words that its marks show to a pointer.

    Args:
      width, height: float, inches.
      draw: function of (matplotlib Figure, this Drawing) that draws.
      title: str, told to readers who do not see the figure.

    Raises:
      ConfigError: matplotlib is missing.

    Example:
      >>> drawing = Drawing(3, 2, lambda figure, _: figure.add_subplot(), "empty")
      >>> drawing.svg()[:4], drawing.png()[1:4]
      ('<svg', b'PNG')
    """

    def __init__(self, width, height, draw, title):
        try:
            import matplotlib
            import matplotlib.backends.backend_agg
            import matplotlib.figure
        except ImportError as error:
            raise ConfigError(
                'Pictures need matplotlib: pip install "simclr-tf[plots]".'
            ) from error
        self.title, self._words, self._context = title, {}, matplotlib.rc_context
        with self._context(_SETTINGS):
            self._figure = matplotlib.figure.Figure(
                figsize=(width, height), layout="constrained"
            )
            matplotlib.backends.backend_agg.FigureCanvasAgg(self._figure)
            draw(self._figure, self)

    def name_marks(self, artist, words, **attributes):
        """Give each mark of an artist its words, and `data-` attributes.

        Args:
          artist: matplotlib artist: a line or a collection with a mark for each of
            `words`, or a patch with one.
          words: list of str.
          **attributes: name to list, a value for each mark.
        """
        name = f"marks{len(self._words)}"
        artist.set_gid(name)
        self._words[name] = (words, attributes)

    def png(self, pixels_an_inch=140):
        """The figure as bytes of a PNG on white."""
        return self._saved(format="png", dpi=pixels_an_inch, facecolor=PAPER)

    def save(self, path):
        """Write a PNG or an SVG; a reader sees the old file or the whole new one.

        Args:
          path: path that ends in .png or .svg.

        Raises:
          WorkdirError: the file cannot be written.
        """
        is_png = str(path).endswith(".png")
        content = self.png() if is_png else self.svg(stands_alone=True)
        write_atomically(path, content, make_folder=True)

    def svg(self, *, stands_alone=False):
        """The figure as an `<svg>` element whose colours are those of the page.

        Args:
          stands_alone: bool, whether it brings both colour schemes itself.

        Returns:
          str.
        """
        text = self._saved(format="svg", transparent=True, metadata={"Date": None})
        root = ElementTree.fromstring(text)
        used = set(re.findall(r"#(\w+)", text.decode()))
        named = []
        for element in list(root.iter()):
            for child in list(element):
                if child.tag.endswith(("}metadata", "}style")):
                    element.remove(child)
            element.tag = element.tag.split("}")[1]
            if element.tag != "text":  # Only an indentation.
                element.text = None
            element.tail = None
            if element.get("id") in self._words:
                named.append((element, self._words[element.get("id")]))
            values = {
                name.split("}")[-1]: _by_name(value)
                for name, value in element.attrib.items()
                if name != "id" or value in used
            }
            element.attrib.clear()
            element.attrib.update(values)
        for element, (words, attributes) in named:
            _add_words(element, words, attributes)
        size = root.get("viewBox")
        root.attrib.clear()
        root.attrib.update(
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "class": "chart",
                "viewBox": size,
                "role": "img",
                "aria-label": plain(self.title),
                "style": f"max-width: {1.6 * float(size.split()[2]):.0f}px",
            }
        )
        if stands_alone:
            dark = "".join(f"--{name}:{shade};" for name, (_, shade) in COLORS.items())
            rule = f"@media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}"
            style = ElementTree.Element("style")
            style.text = f"text {{ font-family: sans-serif }} {rule}"
            root.insert(0, style)
        return ElementTree.tostring(root, encoding="unicode")

    def _saved(self, **options):
        buffer = io.BytesIO()
        settings = {**_SETTINGS, "svg.hashsalt": plain(self.title)}
        with self._context(settings), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A font that lacks a letter.
            self._figure.savefig(buffer, **options)
        return buffer.getvalue()


def _by_name(value):
    """A style whose colours are the page's, and whose letters are too."""
    value = re.sub(r"font-family: [^;]*;? ?", "", value)
    for name, (light, _) in COLORS.items():
        value = value.replace(light.lower(), f"var(--{name},{light.lower()})")
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", value)


def _add_words(element, words, attributes):
    """Put a title into each mark of an element."""
    marks = list(element.iter("use"))
    for place, (mark, title) in enumerate(zip(marks or [element], words, strict=True)):
        mark.set("data-words", "")
        for name, values in attributes.items():
            mark.set(f"data-{name}", str(values[place]))
        ElementTree.SubElement(mark, "title").text = plain(title)


def plain(text):
    r"""Text that every file and font takes: what cannot be printed is a �.

    Example:
      >>> plain("a\0b")
      'a�b'
    """
    text, unknown = str(text), "\N{REPLACEMENT CHARACTER}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else unknown for c in text)


def short(text, most=22):
    """Text cut to a length, with a mark where it was cut."""
    text = plain(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


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
                linestyle=_DASHES[number // len(SERIES) % len(_DASHES)],
                marker="o" if len(xs) <= 40 else None,
                markersize=3,
            )
            # Larger than what is seen, for fingers.
            touch = axes.plot(xs, ys, "o", color=INK, markersize=12, alpha=0)[0]
            drawing.name_marks(
                touch,
                [
                    f"{name}: {y:{curves.value_format}} at {curves.x_label} {x:g}"
                    for x, y in zip(xs, ys, strict=True)
                ],
            )
        first, last = axes.dataLim.intervalx
        if last - first < 1:  # Whole numbers on the axis of one epoch too.
            axes.set_xlim(first - 1, last + 1)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        if curves.value_format.endswith("%"):
            ticker = import_extra("matplotlib.ticker", extra="report", wanted="A chart")
            axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
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
                marker=_MARKERS[max(label, 0) // len(SERIES) % len(_MARKERS)],
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
        patches = import_extra("matplotlib.patches", extra="report", wanted="A chart")
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
            cell = patches.Rectangle(
                (column - 0.48, row - 0.48),
                0.96,
                0.96,
                facecolor=CORRECT if row == column else INCORRECT,
                alpha=0.04 + 0.9 * share,
            )
            drawing.name_marks(
                axes.add_patch(cell),
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
            touch = axes.plot(xs, ys, "o", color=INK, markersize=12, alpha=0)[0]
            drawing.name_marks(
                touch, [f"{name}: {_interval_text(*point)}" for point in points]
            )
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
      lines: dict of name to list of (x, y, below, above): y reaches from y - below to
        y + above.
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
            touch = axes.plot(xs, ys, "o", color=INK, markersize=12, alpha=0)[0]
            drawing.name_marks(
                touch,
                [f"{name}: {y:.4g} at {x:,g}" for x, y in zip(xs, ys, strict=True)],
            )
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


def gallery_drawing(galleries):
    """Draw rows of small images, each row below its title.

    Args:
      galleries: list of Gallery.

    Returns:
      Drawing; a tile is 0.62 inches wide.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: there is nothing to draw.

    Example:
      >>> from simclr_tf.report.blocks import Gallery, Tile
      >>> tile = Tile(np.zeros([8, 8, 1]), "black")
      >>> gallery_drawing([Gallery("tiles", (("row", (tile,)),))]).png()[1:4]
      b'PNG'
    """
    if not any(tiles for gallery in galleries for _, tiles in gallery.rows):
        raise DataError("A gallery needs at least one image.")
    texts, tiles, height = [], [], 0.0
    for gallery in galleries:
        texts.append((0, height + 0.35, gallery.title, 9.5, INK, "left"))
        height += 0.5
        if gallery.legend:
            x = 0.0
            for words, mark in gallery.legend:
                color = FRAMES.get(mark, INK)
                texts.append((x, height + 0.2, f"■ {words}", 7.5, color, "left"))
                x += 0.5 + 0.12 * len(words)
            height += 0.3
        height = _place_rows(gallery, height, texts, tiles)
    width = max(x + 1 for x, _, _ in tiles)
    width = max(width, *(x + 0.14 * len(text) for x, _, text, *_ in texts if x == 0))

    def draw(figure, _):
        # One pair of axes for all tiles: a hundred pairs would take ten times as long.
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(
            xlim=(-0.3, width + 0.3), ylim=(height + 0.2, -0.2), autoscale_on=False
        )
        axes.set_axis_off()
        for x, y, tile in tiles:
            axes.imshow(
                displayable(tile.image[np.newaxis])[0],
                cmap="gray",
                vmin=0,
                vmax=1,
                aspect="auto",
                extent=(x, x + 1, y + 1, y),
            )
            if tile.mark is not None:
                axes.plot(
                    [x, x + 1, x + 1, x, x],
                    [y, y, y + 1, y + 1, y],
                    color=FRAMES[tile.mark],
                    linewidth=2.2,
                )
        for x, y, text, size, color, align in texts:
            axes.text(x, y, plain(text), fontsize=size, color=color, ha=align)

    return Drawing(
        0.62 * (width + 0.6), 0.62 * (height + 0.4), draw, galleries[0].title
    )


def _place_rows(gallery, top, texts, tiles):
    """Place the rows of a gallery; return the y below them."""
    together = gallery.together
    a_line = max(12 // together, 1) * together
    widest = min(a_line, max(len(row) for _, row in gallery.rows))
    step = widest * 1.08 + 0.6
    for first in range(0, len(gallery.rows), gallery.beside):
        bottoms = [top]
        for place, (title, row) in enumerate(
            gallery.rows[first : first + gallery.beside]
        ):
            left, y = place * step, top
            if title:
                texts.append((left, y + 0.3, title, 7.5, INK, "left"))
                y += 0.4
            for start in range(0, len(row), a_line):
                part = row[start : start + a_line]
                y += 0.2 * any(tile.caption for tile in part)
                for number, tile in enumerate(part):
                    gap = 0.3 * (number // together) if together > 1 else 0
                    x = left + number * 1.08 + gap
                    tiles.append((x, y, tile))
                    color = FRAMES.get(tile.mark, FAINT)
                    words = short(tile.caption, 16)
                    texts.append((x + 0.5, y - 0.05, words, 5, color, "center"))
                y += 1.1
            bottoms.append(y)
        top = max(bottoms)
    return top + 0.1


def displayable(images):
    """Images as matplotlib shows them.

    Args:
      images: `[N, H, W, C]`, uint8 or float in [0, 1].

    Returns:
      float32 `[N, H, W]` (grey) or `[N, H, W, 3]` in [0, 1].

    Raises:
      DataError: another number of dimensions.

    Example:
      >>> displayable(np.full([1, 2, 2, 1], 255, np.uint8)).tolist()
      [[[1.0, 1.0], [1.0, 1.0]]]
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise DataError(f"Images have the shape [N, H, W, C], not {images.shape}.")
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    images = np.clip(images.astype(np.float32), 0, 1)
    # Of other channels than grey or RGB: the first three, or the first.
    return images[..., :3] if images.shape[-1] >= 3 else images[..., 0]


def _legend(figure, axes, lines):
    """Name the lines below the axes, where there are several."""
    if len(lines) > 1:
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)


def _thinned(xs, ys):
    """Finite points, at most `_POINTS_A_LINE` and the last."""
    xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    finite = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[finite], ys[finite]
    kept = np.unique(np.linspace(0, max(len(xs) - 1, 0), _POINTS_A_LINE).astype(int))
    return (xs[kept], ys[kept]) if len(xs) else (xs, ys)
