"""The queue: every run once, whoever works on it, whoever dies, whatever fails."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.errors import Interrupted, NonFiniteError, WorkdirError
from simclr_tf.studies import Cell, Figure, PaperNumbers, Point, Study, quiet
from simclr_tf.studies import runner as runner_module
from simclr_tf.studies.claims import Claims
from simclr_tf.studies.cost import Speed, measured_speed
from simclr_tf.studies.runner import StudyRunner

NUMBER = 6


@pytest.fixture
def undrawn(monkeypatch):
    """The figure takes longer than all the rest."""
    monkeypatch.setattr(runner_module, "study_figure", lambda *args, **kwargs: None)


def cells(base, budget):
    return tuple(
        Cell(
            f"t{n}", (Point("linear", "ours", n),), {"objective.temperature": float(n)}
        )
        for n in range(1, NUMBER + 1)
    )


STUDY = Study(
    "toy",
    "A toy",
    "Does it run?",
    cells,
    Figure("lines", "temperature", "accuracy (%)"),
    PaperNumbers("Table 0", "Made up.", {("ours", 1): 50.0}),
)


class Trainer:
    """Values from the config; notes who ran what; fails or waits where it is told."""

    def __init__(self, error=None, pause=0.0):
        self.ran, self.error, self.pause = [], error or {}, pause

    def __call__(self, run, folder, *, command, say):
        self.ran.append(run.name)
        say(f"training {run.name}")
        time.sleep(self.pause)
        if run.cell.name in self.error:
            raise self.error[run.cell.name]
        return {"linear": 10 * run.config.objective.temperature + run.seed}


def runner(folder, train, *, base=None, **kwargs):
    said = kwargs.pop("said", [])
    return StudyRunner(
        STUDY,
        base or Config(),
        budget="small",
        workdir=folder,
        train=train,
        operations=lambda run: 1e9 * run.config.objective.temperature,
        speed=lambda run: Speed(1.0, 1e9, "a guess"),
        say=said.append,
        **kwargs,
    )


def study_json(folder):
    return json.loads((folder / "study.json").read_text())


def test_a_study_writes_its_record_its_table_its_figure_and_every_cell(tmp_path):
    train, said = Trainer(), []
    outcome = runner(
        tmp_path / "s", train, seeds=(0, 2), command="simclr-tf ablate x", said=said
    ).run()
    assert (outcome.done, outcome.failed, outcome.pending) == (2 * NUMBER, 0, 0)
    assert train.ran[:2] == ["t1-seed0", "t2-seed0"]  # All cells of one seed first.
    record = study_json(tmp_path / "s")
    assert record["study"] == "toy" and record["command"] == "simclr-tf ablate x"
    assert record["paper"] == "Table 0" and len(record["cells"]) == 2 * NUMBER
    first = record["cells"][0]
    assert first["values"] == {"linear": 10.0} and first["status"] == "done"
    cell = json.loads((tmp_path / "s" / first["workdir"] / "cell.json").read_text())
    assert cell["config"]["objective"]["temperature"] == 1.0 and cell["error"] is None
    rows = {row["x"]: (row["mean"], row["count"]) for row in record["rows"]}
    assert rows[1] == (11.0, 2) and rows[6] == (61.0, 2)
    table = (tmp_path / "s" / "study.md").read_text()
    assert "11.0 ± 1.4 |        50.0 |" in table
    assert (tmp_path / "s" / "study.png").stat().st_size > 10_000
    # Progress and time before and during, over the whole grid.
    assert "12 runs, 0 done before" in said[0] and "by a guess" in said[1]
    assert said[2].startswith("[1/12] t1-seed0  linear 10.0") and "11 left" in said[2]
    assert "until " in said[2] and "all done" in said[-1]
    assert not list((tmp_path / "s" / "claims").iterdir())


def test_what_is_done_is_not_done_again_and_seeds_are_added(undrawn, tmp_path):
    first, second, third = Trainer(), Trainer(), Trainer()
    runner(tmp_path, first).run()
    said = []
    outcome = runner(tmp_path, second, seeds=(0, 1), said=said).run()
    assert set(first.ran) | set(second.ran) == {
        f"t{n}-seed{s}" for n in range(1, NUMBER + 1) for s in (0, 1)
    }
    assert not set(first.ran) & set(second.ran) and outcome.done == 2 * NUMBER
    assert "6 finished cells" in said[1]
    assert runner(tmp_path, third).run().done == 2 * NUMBER  # Seed 1 is still shown.
    assert not third.ran


def test_shards_do_their_part_and_no_more(undrawn, tmp_path):
    parts = [Trainer(), Trainer()]
    outcomes = [
        runner(tmp_path, part, shard=(index, 2)).run()
        for index, part in enumerate(parts, 1)
    ]
    assert outcomes[0].pending == NUMBER // 2 and outcomes[1].pending == 0
    assert set(parts[0].ran) == {"t1-seed0", "t3-seed0", "t5-seed0"}
    assert not set(parts[0].ran) & set(parts[1].ran)


def test_several_at_once_share_the_queue_and_never_a_run(undrawn, tmp_path):
    trainers = [Trainer(pause=0.01) for _ in range(4)]
    threads = [
        threading.Thread(target=runner(tmp_path, train, seeds=(0, 1)).run)
        for train in trainers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ran = [name for train in trainers for name in train.ran]
    assert len(ran) == len(set(ran)) == 2 * NUMBER
    assert all(s["status"] == "done" for s in study_json(tmp_path)["cells"])


def test_a_failed_cell_is_shown_with_its_message_and_kept_until_asked(
    undrawn, tmp_path
):
    errors = {"t2": NonFiniteError("The loss is | not finite."), "t4": TypeError("bug")}
    said = []
    outcome = runner(tmp_path, Trainer(errors), said=said).run()
    assert (outcome.done, outcome.failed, outcome.failed_here) == (4, 2, 2)
    found = {s["name"]: s for s in study_json(tmp_path)["cells"]}
    assert found["t2"]["status"] == "failed"
    assert found["t2"]["error"] == "The loss is | not finite."
    assert found["t4"]["error"] == "TypeError: bug"
    assert any("FAILED: The loss" in line for line in said)
    log = (tmp_path / "logs" / "t4-seed0.log").read_text()
    assert "training t4" in log and "Traceback" in log
    assert "| failed" in (tmp_path / "study.md").read_text()
    again, retried = Trainer(), Trainer()
    assert runner(tmp_path, again).run().failed == 2 and not again.ran
    leftover = tmp_path / "cells" / "t2-seed0" / "half.ckpt"
    leftover.touch()
    assert runner(tmp_path, retried).run(retry_failed=True).failed == 0
    assert retried.ran == ["t2-seed0", "t4-seed0"] and not leftover.exists()


def test_a_logger_that_first_spoke_in_a_run_speaks_on_after_it(undrawn, tmp_path):
    handlers, errors = [], io.StringIO()

    def train(run, folder, *, command, say):
        if not handlers:
            handlers.append(logging.StreamHandler(sys.stderr))
        handlers[0].handle(logging.makeLogRecord({"msg": f"from {run.name}"}))
        return {"linear": 1.0}

    with contextlib.redirect_stderr(errors):
        runner(tmp_path, train).run()
        handlers[0].handle(logging.makeLogRecord({"msg": "afterwards"}))
    assert errors.getvalue() == "afterwards\n"
    assert (tmp_path / "logs" / "t5-seed0.log").read_text() == "from t5-seed0\n"


def test_an_interruption_leaves_a_queue_that_goes_on(undrawn, tmp_path):
    with pytest.raises(Interrupted):
        runner(tmp_path, Trainer({"t3": Interrupted("SIGINT", 2)})).run()
    assert not list((tmp_path / "claims").iterdir())
    assert [s["status"] for s in study_json(tmp_path)["cells"]].count("done") == 2
    rest = Trainer()
    assert runner(tmp_path, rest).run().done == NUMBER
    assert rest.ran[0] == "t3-seed0"


def a_claim(folder, name, **holder):
    """The file that a process leaves when it is killed."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.0.claim"
    path.write_text(json.dumps(holder))
    return path


def of_this_machine(folder, process):
    with Claims(folder).taken("other"):
        record = json.loads((folder / "other.0.claim").read_text())
    return {**record, "process": process}


def test_the_claim_of_a_dead_process_is_taken_over_by_exactly_one(tmp_path):
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    a_claim(tmp_path, "t1", **of_this_machine(tmp_path, gone.pid))
    claims, taken = [Claims(tmp_path) for _ in range(8)], []
    barrier, done = threading.Barrier(8), threading.Barrier(8)

    def take(claim):
        barrier.wait()
        with claim.taken("t1") as mine:
            taken.append(mine is not None)
            done.wait()  # Nobody lets go before everybody tried.

    threads = [threading.Thread(target=take, args=(claim,)) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]
    assert not list(tmp_path.glob("t1.*"))  # The dead one's file is gone too.


def test_the_living_keep_their_claims_whatever_the_machine(tmp_path):
    a_claim(tmp_path, "here", **of_this_machine(tmp_path, os.getpid()))
    there = a_claim(tmp_path, "there", machine="another", process=1)
    unfinished = tmp_path / "unfinished.0.claim"
    unfinished.touch()
    claims = Claims(tmp_path, dead_after_seconds=60.0)
    for name in ("here", "there", "unfinished"):
        assert claims.is_held(name)
        with claims.taken(name) as mine:
            assert mine is None
    for path in (there, unfinished):  # No heartbeat for long.
        os.utime(path, (time.time() - 61, time.time() - 61))
        name = path.name.split(".")[0]
        with claims.taken(name) as mine:
            assert mine.is_ours()


def test_who_seemed_dead_leaves_the_result_to_who_took_over(undrawn, tmp_path):
    claims = Claims(tmp_path / "claims")

    def train(run, folder, *, command, say):
        if run.name == "t1-seed0":  # Another process creates the next claim.
            (tmp_path / "claims" / "t1-seed0.1.claim").write_text(
                json.dumps({"machine": "another", "process": 1})
            )
        return {"linear": 1.0}

    outcome = runner(tmp_path, train, claims=claims).run()
    assert (outcome.done, outcome.pending) == (NUMBER - 1, 1)
    assert not (tmp_path / "cells" / "t1-seed0" / "cell.json").exists()


def test_a_folder_of_something_else_is_refused(undrawn, tmp_path):
    runner(tmp_path / "a", Trainer(), shard=(1, 6)).run()
    other = override(Config(), {"epochs": 3})
    with pytest.raises(WorkdirError, match=r"epochs \(there 100, now 3\)"):
        runner(tmp_path / "a", Trainer(), base=other).run()
    elsewhere = override(Config(), {"performance.intra_op_threads": 2})
    runner(tmp_path / "a", Trainer(), base=elsewhere, shard=(1, 6)).run()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(WorkdirError, match="holds no study"):
        runner(tmp_path / "b", Trainer()).run()
    (tmp_path / "a" / "cells" / "t1-seed0" / "cell.json").write_text("{")
    with pytest.raises(WorkdirError, match="Remove it to run the cell again"):
        runner(tmp_path / "a", Trainer(), shard=(1, 6)).run()


def test_a_plan_lists_the_cells_and_their_cost(tmp_path):
    plan = runner(tmp_path, Trainer(), shard=(1, 2)).plan()
    lines = plan.splitlines()
    assert lines[0].split()[:3] == ["t1-seed0", "1.00", "GFLOP"]
    assert "objective.temperature=3.0" in lines[1]
    # 3 runs, a second each and 1 + 3 + 5 for their operations.
    assert lines[-1].startswith("3 of 6 runs, 9.00 GFLOP") and "12 seconds" in plan
    assert not list(tmp_path.iterdir())


def test_measured_steps_give_the_speed(monkeypatch):
    from simclr_tf.studies import cost

    def pretrain(config, *, callbacks, say):
        assert config.steps == 8
        for _ in range(config.steps):
            time.sleep(0.02)
            callbacks[0].on_train_batch_end(0)

    monkeypatch.setattr(cost, "pretrain_from_config", pretrain)
    (run, *_) = runner("unused", None).runs
    speed = measured_speed(run, 2e9)
    assert 5e9 < speed.operations_a_second < 1.05e11  # 2e9 in 0.02 s, or slower.
    assert 0.04 <= speed.seconds_a_run and "4 measured steps" in speed.origin


def test_only_the_warning_of_retracing_is_kept_from_the_log(caplog):
    log = logging.getLogger("tensorflow")
    with quiet.without_warnings_of_retracing():
        log.warning("5 out of the last %d calls triggered tf.function retracing.", 11)
        log.warning("Another matter.")
    log.warning("5 out of the last 12 calls triggered tf.function retracing.")
    assert [record.getMessage()[:7] for record in caplog.records] == [
        "Another",
        "5 out o",
    ]
