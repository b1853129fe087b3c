"""A report as one HTML file that needs nothing else: no network, no other file."""

import html
import itertools
import pathlib
import re

import numpy as np

from simclr_tf import __version__
from simclr_tf.extras import import_extra
from simclr_tf.files import write_atomically
from simclr_tf.report.blocks import class_name
from simclr_tf.report.svg_charts import curves_svg, legend_svg, map_svg, matrix_svg
from simclr_tf.report.thumbnails import data_uri, png_bytes, sprite_sheet

_MOST_IN_LEGEND = 40
_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def write_html_page(page, path):
    """Write a page as one self-contained HTML file.

    Readable on a phone and in both colour schemes; images are data URIs, charts are
    SVG with hover titles, and a script of 50 lines shows thumbnails.

    Args:
      page: Page.
      path: path of the file; its folder must exist.

    Raises:
      ConfigError: Jinja2 or matplotlib is missing.
      WorkdirError: the file cannot be written.

    Example:
      >>> import tempfile
      >>> from simclr_tf.report.blocks import Page, Section, Text
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.html"
      >>> write_html_page(Page("A & B", "", (Section("s", (Text("`x` < 1"),)),)), path)
      >>> "<h1>A &amp; B</h1>" in path.read_text()
      True
    """
    write_atomically(pathlib.Path(path), html_of(page))


def html_of(page):
    """The text of a page's HTML file; see `write_html_page`."""
    jinja2 = import_extra("jinja2", extra="report", wanted="The report")
    markup = import_extra("markupsafe", extra="report", wanted="The report").Markup
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )

    def drawn(function):  # What is SVG or escaped already.
        return lambda *arguments: markup(function(*arguments))

    environment.filters.update(
        {
            "words": drawn(_words),
            "align": drawn(_align),
            "grouped": _grouped,
            "curves_svg": drawn(curves_svg),
            "legend_svg": drawn(legend_svg),
            "matrix_svg": drawn(matrix_svg),
            "sprite": _sprite,
            "legend": map_legend,
            "map_svg": drawn(lambda block, title: map_svg(title, block)),
            "tile_uri": lambda image: data_uri(png_bytes(image)),
            "data_uri": data_uri,
        }
    )
    return environment.get_template("page.html").render(page=page, version=__version__)


def map_legend(maps):
    """The labels that occur in a FeatureMaps, with their names; none of too many.

    Example:
      >>> from simclr_tf.report.blocks import FeatureMaps
      >>> map_legend(FeatureMaps({}, None, [], np.array([1, 0, 1]), ("cat", "dog")))
      [(0, 'cat'), (1, 'dog')]
    """
    labels = np.unique(maps.labels)
    if len(labels) > _MOST_IN_LEGEND:  # Pointing at a mark says its class.
        return []
    return [(int(label), class_name(label, maps.classes)) for label in labels]


def _words(text):
    """Escaped, with `code` between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text, quote=False))


def _align(table, column):
    """The class of a cell of a table's column."""
    sides = table.align or "l" + "r" * (len(table.header) - 1)
    return ' class="r"' if sides[column] == "r" else ""


def _grouped(blocks):
    """Runs of blocks of one kind: charts stand beside each other."""
    for kind, group in itertools.groupby(blocks, key=lambda block: type(block)):
        yield {"kind": kind.__name__, "blocks": list(group)}


def _sprite(maps):
    sheet, columns = sprite_sheet(maps.images)
    height, width = maps.images.shape[1:3]
    return {
        "uri": data_uri(png_bytes(sheet)),
        "columns": columns,
        "width": width,
        "height": height,
        "rows": sheet.shape[0] // height,
    }
