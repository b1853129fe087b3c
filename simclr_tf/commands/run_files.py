"""The files of a run, read once: configuration, curve, results."""

import dataclasses
import pathlib

from simclr_tf.config import Config
from simclr_tf.errors import DataError
from simclr_tf.evaluation import (
    EVALUATION_FILE,
    FINETUNE_FILE,
    TRANSFER_FILE,
    Results,
    read_results,
)
from simclr_tf.training import CheckpointStore, Workdir
from simclr_tf.training.records import read_metrics
from simclr_tf.training.workdir import CHECKPOINTS, METRICS_FILE

RESULT_FILES = (EVALUATION_FILE, FINETUNE_FILE, TRANSFER_FILE)


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """The content of a run's files.

    Attributes:
      name: str, name of the run on a page.
      workdir: Workdir.
      record: dict of config.json: config, data, versions, command.
      config: Config.
      records: list of dicts, one an epoch, of metrics.jsonl.
      results: dict of file name to Results, those of `RESULT_FILES` that exist.
      step: int of the newest complete checkpoint, or None.
      problems: tuple of str, files that could not be read.
    """

    name: str
    workdir: Workdir
    record: dict
    config: Config
    records: list
    results: dict[str, Results]
    step: int | None
    problems: tuple = ()

    @property
    def last(self):
        """The last record of the curve; empty if there is none."""
        return self.records[-1] if self.records else {}

    @property
    def seconds(self):
        """float, training time of all epochs together."""
        return float(sum(record.get("seconds", 0.0) for record in self.records))


def read_run(path, name=None):
    """Read the files of a run.

    Args:
      path: path of a workdir.
      name: str; the folder's own name if None.

    Returns:
      RunFiles.

    Raises:
      WorkdirError: the path is not a workdir, or its config.json is damaged.
    """
    workdir = Workdir(path)
    record, config = workdir.read(), workdir.config()
    results, problems = {}, []
    for file in RESULT_FILES:
        if workdir.has(file):
            try:
                results[file] = read_results(workdir.path / file)
            except DataError as error:
                problems.append(str(error))
    checkpoint = CheckpointStore(workdir.path / CHECKPOINTS).latest()
    return RunFiles(
        name or workdir.path.resolve().name,
        workdir,
        record,
        config,
        read_metrics(workdir.path / METRICS_FILE),
        results,
        None if checkpoint is None else checkpoint.step,
        tuple(problems),
    )


def names_of(paths):
    """Shorten the paths of runs to the last parts, as many as make them different.

    Args:
      paths: list of paths.

    Returns:
      list of str.

    Example:
      >>> names_of(["runs/a/x", "runs/b/x"]), names_of(["runs/a", "runs/b"])
      (['a/x', 'b/x'], ['a', 'b'])
    """
    parts = [pathlib.Path(path).expanduser().resolve().parts for path in paths]
    for number in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-number:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({place})" for place, name in enumerate(names, 1)]
