"""The site, built by `make docs`: README first, then every page that it lists.

The sources are the repository's own Markdown files, where they are, so that the same
links work here, on GitHub and in an editor. The reference is made from docstrings.
"""

import pathlib
import re
import shutil

import simclr_tf

HERE = pathlib.Path(__file__).parent
EXPORTS = HERE.parent / "exported_models"
PACKAGE = pathlib.Path(simclr_tf.__file__).parent
REFERENCE = "docs/reference"

project = "simclr_tf"
author = "The simclr_tf authors"
version = release = simclr_tf.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", f"{REFERENCE}/**", "exported_models/README.md"]
# The cards of the encoders that ship; other exports are the user's own.
cards = re.findall(r"\(([\w/]+\.md)\)", (EXPORTS / "README.md").read_text("utf-8"))
include_patterns += [f"exported_models/{card}" for card in cards]
exclude_patterns = [".*", "build", "dist", "runs", "simclr_tf", "tests", "tools"]
html_theme = "furo"
html_title = f"simclr_tf {version}"
html_copy_source = False

myst_heading_anchors = 3
# Docstrings are written like Markdown: `code`, and Google's sections.
default_role = "code"
napoleon_custom_sections = [("Source", "notes_style"), ("Fields", "params_style")]
napoleon_use_ivar = True
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# A Keras class has hundreds of inherited members, which Keras documents.
autodoc_default_options = {"members": True, "inherited-members": False}


def rooms():
    """Return the public rooms of the package, with its own names first."""
    rooms = [name for name in simclr_tf.__all__ if name.islower()]
    return ["simclr_tf", *(f"simclr_tf.{r}" for r in rooms if (PACKAGE / r).is_dir())]


def write_reference(app):
    """Write a page for each public room: its docstring and those of its names."""
    folder = HERE / "reference" / "api"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for room in rooms():
        title = f"{room}\n{'=' * len(room)}\n\n"
        members = f".. automodule:: {room}\n   :members:\n"
        if room == "simclr_tf":
            names = [n for n in simclr_tf.__all__ if f"simclr_tf.{n}" not in rooms()]
            members = f".. automodule:: {room}\n   :members: {', '.join(names)}\n"
            members += "   :no-index:\n"  # The rooms have them too.
        (folder / f"{room}.rst").write_text(title + members, encoding="utf-8")


def add_contents(app, docname, content):
    """Give the pages that list others a table of contents, unseen on GitHub."""
    if docname == f"{REFERENCE}/index":
        entries = [f"api/{room}" for room in rooms()]
    elif docname in (root_doc, "exported_models/README"):
        entries = list(dict.fromkeys(re.findall(r"\]\(([\w/]+)\.md\)", content[0])))
    else:
        return
    listed = "\n".join(entries)
    content[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"


def as_restructured_text(app, what, name, obj, options, lines):
    """Rewrite a docstring where Markdown and reStructuredText differ.

    Outside of `code`, the characters | * _ are no markup. An indented block of the
    description, or a table, is shown as it is written.
    """
    found = []
    in_description = in_block = False
    for number, line in enumerate(lines):
        in_description = in_description or number == 0
        if re.fullmatch(r"\w+:", line):
            in_description = False
        starts = in_description and line.startswith(("  ", "|"))
        if starts and not in_block:
            found += ["", "::", ""]
        if in_block and line.strip() and not starts:
            found += [""]
        in_block = starts or (in_block and not line.strip())
        is_code = in_block or line.lstrip().startswith((">>>", "..."))
        parts = re.split("(`+[^`]*`+)", line)
        escaped = [
            part if part.startswith("`") else re.sub(r"([|*]|_\b)", r"\\\1", part)
            for part in parts
        ]
        found.append(line if is_code else "".join(escaped))
    lines[:] = found


def finish(app, exception):
    """Let the folder's own address show the README."""
    if exception is None:
        shutil.copy(app.outdir / "README.html", app.outdir / "index.html")


def setup(app):
    """Connect the steps above to Sphinx."""
    app.connect("builder-inited", write_reference)
    app.connect("source-read", add_contents)
    # Before napoleon, which reads the sections.
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
    app.connect("build-finished", finish)
