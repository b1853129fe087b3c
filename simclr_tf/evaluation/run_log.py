"""The log of the runs of a protocol, from which an interrupted evaluation continues."""

import dataclasses
import json
import os
import pathlib

from simclr_tf.errors import WorkdirError
from simclr_tf.limits import parse_json


@dataclasses.dataclass(frozen=True)
class LabelRun:
    """One training, or one probe, on the labels of one draw.

    Attributes:
      representation: str, what was trained: "fine-tuned", ...
      budget: str, title of the label budget: "1 %".
      epochs: int, planned passes over the labelled images; None without training.
      seed: int, of the draw, of the order and the views, and of initial values.
      accuracy_percent: float, on the test images.
      num_train_labels: int, labels that were used, held-out ones included.
      num_test: int, test images.
      wall_seconds: float.
      settings: dict, the settings: epochs, learning rate, chosen penalty, ...
      variant: str, further settings that tell runs of one log apart.
    """

    representation: str
    budget: str
    epochs: int | None
    seed: int
    accuracy_percent: float
    num_train_labels: int
    num_test: int
    wall_seconds: float
    settings: dict
    variant: str = ""

    @property
    def key(self):
        """The values that identify a run of one protocol."""
        variant = [self.variant] if self.variant else []
        return self.representation, self.budget, self.epochs, *variant, self.seed


class RunLog:
    """Finished runs, each written to a file at once.

    The first line has the settings of all runs; a file with other settings is refused.
    An incomplete last line, of a killed process, is dropped.

    Args:
      path: path of the file; None keeps runs in memory only.
      identity: dict, JSON: the settings that all runs share.

    Raises:
      WorkdirError: the file belongs to other settings or cannot be used.

    Example:
      >>> log = RunLog(None, {})
      >>> log.add(LabelRun("fine-tuned", "1 %", 60, 0, 80.0, 600, 10_000, 1.0, {}))
      >>> [("fine-tuned", "1 %", 60, seed) in log for seed in (0, 1)]
      [True, False]
    """

    def __init__(self, path, identity):
        self._path = None if path is None else pathlib.Path(path)
        self._runs = {}
        if self._path is None:
            return
        self._identity = json.loads(json.dumps(identity))
        try:
            lines = self._whole_lines()
        except OSError as error:
            raise WorkdirError(f"Cannot use {self._path}: {error.strerror}.") from error
        if lines:
            self._read(lines)

    @staticmethod
    def settings_at(path):
        """Read the settings in the first line of a log; an empty dict without one."""
        try:
            with pathlib.Path(path).open(encoding="utf-8") as file:
                found = parse_json(file.readline(), finite=False)
        except (OSError, ValueError):
            return {}  # A damaged log is refused when it is opened.
        return found if isinstance(found, dict) else {}

    def __contains__(self, key):
        return key in self._runs

    def add(self, run):
        """Add a run, and write it to the disk."""
        self._runs[run.key] = run
        if self._path is not None:
            try:
                if not self._path.exists():
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._append(self._identity)
                self._append(dataclasses.asdict(run))
            except OSError as error:
                raise WorkdirError(
                    f"Cannot write {self._path}: {error.strerror}."
                ) from error

    def runs(self, cell, seeds):
        """Return the runs of a cell, in the order of the seeds.

        Args:
          cell: tuple (representation, budget, epochs), and the variant if there is one.
          seeds: iterable of int.

        Returns:
          list of LabelRun.
        """
        return [self._runs[(*cell, seed)] for seed in seeds]

    def holds(self, measurement):
        """Tell whether the runs of this log are those behind a measurement.

        Args:
          measurement: Measurement of the few labels of a budget, over seeds.

        Returns:
          bool; False where it is of other settings, or of a log that was removed.
        """
        settings = measurement.settings
        values = zip(settings["seeds"], settings["accuracies_percent"], strict=True)
        known = {
            (run.representation, run.budget, run.seed, round(run.accuracy_percent, 4))
            for run in self._runs.values()
        }
        return known.issuperset(
            (measurement.representation, settings["budget"], seed, value)
            for seed, value in values
        )

    def _whole_lines(self):
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if not whole:  # Killed within the first line.
            self._path.unlink()
        elif whole != text:
            with self._path.open("r+", encoding="utf-8") as file:
                file.truncate(len(whole.encode("utf-8")))
        return whole.splitlines()

    def _append(self, record):
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, lines):
        try:
            before, *records = (parse_json(line, finite=False) for line in lines)
            runs = [LabelRun(**record) for record in records]
        except (ValueError, TypeError) as error:
            raise WorkdirError(
                f"{self._path} is damaged ({error}). Remove it, or use another "
                "--output."
            ) from error
        identity = self._identity
        changed = [
            name
            for name in sorted({*before, *identity})
            if before.get(name) != identity.get(name)
            # Images that were moved are known by their fingerprints.
            and not (name == "data" and "train" in identity)
        ]
        if changed:
            what = ", ".join(
                f"{name} (there {before.get(name)!r}, now {identity.get(name)!r})"
                for name in changed
            )
            raise WorkdirError(
                f"{self._path} holds runs of other settings: {what[:600]}. Use another "
                "--output, or the same settings to continue."
            )
        self._runs = {run.key: run for run in runs}
