"""The page of a study: figure, table, cells and their curves."""

import pathlib

from simclr_tf.commands.run_files import read_run
from simclr_tf.errors import DataError, SimCLRError
from simclr_tf.export.card import wall_time_text
from simclr_tf.limits import read_json
from simclr_tf.report.blocks import Page, PageSection, Picture, Table, Text
from simclr_tf.report.pages import prepare_output, write_page
from simclr_tf.report.run_sections import curve_section
from simclr_tf.report.tables import number_text

STUDY_FILE = "study.json"
_FIGURE, _FIGURE_OF_PAGES = "study.png", "study.svg"
_MOST_CURVES = 20


def report_of_study(folder, output, *, command=None, say=print):
    """Write the page of a study.

    Args:
      folder: path of a study: study.json with study, title, paper and cells (name,
        workdir, seed, status, values), and study.png and study.svg if they exist.
      output: path for `write_page`.
      command: str, what made the page, shown at its end.
      say: function that prints a line (str).

    Returns:
      list of pathlib.Path, what was written.

    Raises:
      DataError: the folder is not a study, or its study.json is damaged.
    """
    folder = pathlib.Path(folder).expanduser()
    study = read_study(folder)
    prepare_output(output)
    done = sum(cell.get("status") == "done" for cell in study["cells"])
    about = f"Study `{study['study']}`"
    if study.get("budget"):
        about += f", budget {study['budget']}"
    curves = _curves(folder, study["cells"])
    sections = [_outcome(folder, study), *([curves] if curves else []), _cells(study)]
    page = Page(
        study.get("title") or study["study"],
        f"{about}: {done} of {len(study['cells'])} cells done",
        tuple(sections),
    )
    return write_page(page, output, command=command)


def read_study(folder):
    """Read the record of a study.

    Args:
      folder: pathlib.Path.

    Returns:
      dict of study.json.

    Raises:
      DataError: study.json is missing or damaged.
    """
    path = folder / STUDY_FILE
    try:
        study = read_json(path, finite=False)
    except OSError as error:
        raise DataError(
            f"{folder} is not a study: {STUDY_FILE} cannot be read ({error.strerror})."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if (
        not isinstance(study, dict)
        or "study" not in study
        or not isinstance(study.get("cells"), list)
        or not all(isinstance(cell, dict) for cell in study["cells"])
    ):
        raise DataError(f"{path} is not a study: it has no name or no cells.")
    return study


def _outcome(folder, study):
    """Show the figure, the paper's numbers and the study's numbers."""
    blocks, paper = [], study.get("paper")
    title = study.get("title") or study["study"]
    failed = [cell for cell in study["cells"] if cell.get("status") == "failed"]
    if failed:
        names = ", ".join(_cell_name(cell) for cell in failed)
        blocks.append(Text(f"Failed cells ({len(failed)}): {names}.", "warning"))
    if study.get("question"):
        blocks.append(Text(study["question"]))
    if (folder / _FIGURE).is_file():
        svg = folder / _FIGURE_OF_PAGES
        vector = svg.read_bytes() if svg.is_file() else None
        blocks.append(Picture(title, (folder / _FIGURE).read_bytes(), vector))
    # Studies of version 0.1.0 have no tables: their cells are shown below.
    for table in study.get("tables", ()):
        header = tuple(table["header"])
        blocks.append(Table(header, tuple(map(tuple, table["rows"]))))
    blocks += [Text(remark) for remark in study.get("remarks", ())]
    if isinstance(paper, str):
        blocks.append(Text(f"In the paper: {paper}. {study.get('note', '')}".strip()))
    if not study["cells"] or not blocks:
        blocks.append(Text("No cell has ended yet.", "note"))
    return PageSection("Outcome", tuple(blocks))


def _cells(study):
    """List every cell with its status and values."""
    cells = study["cells"]
    if not cells:
        return PageSection("All cells", (Text("No cell has begun yet.", "note"),))
    values = list(
        dict.fromkeys(name for cell in cells for name in (cell.get("values") or {}))
    )
    rows = tuple(
        (
            str(cell.get("name", "")),
            str(cell.get("seed", "")),
            str(cell.get("status", "")),
            *(_value((cell.get("values") or {}).get(name)) for name in values),
            _time(cell.get("wall_seconds")),
            _one_line(cell.get("error")),
        )
        for cell in cells
    )
    header = (
        "cell",
        "seed",
        "status",
        *(name.replace("_", " ") for name in values),
        "time",
        "error",
    )
    return PageSection(
        "All cells", (Table(header, rows, "lrl" + "r" * len(values) + "rl"),)
    )


def _curves(folder, cells):
    """Draw the curves of all cells of one seed together; None without any."""
    runs = []
    seed = min(
        (cell["seed"] for cell in cells if isinstance(cell.get("seed"), int)),
        default=None,
    )
    for cell in cells:
        if cell.get("seed") == seed and cell.get("workdir"):
            try:
                run = read_run(folder / cell["workdir"], _cell_name(cell))
            except SimCLRError:  # The table shows the status of the cell.
                continue
            runs += [run] if run.records else []
    if len(runs) > _MOST_CURVES:
        return PageSection(
            "Training curves",
            (
                Text(
                    f"{len(runs)} curves are too many for one chart: compare some of "
                    "the cells with `simclr-tf report --workdir=... --workdir=...`.",
                    "note",
                ),
            ),
        )
    if not runs:
        return None
    return curve_section(runs)


def _cell_name(cell):
    return f"{cell.get('name', '')}, seed {cell.get('seed', '')}"


def _time(seconds):
    return "" if seconds is None else wall_time_text(seconds)


def _one_line(error):
    return "" if error is None else " ".join(str(error).split())


def _value(value):
    if value is None:
        return ""
    return number_text(value) if isinstance(value, float) else str(value)
