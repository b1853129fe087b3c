"""The folder of a study: study.json, and what came of every cell."""

import json
import pathlib
import shutil

from simclr_tf.config.moved import flat_with_present_names
from simclr_tf.config.schema import flatten, is_resumable, to_dict, walk_options
from simclr_tf.errors import WorkdirError
from simclr_tf.files import write_atomically

STUDY_FILE = "study.json"
CELL_FILE = "cell.json"
CELLS, CLAIMS, LOGS = "cells", "claims", "logs"
DONE, FAILED, PENDING = "done", "failed", "pending"
_SAME = ("study", "budget", "base")


class StudyFolder:
    """One study's folder.

    Args:
      path: path; need not exist yet.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path).expanduser()

    def open(self, study, budget, base, command):
        """Make the folder this study's own, or recognise it as such.

        Args:
          study: Study.
          budget: str.
          base: Config that the cells change.
          command: str, what started it.

        Raises:
          WorkdirError: it holds something else, another study, or cannot be written.
        """
        self.head = {
            "study": study.name,
            "title": study.title,
            "question": study.question,
            "paper": study.paper.source,
            "budget": budget,
            "command": command,
            "base": _without_seed(base),
        }
        is_new = self._is_new()
        if not is_new:
            before = self.read()
            changed = _differences(before, self.head, _resumable(base))
            if changed:
                raise WorkdirError(
                    f"{self.path} holds another study: {', '.join(changed)}. Use "
                    "another --workdir, or the same options to continue."
                )
            self.head["command"] = before.get("command", command)
        try:
            (self.path / CELLS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkdirError(
                f"Cannot write to --workdir={self.path}: {error.strerror}."
            ) from error
        if is_new and not (self.path / STUDY_FILE).exists():
            self.write([])

    def _is_new(self):
        """Whether no study is here yet; others may be beginning it at this moment."""
        try:
            names = {path.name for path in self.path.iterdir()}
        except FileNotFoundError:
            return True
        except OSError as error:
            raise WorkdirError(
                f"Cannot use --workdir={self.path}: {error.strerror}."
            ) from error
        foreign = [
            name
            for name in names - {CELLS, CLAIMS, LOGS}
            if not name.startswith(f".{STUDY_FILE}-")
        ]
        if foreign and STUDY_FILE not in names:
            raise WorkdirError(
                f"{self.path} is not empty and holds no study (no {STUDY_FILE}). Use a "
                "new folder for --workdir."
            )
        return STUDY_FILE not in names

    def read(self):
        """The record of study.json.

        Raises:
          WorkdirError: there is none, or it is of another kind.
        """
        try:
            record = json.loads((self.path / STUDY_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorkdirError(
                f"Cannot read {self.path / STUDY_FILE}: {error}."
            ) from error
        if not isinstance(record, dict) or not {*_SAME} <= set(record):
            raise WorkdirError(f"{self.path / STUDY_FILE} is no record of a study.")
        return record

    def write(self, cells, **more):
        """Write study.json.

        Args:
          cells: list of dicts, as of `summary_of`.
          **more: what else it says.
        """
        record = {**self.head, **more, "cells": cells}
        write_atomically(self.path / STUDY_FILE, json.dumps(record, indent=1) + "\n")

    def folder_of(self, run):
        """The workdir of a run."""
        return self.path / CELLS / run.name

    def log_of(self, run):
        """The file that takes what a run says."""
        return self.path / LOGS / f"{run.name}.log"

    def record_of(self, run):
        """What came of a run: the dict of its cell.json, or None if it is not done.

        Raises:
          WorkdirError: the file is damaged, or the folder cannot be read.
        """
        path = self.folder_of(run) / CELL_FILE
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["status"] not in (DONE, FAILED):
                raise KeyError("status")
            return record
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkdirError(
                f"Cannot read {path} ({error}). Remove it to run the cell again."
            ) from error

    def write_record(self, run, record):
        """Write the cell.json of a run."""
        folder = self.folder_of(run)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkdirError(f"Cannot write {folder}: {error.strerror}.") from error
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
        write_atomically(folder / CELL_FILE, text + "\n")

    def forget(self, run):
        """Remove what a failed run left, so that it starts afresh."""
        shutil.rmtree(self.folder_of(run), ignore_errors=True)


def summary_of(run, record):
    """The entry of a run in study.json.

    Args:
      run: Run.
      record: dict of its cell.json, or None.
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


def _without_seed(config):
    return {name: value for name, value in flatten(config).items() if name != "seed"}


def _resumable(config):
    """Names of the options that a continued run may change."""
    return {name for name, item, _ in walk_options(config) if is_resumable(item)}


def _differences(before, now, may_change):
    """What tells two studies apart, in words."""
    changed = [
        f"{name} (there {before[name]!r}, now {now[name]!r})"
        for name in ("study", "budget")
        if before[name] != now[name]
    ]
    if changed:
        return changed
    old = flat_with_present_names(before["base"])
    new = json.loads(json.dumps(now["base"]))
    return [
        f"{name} (there {old.get(name)!r}, now {new.get(name)!r})"
        for name in sorted({*old, *new} - may_change)
        if old.get(name) != new.get(name)
    ]
