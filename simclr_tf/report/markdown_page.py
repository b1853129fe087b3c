"""A report as Markdown with its pictures as PNG files beside it."""

import functools
import itertools
import pathlib
import re

from simclr_tf.files import write_atomically
from simclr_tf.report.block_figures import (
    curves_figure,
    gallery_figure,
    maps_figure,
    matrix_figure,
)
from simclr_tf.report.blocks import (
    Curves,
    FeatureMaps,
    Gallery,
    Matrix,
    Picture,
    Table,
    Text,
)
from simclr_tf.report.tables import markdown_table

FIGURES = "figures"


def write_markdown_page(page, path):
    """Write a page as Markdown, and its pictures into `figures/` beside it.

    Args:
      page: Page.
      path: path of the file; its folder must exist.

    Raises:
      ConfigError: matplotlib is missing.
      WorkdirError: a file cannot be written.

    Example:
      >>> import tempfile
      >>> from simclr_tf.report.blocks import Page, Section
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.md"
      >>> write_markdown_page(Page("A", "b", (Section("s", (Text("words"),)),)), path)
      >>> path.read_text()
      '# A\\n\\nb\\n\\n## s\\n\\nwords\\n'
    """
    path, used = pathlib.Path(path), set()
    parts = [f"# {page.title}"] + ([page.subtitle] if page.subtitle else [])
    for section in page.sections:
        parts.append(f"## {section.title}")
        for kind, group in itertools.groupby(section.blocks, key=type):
            for text in _group(kind, list(group), section.title, path.parent, used):
                parts.append(text)
    write_atomically(path, "\n\n".join(parts) + "\n")


def _group(kind, blocks, section, folder, used):
    """The Markdown of a run of blocks of one kind; pictures are written."""
    if kind is Text:
        marks = {"plain": "", "heading": "### "}
        yield from (marks.get(block.kind, "> ") + block.text for block in blocks)
    elif kind is Table:
        for block in blocks:
            yield markdown_table(
                list(block.header), [list(r) for r in block.rows], block.align
            )
    elif kind is Curves:  # One picture of all charts.
        yield _picture(section, functools.partial(curves_figure, blocks), folder, used)
    else:
        for block in blocks:
            title = getattr(block, "title", section)
            yield _picture(title, functools.partial(_draw, block), folder, used)


def _draw(block, path):
    if isinstance(block, Gallery):
        gallery_figure([block], path)
    elif isinstance(block, FeatureMaps):
        maps_figure(block, path)
    elif isinstance(block, Matrix):
        matrix_figure(block, path)
    elif isinstance(block, Picture):
        write_atomically(path, block.png, make_folder=True)


def _picture(title, draw, folder, used):
    """Draw a figure under a name of its own; the Markdown that shows it."""
    stem = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:40] or "figure"
    name = next(
        name
        for name in itertools.chain(
            [stem], (f"{stem}_{number}" for number in itertools.count(2))
        )
        if name not in used
    )
    used.add(name)
    draw(folder / FIGURES / f"{name}.png")
    return f"![{title}]({FIGURES}/{name}.png)"
