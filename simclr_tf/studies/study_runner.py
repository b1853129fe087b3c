"""Running of a study: its cells one after another, each in its own workdir.

Several machines divide a study by static shards: shard i of n runs every n-th cell, and
all shards write to one folder. No process waits for another.
"""

import dataclasses
import datetime
import logging
import sys
import time
import traceback

from simclr_tf.config.schema import override
from simclr_tf.errors import (
    DataError,
    InUseError,
    SimCLRError,
    WorkdirError,
    require,
)
from simclr_tf.export.card import wall_time_text
from simclr_tf.locks import sole_writer
from simclr_tf.studies.cell_work import labelled_sources, run_cell, strategy_of
from simclr_tf.studies.rows import DONE, FAILED
from simclr_tf.studies.study import runs_of, shard_of
from simclr_tf.studies.study_cost import (
    Estimate,
    Operations,
    chosen_seconds,
    measured_speed,
    operations_text,
)
from simclr_tf.studies.study_folder import StudyFolder
from simclr_tf.training.batches import open_training_source
from simclr_tf.training.precision import choose_precision
from simclr_tf.training.run import set_threads
from simclr_tf.training.workdir import versions

_LOGGER = logging.getLogger("simclr_tf")
_DAY_SECONDS = 24 * 3600


def run_study(
    study,
    base,
    *,
    budget,
    workdir,
    seeds=(0,),
    only=(),
    shard=(1, 1),
    retry_failed=False,
    dry_run=False,
    command="simclr_tf.studies",
    say=None,
):
    """Run every cell of a study, or of one shard, that has not ended.

    Writes study.json, study.md, study.png and cells/NAME-seedS/, each a workdir with
    its cell.json. The same call continues.

    Args:
      study: Study.
      base: Config, from `base_config`.
      budget: str, one of `BUDGETS`.
      workdir: path of the study's folder, shared by all shards.
      seeds: ints.
      only: strs, run only the cells whose NAME-seedS has one of them; all if empty.
      shard: (i, n) with 1 <= i <= n, a part of those.
      retry_failed: bool, run again the cells that failed before.
      dry_run: bool, print the cells and their cost, measured by a few steps, and write
        nothing.
      command: str, the command line, kept in the records.
      say: function that prints a line (str); the default flushes each line.

    Returns:
      Outcome; None for a dry run.

    Raises:
      SimCLRError: invalid options, data or folder; errors within a cell are recorded.
    """
    say = say or (lambda text: print(text, flush=True))
    _check(study, base, budget)
    base = override(base, {"cluster": "none"})
    set_threads(base.performance)  # Before the measured steps, as TensorFlow requires.
    source = open_training_source(base)
    if study.needs_colour and source.channels == 1:
        raise DataError(
            f"The study {study.name} is about colour and needs colour images. "
            f"Received: data={base.data.source!r}, channels=1."
        )
    # Fails early without labels.
    labelled = labelled_sources(base, source.channels)
    precision = choose_precision(base.precision, strategy_of(base))
    say(precision.line())
    operations = Operations(source)
    runner = StudyRunner(
        study,
        base,
        budget=budget,
        workdir=workdir,
        seeds=seeds,
        only=only,
        shard=shard,
        train=run_cell,
        estimate=Estimate(
            operations.of,
            lambda: measured_speed(base, operations.of_step(base)),
            chosen_seconds,
        ),
        command=command,
        say=say,
        made_with={
            "images": [part.fingerprint() for part in labelled],
            "precision": precision.name,
        },
    )
    if dry_run:
        say(runner.plan())
        return None
    # TensorFlow mistakes the networks of successive cells for retracing.
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_is_not_about_retracing)
    try:
        outcome = runner.run(retry_failed=retry_failed)
    finally:
        logger.removeFilter(_is_not_about_retracing)
    say(f"{outcome.done} done, {outcome.failed} failed, {outcome.pending} pending.")
    return outcome


def _check(study, base, budget):
    """Refuse options that the cells of a study cannot share."""
    require(
        base.strategy != "multi_worker" and base.cluster in ("auto", "none"),
        "The cells of a study are independent "
        "runs of one process each: start this command on every machine, with a "
        "shared --workdir and with --shard=i/n.",
        strategy=base.strategy,
        cluster=base.cluster,
    )
    cells = study.cells(base, budget)
    lengths = {"steps": base.steps, "minutes": base.minutes}
    given = {name: value for name, value in lengths.items() if value is not None}
    name = next(iter(given), "steps")
    require(
        not given or not any("epochs" in cell.changes for cell in cells),
        f"The study {study.name} varies the epochs, and `{name}` would override them.",
        **given,
    )
    require(
        not given or all(cell.work in ("pretrain", "baselines") for cell in cells),
        f"The study {study.name} also trains networks of which `{name}` is not the "
        "length: give `epochs` instead.",
        **given,
    )


def _is_not_about_retracing(record):
    return "tf.function retracing" not in record.getMessage()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The state of a study after a call of `run_study`.

    Attributes:
      done, failed, pending: int, of all runs of the study.
      failed_here: int, failed runs of this call's shard.
    """

    done: int
    failed: int
    pending: int
    failed_here: int


class StudyRunner:
    """A study in its folder.

    A finished cell is not run again. A cell that fails is recorded with its message,
    and the next cell begins.

    Args:
      study: Study.
      base: Config that the cells change.
      budget: str, one of `simclr_tf.studies.BUDGETS`.
      workdir: path of the folder.
      train: function of (run, folder, command=, say=, stream=) to a dict of values.
      estimate: Estimate of the cost of runs.
      seeds: ints; every cell is run with each.
      only: strs, run only the cells whose NAME-seedS has one of them; all if empty.
      shard: (i, n), the part of those runs that this call runs.
      command: str, for the records.
      say: function that prints a line (str).
      made_with: dict, JSON: what no option tells and all cells share.

    Raises:
      ConfigError: no run has a text of `only` in its name, or the shard is not one.
    """

    def __init__(
        self,
        study,
        base,
        *,
        budget,
        workdir,
        train,
        estimate,
        seeds=(0,),
        only=(),
        shard=(1, 1),
        command="simclr_tf.studies",
        say=print,
        made_with=None,
    ):
        self.study, self.seeds = study, seeds
        self.runs = runs_of(study.cells(base, budget), base, seeds)
        for text in only:
            require(
                any(text in run.name for run in self.runs),
                f"`only` must be in the name of a run of {study.name}, e.g. "
                f"{self.runs[0].name} or {self.runs[-1].name}; --dry_run lists all.",
                only=text,
            )
        texts = only or ("",)
        chosen = [r for r in self.runs if any(text in r.name for text in texts)]
        self.mine = shard_of(chosen, *shard)
        self.folder = StudyFolder(workdir, study, budget, base, made_with)
        self._train, self._estimate = train, estimate
        self._command, self._say = command, say

    def plan(self):
        """Describe the runs of this shard and their expected cost; returns str."""
        lines = [
            f"{run.name:44} {self._operations([run]):>14}  "
            + ", ".join(f"{name}={value}" for name, value in run.cell.changes.items())
            for run in self.mine
        ]
        lines.append(
            f"{len(self.mine)} of {len(self.runs)} runs, {self._operations(self.mine)} "
            f"in training encoders. {self._estimate.text(self.mine)}"
        )
        return "\n".join([*lines, *self._refusals(self.mine)])

    def run(self, *, retry_failed=False):
        """Run the cells of this shard that are not over.

        Args:
          retry_failed: bool, start failed runs again.

        Returns:
          Outcome.

        Raises:
          SimCLRError: the folder is not of this study, or cannot be written.
          KeyboardInterrupt: an interruption; the same call continues.
        """
        self.folder.check(self._command)
        before = self.folder.records_of(self.mine)
        over = (DONE,) if retry_failed else (DONE, FAILED)
        left = [
            run
            for run in self.mine
            if not before[run.name] or before[run.name]["status"] not in over
        ]
        self._say(
            f"{self.study.title} ({self.study.paper.source}): {len(self.mine)} runs, "
            f"{len(self.mine) - len(left)} done before, "
            f"{self._operations(left)} to train."
        )
        if left:
            self._say(self._estimate.text(left, self._finished()))
        for line in self._refusals(left):
            self._say(line)
        self.folder.begin(self.seeds)
        while left:
            run = left.pop(0)
            record = self._run_cell(run, before[run.name])
            if record is None:
                continue
            self.folder.write(self.seeds, draws=False)
            self._say(self._result_line(run, record, left))
        return self._outcome(self.folder.write(self.seeds, say=self._say))

    def _run_cell(self, run, before):
        """Run a cell; return its new record, or None while another process runs it.

        Shards never share a cell. The lock is for commands that were started twice.
        """
        try:
            with sole_writer(self.folder.lock_of(run), run.name):
                return self._run_locked_cell(run, before)
        except InUseError as error:
            self._say(str(error))
            return None

    def _run_locked_cell(self, run, before):
        log = self.folder.log_of(run)
        try:
            log.touch()
        except OSError as error:
            raise WorkdirError(f"Cannot write {log}: {error.strerror}.") from error
        record = self.folder.record_of(run)
        if record != before:  # Another process finished it a moment ago.
            return record
        if before is not None:
            self.folder.forget(run)
        record = self._trained(run, log)
        self.folder.write_record(run, record)
        return record

    def _trained(self, run, log):
        """Train a cell; its report, progress and warnings go to its log."""
        started = time.monotonic()
        record = {
            "status": DONE,
            "error": None,
            "command": self._command,
            "versions": versions(),
        }
        with log.open("a", encoding="utf-8") as file:
            warnings = logging.StreamHandler(file)
            _LOGGER.addHandler(warnings)
            try:
                record["values"] = self._train(
                    run,
                    self.folder.folder_of(run),
                    command=self._command,
                    say=lambda text: print(text, file=file, flush=True),
                    # On a terminal, the bar is shown instead.
                    stream=None if sys.stderr.isatty() else file,
                )
            except InUseError:  # Its workdir, by a `pretrain` of the user's.
                raise
            except SimCLRError as error:
                record.update(status=FAILED, values={}, error=str(error))
            except Exception as error:  # A bug in one cell must not stop the study.
                message = f"{type(error).__name__}: {error}"
                record.update(status=FAILED, values={}, error=message)
                traceback.print_exc(file=file)
            finally:
                _LOGGER.removeHandler(warnings)
        record["wall_seconds"] = round(time.monotonic() - started, 3)
        return record

    def _refusals(self, runs):
        """Write a line for each reason for which runs cannot begin."""
        return [
            f"Cannot begin: {len(refused)} of them, e.g. {refused[0].name}. {message}"
            for message, refused in self._estimate.refusals(runs).items()
        ]

    def _operations(self, runs):
        return operations_text(self._estimate.operations(runs))

    def _finished(self):
        """List the runs of this shard that are done: (Run, its seconds)."""
        records = self.folder.records_of(self.mine)
        return [
            (run, records[run.name]["wall_seconds"])
            for run in self.mine
            if records[run.name] and records[run.name]["status"] == DONE
        ]

    def _result_line(self, run, record, left):
        """Print the values of a run, and the remaining time, in a line."""
        if record["status"] == FAILED:
            what = f"FAILED: {' '.join(record['error'].split())}"
        else:
            what = ", ".join(
                f"{point.value} {record['values'].get(point.value, float('nan')):.1f}"
                for point in run.cell.points[:4]
            )
        rest = "all done"
        if left:
            seconds = self._estimate.seconds(left, self._finished())
            rest = f"{len(left)} left, about {wall_time_text(seconds)}"
            if seconds < _DAY_SECONDS:
                end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
                rest += f", until {end:%H:%M}"
        return (
            f"[{len(self.mine) - len(left)}/{len(self.mine)}] {run.name}  {what}  "
            f"{record['wall_seconds']:.0f} s  | {rest}"
        )

    def _outcome(self, records):
        statuses = [record and record["status"] for record in records.values()]
        here = [records[run.name] for run in self.mine]
        return Outcome(
            statuses.count(DONE),
            statuses.count(FAILED),
            statuses.count(None),
            sum(1 for record in here if record and record["status"] == FAILED),
        )
