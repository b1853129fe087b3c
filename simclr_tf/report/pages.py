"""Pages: one self-contained HTML file, or Markdown with its figures beside it.

Both are Jinja2 templates over the same blocks, and both show the same figures.
"""

import base64
import dataclasses
import itertools
import pathlib
import re

from simclr_tf import __version__
from simclr_tf.errors import WorkdirError
from simclr_tf.extras import import_extra, require_extra
from simclr_tf.files import require_writable, write_atomically
from simclr_tf.markdown import escaped, prose
from simclr_tf.report.blocks import (
    Curves,
    FeatureMaps,
    Gallery,
    PageSection,
    Picture,
    Text,
    class_name,
)
from simclr_tf.report.drawing import COLORS, Drawing, plain
from simclr_tf.report.figures import lines_drawing, map_drawing, matrix_drawing
from simclr_tf.report.galleries import gallery_drawing
from simclr_tf.report.tables import markdown_of_table
from simclr_tf.report.thumbnails import png_bytes, sprite_sheet, thumbnails

FILES = (".html", ".md", ".png")  # Endings of an output that is one file.
FIGURES = "figures"
_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_MAP_PIXELS = 48


def write_page(page, output, name="report", command=None):
    """Write a page.

    Args:
      page: Page.
      output: path: `FILE.html`; `FILE.md`, with its pictures in `figures/` beside it;
        anything else is a folder, which gets both under `name`.
      name: str, name of the files in a folder, without their endings.
      command: str, what made the page, shown at its end.

    Returns:
      list of pathlib.Path, what was written.

    Raises:
      ConfigError: a package is missing.
      WorkdirError: a file cannot be written.

    Example:
      >>> import tempfile
      >>> from simclr_tf.report.blocks import Page
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> [path.name for path in write_page(Page("A", "", ()), folder)]
      ['report.html', 'report.md']
    """
    output = pathlib.Path(output).expanduser()
    if command is not None:
        made = PageSection("Command", (Text(f"`{command}`", "note"),))
        page = dataclasses.replace(page, sections=(*page.sections, made))
    if output.suffix in (".html", ".md"):
        paths = [output]
    else:
        paths = [output / f"{name}.html", output / f"{name}.md"]
    for path in paths:
        if path.suffix == ".html":
            text = html_of(page)
        else:
            text = _markdown_of(page, path.parent)
        # File names may hold bytes that are not UTF-8.
        write_atomically(path, text.encode("utf-8", "replace"), make_folder=True)
    return paths


def prepare_output(output, packages=("matplotlib", "jinja2")):
    """Check, before the work, that the page can be written.

    Args:
      output: path, as for `write_page`.
      packages: names of packages that are needed.

    Raises:
      ConfigError: a package is missing.
      WorkdirError: nothing can be written there.
    """
    for package in packages:
        require_extra(package, extra="report", wanted="The report")
    output = pathlib.Path(output).expanduser()
    is_file = output.suffix in FILES
    require_writable(output.parent if is_file else output)
    if is_file and output.is_dir():
        raise WorkdirError(f"Cannot write {output}: it is a folder.")


def html_of(page):
    """Write the text of a page's HTML file.

    Readable on a phone and in both colour schemes; images are data URIs, figures are
    SVG with hover titles. A short script shows thumbnails, enlarges what is clicked,
    and filters by class.

    Args:
      page: Page.

    Returns:
      str.

    Raises:
      ConfigError: Jinja2 or matplotlib is missing.

    Example:
      >>> from simclr_tf.report.blocks import Page, PageSection, Text
      >>> "<h1>A &amp; B</h1>" in html_of(Page("A & B", "", ()))
      True
    """
    markup = import_extra("markupsafe", extra="report", wanted="The report")

    def words(text):
        escaped = str(markup.escape(plain(text)))
        return markup.Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped))

    environment = _environment(autoescape=True)
    environment.filters.update(
        words=words,
        svgs=lambda *block: [markup.Markup(d.svg()) for d in _drawings_of(*block)],
        file_name=lambda name: re.sub(r"^.*(?:/|(?=#))", "", name),
        sprite=_sprite,
        tile_uri=lambda image: _data_uri(png_bytes(image)),
        picture_uri=_picture_uri,
    )
    return environment.get_template("page.html").render(
        page=page,
        version=__version__,
        colors=COLORS,
        classes=_groups_of(page),
    )


def _markdown_of(page, folder):
    """Write the text of a page's Markdown file, and its pictures into `figures/`."""
    used = set()

    def pictures(block, section, number):
        for title, png in _pngs_of(block, section, number):
            stem = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:40] or "figure"
            names = itertools.chain([stem], map(f"{stem}_{{}}".format, range(2, 10**9)))
            name = next(name for name in names if name not in used)
            used.add(name)
            path = folder / FIGURES / f"{name}.png"
            write_atomically(path, png, make_folder=True)
            yield plain(title), f"{FIGURES}/{name}.png"

    environment = _environment(autoescape=False)
    environment.filters.update(
        table=markdown_of_table,
        pictures=pictures,
        prose=lambda text: prose(plain(text)),
        escaped=escaped,
    )
    return environment.get_template("page.md").render(page=page)


def _environment(autoescape):
    jinja2 = import_extra("jinja2", extra="report", wanted="The report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # File names may hold anything, so text is escaped; Markup is not.
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    environment.filters.update(grouped=_grouped, plain=plain)
    return environment


def _grouped(blocks):
    """Group successive blocks of one kind: charts stand beside each other."""
    for kind, group in itertools.groupby(blocks, key=type):
        yield kind.__name__, list(group)


def _drawings_of(block, number=0):
    """Return the drawings of a block that is the `number`-th of its kind in a row."""
    if isinstance(block, Drawing):
        return [block]
    if isinstance(block, Curves):  # The legend is drawn once.
        has_legend = number == 0 or len(block.lines) <= 4
        return [lines_drawing(block, has_legend=has_legend)]
    if isinstance(block, FeatureMaps):
        return [map_drawing(block, title) for title in block.places]
    return [matrix_drawing(block)]


def _pngs_of(block, section, number):
    """Yield (title, PNG) of each picture of a block."""
    if isinstance(block, Picture):
        return [(block.title, block.png)]
    if isinstance(block, Gallery):
        return [(block.title, gallery_drawing([block]).png())]
    drawings = _drawings_of(block, number)
    titles = [section if isinstance(block, FeatureMaps) else d.title for d in drawings]
    return [
        (title, drawing.png()) for title, drawing in zip(titles, drawings, strict=True)
    ]


def _groups_of(page):
    """List the classes that a reader can choose, in alphabetical order."""
    found = set()
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Gallery):
                found |= {tile.group for _, row in block.rows for tile in row}
            elif isinstance(block, FeatureMaps) and block.labels is not None:
                found |= {class_name(label, block.classes) for label in block.labels}
    return sorted(map(plain, found - {None}))


def _sprite(maps):
    """Put the thumbnails of a FeatureMaps into one image; return it with its sizes."""
    sheet, columns = sprite_sheet(thumbnails(maps.images, _MAP_PIXELS))
    height, width = thumbnails(maps.images[:1], _MAP_PIXELS).shape[1:3]
    return {
        "uri": _data_uri(png_bytes(sheet)),
        "columns": columns,
        "width": width,
        "height": height,
        "rows": sheet.shape[0] // height,
    }


def _picture_uri(picture):
    """Embed a picture as an image: scripts in its file do not run in the page."""
    if picture.svg is None:
        return _data_uri(picture.png)
    return _data_uri(picture.svg, "image/svg+xml")


def _data_uri(content, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
