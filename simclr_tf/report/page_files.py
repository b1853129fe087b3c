"""Where a page is written: one HTML file, one Markdown file, or a folder with both."""

import dataclasses
import pathlib

from simclr_tf.errors import WorkdirError
from simclr_tf.extras import require_extra
from simclr_tf.report.blocks import Section, Text
from simclr_tf.report.html_page import write_html_page
from simclr_tf.report.markdown_page import write_markdown_page

FILES = (".html", ".md", ".png")  # Endings of an output that is one file.


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
        made = Section("Command", (Text(f"`{command}`", "note"),))
        page = dataclasses.replace(page, sections=(*page.sections, made))
    if output.suffix == ".html":
        writers = [(write_html_page, output)]
    elif output.suffix == ".md":
        writers = [(write_markdown_page, output)]
    else:
        writers = [
            (write_html_page, output / f"{name}.html"),
            (write_markdown_page, output / f"{name}.md"),
        ]
    make_folder(writers[0][1].parent)
    for write, path in writers:
        write(page, path)
    return [path for _, path in writers]


def prepare_output(output, packages=("matplotlib", "jinja2")):
    """See before the work that the page can be written.

    Args:
      output: path, as for `write_page`.
      packages: names of packages that are needed.

    Raises:
      ConfigError: a package is missing.
      WorkdirError: the folder cannot be made.
    """
    for package in packages:
        require_extra(package, extra="report", wanted="The report")
    output = pathlib.Path(output).expanduser()
    make_folder(output.parent if output.suffix in FILES else output)


def make_folder(folder):
    """Make a folder and those above it.

    Raises:
      WorkdirError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkdirError(f"Cannot write to {folder}: {error.strerror}.") from error
