"""The folder of a study: study.json (all cells and numbers), study.md, study.png.

study.svg is the same figure for the page of `simclr-tf report`.

`cells/NAME-seedS/` is the workdir of a run, with its cell.json; `logs/` has its log.
"""

import dataclasses
import json
import pathlib
import shutil

from simclr_tf.config.moved import flat_with_present_names
from simclr_tf.config.schema import (
    flatten,
    is_resumable,
    override,
    to_dict,
    walk_options,
)
from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.files import is_temporary, require_writable, write_atomically
from simclr_tf.limits import read_json
from simclr_tf.locks import lock_of, locked
from simclr_tf.report.blocks import Table, Text
from simclr_tf.studies.rows import DONE, FAILED, PENDING, rows_of
from simclr_tf.studies.study import runs_of
from simclr_tf.studies.study_figures import study_figure
from simclr_tf.studies.study_tables import in_common, numbers_of, study_markdown

STUDY_FILE, CELL_FILE = "study.json", "cell.json"
TABLE_FILE, PICTURE_FILE, VECTOR_FILE = "study.md", "study.png", "study.svg"
CELLS, LOGS = "cells", "logs"


class StudyFolder:
    """The files of one study.

    Args:
      path: path of the folder; need not exist yet.
      study: Study.
      budget: str.
      base: Config that the cells change.
      made_with: dict, JSON, of what no option tells and all cells share: the
        fingerprints of the images, the precision.
    """

    def __init__(self, path, study, budget, base, made_with=None):
        self.path = pathlib.Path(path).expanduser()
        self._study, self._budget, self._base = study, budget, base
        self._cells = study.cells(base, budget)
        self._made_with = made_with or {}

    def check(self, command):
        """Check that the folder can begin this study, or has begun it; write nothing.

        Args:
          command: str, the command line; the first one is kept.

        Raises:
          WorkdirError: the folder holds another study or other files, or cannot be
            written.
        """
        study, base = self._study, flatten(self._base)
        self._head = {
            "study": study.name,
            "title": study.title,
            "question": study.question,
            "paper": study.paper.source,
            "budget": self._budget,
            "command": command,
            "base": {name: base[name] for name in base if name != "seed"},
            "made_with": self._made_with,
        }
        if not self._is_new():
            before = self.read()
            changed = _differences(before, self._head, self._base)
            if changed:
                raise WorkdirError(
                    f"{self.path} holds another study: {', '.join(changed)}. Use "
                    "another --workdir; without other flags it continues."
                )
            self._check_making(before.get("made_with", {}))
            self._head["command"] = before.get("command", command)
        require_writable(self.path)

    def _check_making(self, there):
        """Refuse what no option tells: other images, another precision by `auto`."""
        here = self._made_with
        changed = [name for name in here if there.get(name, here[name]) != here[name]]
        if "images" in changed:
            raise WorkdirError(
                f"The cells of {self.path} are of other images than those of "
                f"{self._base.data.source} now: use another --workdir."
            )
        if "precision" in changed:
            raise WorkdirError(
                f"The cells of {self.path} are in {there['precision']}, and here would "
                f"be in {here['precision']}: add --precision={there['precision']}."
            )

    def begin(self, seeds):
        """Begin the study, after `check`.

        Args:
          seeds: ints, those of the cells.

        Raises:
          WorkdirError: the folder cannot be written.
        """
        try:
            for name in (CELLS, LOGS):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkdirError(
                f"Cannot write to --workdir={self.path}: {error.strerror}."
            ) from error
        if not (self.path / STUDY_FILE).exists():
            with self._alone():
                if not (self.path / STUDY_FILE).exists():
                    runs = runs_of(self._cells, self._base, seeds)
                    self._write_study([summary_of(run, None) for run in runs])

    def _is_new(self):
        """Tell whether no study is here; another shard may begin it at this moment."""
        try:
            names = {path.name for path in self.path.iterdir()}
        except FileNotFoundError:
            return True
        except OSError as error:
            raise WorkdirError(
                f"Cannot use --workdir={self.path}: {error.strerror}."
            ) from error
        if (self.path / STUDY_FILE).exists():  # Perhaps by now.
            return False
        if any(not is_temporary(name) for name in names - {CELLS, LOGS}):
            raise WorkdirError(
                f"{self.path} is not empty and is not a study (no {STUDY_FILE}). Use a "
                "new folder for --workdir."
            )
        return True

    def read(self):
        """Read study.json.

        Returns:
          dict.

        Raises:
          WorkdirError: the file is missing, damaged, or not of a study.
        """
        path = self.path / STUDY_FILE
        try:
            record = read_json(path, finite=False)
        except (OSError, ValueError) as error:
            raise WorkdirError(f"Cannot read {path}: {error}.") from error
        if not isinstance(record, dict) or not {"study", "budget", "base"} <= set(
            record
        ):
            raise WorkdirError(f"{path} is not the record of a study.")
        return record

    def write(self, seeds, *, draws=True, say=print):
        """Write study.json, study.md and the figure from all finished cells.

        Args:
          seeds: ints; the seeds of earlier calls are added.
          draws: bool, whether to draw the picture too.
          say: function that prints a line (str).

        Returns:
          dict of run name to the record of its cell.json, or None: of all shards and
          seeds.
        """
        while True:
            with self._alone():
                asked = {summary["seed"] for summary in self.read()["cells"]}
                runs = runs_of(self._cells, self._base, sorted(asked | set(seeds)))
                records = self.records_of(runs)
                self._write([summary_of(run, records[run.name]) for run in runs])
                if draws:
                    self._draw(say)
            if self.records_of(runs) == records:
                return records  # Else another shard has finished a cell: write again.

    def _alone(self):
        """Let no other shard write the files that all share, within a `with`."""
        return locked(self.path, waiting=lambda: None)

    def _write(self, summaries):
        paper, rows = self._study.paper, rows_of(self._cells, summaries)
        parts = numbers_of(self._study, rows)
        self._write_study(
            summaries,
            rows=list(map(dataclasses.asdict, rows)),
            tables=[
                {"header": part.header, "rows": part.rows}
                for part in parts
                if isinstance(part, Table)
            ],
            remarks=[part.text for part in parts if isinstance(part, Text)],
            note=paper.note,
            paper_numbers=[
                {"series": series, "x": x, "value": value}
                for (series, x), value in paper.numbers.items()
            ],
        )
        write_atomically(
            self.path / TABLE_FILE,
            study_markdown(self._study, self._cells, self.read()),
        )

    def _write_study(self, summaries, **more):
        record = {**self._head, **more, "cells": summaries}
        write_atomically(self.path / STUDY_FILE, json.dumps(record, indent=1) + "\n")

    def _draw(self, say):
        try:
            drawing = study_figure(
                self._study,
                rows_of(self._cells, self.read()["cells"]),
                ours=in_common(self._cells, flatten(self._base)),
            )
            drawing.save(self.path / PICTURE_FILE)
            drawing.save(self.path / VECTOR_FILE)
        except ConfigError as error:  # matplotlib is an extra.
            say(f"No figure: {error}")

    def folder_of(self, run):
        """Name the workdir of a run."""
        return self.path / CELLS / run.name

    def log_of(self, run):
        """Name the log of a run."""
        return self.path / LOGS / f"{run.name}.log"

    def lock_of(self, run):
        """Name the lock of a run, outside of its workdir, which may be removed."""
        return lock_of(self.path / LOGS / run.name)

    def record_of(self, run):
        """Read the cell.json of a run.

        Returns:
          dict, or None if the run has not ended.

        Raises:
          WorkdirError: the file is damaged or cannot be read, or the cell was run with
            other options than it has now.
        """
        path = self.folder_of(run) / CELL_FILE
        try:
            record = read_json(path, finite=False)
            if record["status"] not in (DONE, FAILED):
                raise KeyError("status")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkdirError(
                f"Cannot read {path} ({error}). Remove it to run the cell again."
            ) from error
        changed = _changed_options(record, run.cell)
        if changed and record["status"] == DONE:
            raise WorkdirError(
                f"{path.parent} is a cell of other options: {', '.join(changed)}. "
                "Remove this folder to run the cell again."
            )
        return record

    def records_of(self, runs):
        """Read the cell.json of each run: dict of run name to dict, or None."""
        return {run.name: self.record_of(run) for run in runs}

    def write_record(self, run, record):
        """Write the cell.json of a run."""
        text = json.dumps(
            {
                "name": run.cell.name,
                "seed": run.seed,
                "work": run.cell.work,
                "changes": dict(run.cell.changes),
                "settings": dict(run.cell.settings),
                **record,
                "config": to_dict(run.config),
            },
            indent=1,
        )
        path = self.folder_of(run) / CELL_FILE
        write_atomically(path, text + "\n", make_folder=True)

    def forget(self, run):
        """Remove the workdir of a failed run, so that the run starts again."""
        shutil.rmtree(self.folder_of(run), ignore_errors=True)


def summary_of(run, record):
    """Make the entry of a run in study.json.

    Args:
      run: Run.
      record: dict of its cell.json, or None.

    Returns:
      dict.
    """
    record = record or {"status": PENDING}
    return {
        "name": run.cell.name,
        "workdir": f"{CELLS}/{run.name}",
        "seed": run.seed,
        "status": record["status"],
        "values": record.get("values", {}),
        "wall_seconds": record.get("wall_seconds"),
        "error": record.get("error"),
    }


def _changed_options(record, cell):
    """Describe the options of a finished cell that the same cell has otherwise now."""
    found = []
    for name in ("changes", "settings"):
        before = record.get(name) or {}
        now = json.loads(json.dumps(dict(getattr(cell, name))))
        found += [
            f"{option} (there {before[option]!r}, now {now[option]!r})"
            for option in now
            if option in before and before[option] != now[option]
        ]
    return found


def _differences(before, now, base):
    """Describe the differences of two studies; options that may change do not."""
    changed = [
        f"{name} (there {before[name]!r}, now {now[name]!r})"
        for name in ("study", "budget")
        if before[name] != now[name]
    ]
    if changed:
        return changed
    may_change = {name for name, item, _ in walk_options(base) if is_resumable(item)}
    if "[" in now["base"]["data.split"] + now["base"]["data.test_split"]:
        may_change.discard("data.slices")  # They are other images.
    if "precision" in before.get("made_with", {}):
        may_change.add("precision")  # What `auto` came to counts.
    # An option that is newer than the record had its default.
    former = flatten(override(type(base)(), flat_with_present_names(before["base"])))
    old = json.loads(json.dumps({**former, "seed": None}))
    new = json.loads(json.dumps({**now["base"], "seed": None}))
    return [
        f"{name} (there {old.get(name)!r}, now {new.get(name)!r})"
        for name in sorted({*old, *new} - may_change)
        if old.get(name) != new.get(name)
    ]
