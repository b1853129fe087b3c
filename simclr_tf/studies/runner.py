"""Runs a study, cell by cell, beside other processes that run the same one."""

import contextlib
import dataclasses
import sys
import time
import traceback

from simclr_tf.config.schema import flatten
from simclr_tf.errors import ConfigError, SimCLRError
from simclr_tf.files import write_atomically
from simclr_tf.studies.claims import Claims
from simclr_tf.studies.cost import speed_of_finished
from simclr_tf.studies.figures import study_figure
from simclr_tf.studies.progress import (
    GridProgress,
    duration_text,
    operations_text,
    result_line,
)
from simclr_tf.studies.quiet import stderr_to
from simclr_tf.studies.records import CLAIMS, DONE, FAILED, StudyFolder, summary_of
from simclr_tf.studies.rows import rows_of
from simclr_tf.studies.study import Cell, Run, runs_of, shard_of
from simclr_tf.studies.tables import in_common, study_markdown
from simclr_tf.training.workdir import versions

TABLE_FILE, PICTURE_FILE = "study.md", "study.png"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call of `run_study` left.

    Attributes:
      done, failed, pending: int, of all runs of the study.
      failed_here: int, failed runs among those of this call's shard.
    """

    done: int
    failed: int
    pending: int
    failed_here: int


class StudyRunner:
    """A study in its folder.

    Cells that are done are not done again; a cell that another living process works on
    is left to it; one that failed is kept as failed, with its message.

    Args:
      study: Study.
      base: Config that the cells change.
      budget: str, one of `simclr_tf.studies.BUDGETS`.
      workdir: path of the folder; several processes and machines may share it.
      seeds: ints, every cell is run with each.
      shard: (i, n), the part of the runs that this call works on.
      train: function of (run, folder, command=, say=) to a dict of values.
      operations: function of a Run to float, its cost.
      speed: function of a Run of the base config to a Speed, called where no cell was
        finished before.
      command: str, for the record.
      say: function of a str.
      claims: Claims; those in the folder if None.
    """

    def __init__(
        self,
        study,
        base,
        *,
        budget,
        workdir,
        train,
        operations,
        speed,
        seeds=(0,),
        shard=(1, 1),
        command="simclr_tf.studies",
        say=print,
        claims=None,
    ):
        self.study, self.base, self.budget = study, base, budget
        self.cells = study.cells(base, budget)
        self.runs = runs_of(self.cells, base, seeds)
        self.mine = shard_of(self.runs, *shard)
        self.folder = StudyFolder(workdir)
        self._train, self._cost, self._measure = train, operations, speed
        self._command, self._say = command, say
        self._claims = claims or Claims(self.folder.path / CLAIMS)
        self._others = []  # Runs of seeds that earlier calls asked for.
        self._progress = GridProgress({})

    def plan(self):
        """str: the runs of this shard and what they are expected to cost."""
        lines = [
            f"{run.name:44} {operations_text(self._operations(run))}  "
            + ", ".join(f"{name}={value}" for name, value in run.cell.changes.items())
            for run in self.mine
        ]
        speed = self._measured()
        seconds = sum(speed.seconds(self._operations(run)) for run in self.mine)
        total = sum(map(self._operations, self.mine))
        return "\n".join(
            [
                *lines,
                f"{len(self.mine)} of {len(self.runs)} runs, "
                f"{operations_text(total).strip()} in training encoders; about "
                f"{duration_text(seconds)} here, one after the other, by "
                f"{speed.origin}.",
            ]
        )

    def run(self, *, retry_failed=False):
        """Do what nobody has done and nobody does.

        Args:
          retry_failed: bool, runs that failed before start afresh.

        Returns:
          Outcome.

        Raises:
          SimCLRError: the folder belongs to something else, or cannot be written.
          KeyboardInterrupt: the study goes on with the same call.
        """
        self.folder.open(self.study, self.budget, self.base, self._command)
        may_retry = {run.name for run in self.mine} if retry_failed else set()
        self._announce(may_retry)
        left = self.mine
        while left:
            still = [run for run in left if not self._attempt(run, may_retry)]
            if len(still) == len(left):
                break  # What is left is held by others.
            left = still
        records = self.write()
        if left:
            self._say(f"{len(left)} runs are being done by other processes.")
        return self._outcome(records)

    def write(self, *, draws=True):
        """Write study.json, study.md and study.png from the cells that are there.

        Args:
          draws: bool, the picture too.

        Returns:
          dict of run name to the record of its cell.json, or None: of all seeds that
          this call or an earlier one asked for.
        """
        before = {summary["seed"] for summary in self.folder.read()["cells"]}
        known = {run.seed for run in self.runs}
        self._others += runs_of(
            self.cells,
            self.base,
            sorted(before - known - {run.seed for run in self._others}),
        )
        runs = sorted([*self.runs, *self._others], key=lambda run: run.seed)
        records = {run.name: self.folder.record_of(run) for run in runs}
        summaries = [summary_of(run, records[run.name]) for run in runs]
        rows, paper = rows_of(self.cells, summaries), self.study.paper
        self.folder.write(
            summaries,
            rows=[dataclasses.asdict(row) for row in rows],
            note=paper.note,
            paper_numbers=[
                {"series": series, "x": x, "value": value}
                for (series, x), value in paper.numbers.items()
            ],
        )
        record = self.folder.read()
        write_atomically(
            self.folder.path / TABLE_FILE,
            study_markdown(self.study, self.cells, record),
        )
        if draws:
            try:
                study_figure(
                    self.study,
                    rows,
                    self.folder.path / PICTURE_FILE,
                    ours=in_common(self.cells, flatten(self.base)),
                )
            except ConfigError as error:  # matplotlib is an extra.
                self._say(f"No figure: {error}")
        return records

    def _announce(self, may_retry):
        records = [(run, self.folder.record_of(run)) for run in self.mine]
        todo = [
            run
            for run, record in records
            if record is None or record["status"] == FAILED and run.name in may_retry
        ]
        total = sum(map(self._operations, todo))
        self._say(
            f"{self.study.title} ({self.study.paper.source}): {len(self.mine)} "
            f"runs, {len(self.mine) - len(todo)} done before, "
            f"{operations_text(total).strip()} to train."
        )
        if not todo:
            return
        speed = speed_of_finished(
            (self._operations(run), record["wall_seconds"])
            for run, record in records
            if record and record["status"] == DONE
        )
        if speed is None:
            speed = self._measured()
        self._progress = GridProgress(
            {run.name: speed.seconds(self._operations(run)) for run in todo}
        )
        seconds = self._progress.seconds_left(run.name for run in todo)
        self._say(
            f"About {duration_text(seconds)}, one after the other, by {speed.origin}."
        )

    def _operations(self, run):
        """The cost of a run; 0 of one that cannot run: it will fail, and say why."""
        try:
            return self._cost(run)
        except SimCLRError:
            return 0.0

    def _measured(self):
        return self._measure(
            Run(Cell("base", self.cells[0].points), self.runs[0].seed, self.base)
        )

    def _attempt(self, run, may_retry):
        """Whether a run is over, after this call; False: somebody else has it."""
        if self._is_over(run, may_retry):
            return True
        with self._claims.taken(run.name) as claim:
            if claim is None:
                return False
            if self._is_over(run, may_retry):  # It was finished a moment ago.
                return True
            if run.name in may_retry:
                may_retry.discard(run.name)
                self.folder.forget(run)
            record = self._done(run)
            if not claim.is_ours():
                self._say(
                    f"{run.name} was taken over by another process, to which "
                    "this one seemed dead; its result is left to it."
                )
                return False
            self.folder.write_record(run, record)
        self.write(draws=False)
        self._tell(run, record)
        return True

    def _is_over(self, run, may_retry):
        record = self.folder.record_of(run)
        return record is not None and (
            record["status"] == DONE or run.name not in may_retry
        )

    def _done(self, run):
        """The record of a run that was done now, or failed."""
        started = time.monotonic()
        record = {
            "status": DONE,
            "error": None,
            "command": self._command,
            "versions": versions(),
        }
        try:
            with self._logged(run) as say:
                record["values"] = self._train(
                    run, self.folder.folder_of(run), command=self._command, say=say
                )
        except Exception as error:  # Of whatever kind: it is shown with the cell.
            record["status"], record["values"] = FAILED, {}
            record["error"] = (
                str(error)
                if isinstance(error, SimCLRError)
                else (f"{type(error).__name__}: {error}")
            )
            if not isinstance(error, SimCLRError):
                with self.folder.log_of(run).open("a", encoding="utf-8") as log:
                    log.write(traceback.format_exc())
        record["wall_seconds"] = round(time.monotonic() - started, 3)
        return record

    @contextlib.contextmanager
    def _logged(self, run):
        """What a run says goes to its log; a bar stays on the screen."""
        path = self.folder.log_of(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:

            def say(text):
                print(text, file=log, flush=True)

            with contextlib.nullcontext() if sys.stderr.isatty() else stderr_to(log):
                yield say

    def _tell(self, run, record):
        """One line: what came of a run, and how long the rest will take."""
        self._progress.took(run.name, record["wall_seconds"])
        left = [
            other.name for other in self.mine if self.folder.record_of(other) is None
        ]
        # Others take their share of the queue.
        workers = 1 + sum(map(self._claims.is_held, left))
        self._say(
            result_line(
                run,
                record,
                number=len(self.mine) - len(left),
                total=len(self.mine),
                left=len(left),
                seconds=self._progress.seconds_left(left, workers),
            )
        )

    def _outcome(self, records):
        statuses = [record and record["status"] for record in records.values()]
        here = {run.name for run in self.mine}
        return Outcome(
            statuses.count(DONE),
            statuses.count(FAILED),
            statuses.count(None),
            sum(
                1
                for name, record in records.items()
                if name in here and record and record["status"] == FAILED
            ),
        )
