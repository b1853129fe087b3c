"""Every cell runs once, in its shard, whatever is interrupted and whatever fails."""

import json
import logging
import os
import pathlib
import threading
import time
import types

import pytest

from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.errors import ConfigError, Interrupted, NonFiniteError, WorkdirError
from simclr_tf.files import temporary_name
from simclr_tf.studies import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Run,
    Study,
    get_study,
    study_cost,
    study_folder,
)
from simclr_tf.studies.study_cost import (
    Estimate,
    Speed,
    chosen_seconds,
    measured_speed,
)
from simclr_tf.studies.study_runner import StudyRunner
from simclr_tf.tools import ablate

NUMBER = 6


@pytest.fixture
def undrawn(monkeypatch):
    """The figure takes longer than all the rest."""
    undrawn = types.SimpleNamespace(save=lambda path: None)
    monkeypatch.setattr(study_folder, "study_figure", lambda *args, **kwargs: undrawn)


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
    Chart("lines", "temperature", "accuracy (%)"),
    PaperNumbers("Table 0", "Made up.", {("ours", 1): 50.0}),
)


class Trainer:
    """Values from the config; notes who ran what; fails or waits where it is told."""

    def __init__(self, error=None, pause=0.0):
        self.ran, self.error, self.pause = [], error or {}, pause

    def __call__(self, run, folder, *, command, say, stream):
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
        estimate=Estimate(
            lambda run: 1e9 * run.config.objective.temperature,
            lambda: Speed(1.0, 1e9, "a guess"),
        ),
        say=said.append,
        **kwargs,
    )


def study_json(folder):
    return json.loads((folder / "study.json").read_text())


def test_only_runs_the_cells_with_a_text_in_their_name(tmp_path, undrawn):
    train = Trainer()
    outcome = runner(tmp_path, train, seeds=(0, 1), only=("seed1",), shard=(2, 2)).run()
    assert train.ran == ["t2-seed1", "t4-seed1", "t6-seed1"]
    assert (outcome.done, outcome.pending) == (3, 2 * NUMBER - 3)
    with pytest.raises(ConfigError, match="t1-seed0 or t6-seed0.*only='t9'"):
        runner(tmp_path, train, only=("t2", "t9"))


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
    assert "11.0 ± 1.4 | 50.0 |" in " ".join(table.split())
    for name in ("study.png", "study.svg"):
        assert (tmp_path / "s" / name).stat().st_size > 10_000
    # Progress and time before and during, over the whole grid.
    assert "12 runs, 0 done before" in said[0] and "by a guess" in said[1]
    assert said[2].startswith("[1/12] t1-seed0  linear 10.0") and "11 left" in said[2]
    assert "until " in said[2] and "all done" in said[-1]


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


def test_shards_at_once_run_every_cell_once_and_each_table_has_all(undrawn, tmp_path):
    parts = [Trainer(pause=0.01) for _ in range(3)]
    threads = [
        threading.Thread(
            target=runner(tmp_path, part, seeds=(0, 1), shard=(index, 3)).run
        )
        for index, part in enumerate(parts, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ran = [name for part in parts for name in part.ran]
    assert [len(part.ran) for part in parts] == [4, 4, 4]
    assert len(set(ran)) == 2 * NUMBER
    assert all(s["status"] == "done" for s in study_json(tmp_path)["cells"])
    assert "12 of 12 cells done" in (tmp_path / "study.md").read_text()


def test_another_shard_may_begin_the_study_at_any_moment(
    undrawn, tmp_path, monkeypatch
):
    temporary_name(tmp_path / "writable").touch()  # It tries whether it can write.
    listed = pathlib.Path.iterdir

    def list_and_begin(folder):
        names = list(listed(folder))
        monkeypatch.setattr(pathlib.Path, "iterdir", listed)
        runner(tmp_path, Trainer(), shard=(1, 2)).run()
        return iter(names + list(listed(folder)))  # As a folder is read meanwhile.

    second = Trainer()
    monkeypatch.setattr(pathlib.Path, "iterdir", list_and_begin)
    outcome = runner(tmp_path, second, shard=(2, 2)).run()
    assert len(second.ran) == NUMBER // 2 and outcome.pending == 0


def test_a_shard_continues_its_own_cells_and_shows_those_of_others(undrawn, tmp_path):
    first, again, said = Trainer({"t3": Interrupted("SIGTERM", 15)}), Trainer(), []
    with pytest.raises(Interrupted):
        runner(tmp_path, first, shard=(1, 2)).run()
    runner(tmp_path, Trainer(), shard=(2, 2)).run()
    outcome = runner(tmp_path, again, shard=(1, 2), said=said).run()
    assert again.ran == ["t3-seed0", "t5-seed0"]  # As the same command did before.
    assert "3 runs, 1 done before" in said[0] and said[-1].startswith("[3/3]")
    assert (outcome.done, outcome.pending) == (NUMBER, 0)
    rows = {row["x"]: row["mean"] for row in study_json(tmp_path)["rows"]}
    assert rows == {n: 10.0 * n for n in range(1, NUMBER + 1)}


def test_a_cell_that_is_being_run_elsewhere_is_left_alone(undrawn, tmp_path):
    within, said = [], []

    class Started(Trainer):
        def __call__(self, run, folder, **kwargs):
            if not within:  # The same command is started a second time.
                within.append(Trainer())
                runner(tmp_path, within[0], said=said).run()
            return super().__call__(run, folder, **kwargs)

    train = Started()
    assert runner(tmp_path, train).run().done == NUMBER
    assert train.ran == ["t1-seed0"]
    assert within[0].ran == [f"t{n}-seed0" for n in range(2, NUMBER + 1)]
    words = f"t1-seed0 is being written by process {os.getpid()} on "
    assert any(line.startswith(words) for line in said)


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


def test_progress_and_warnings_of_a_cell_go_to_its_log(undrawn, tmp_path, capsys):
    def train(run, folder, *, command, say, stream):
        print(f"epoch 1 of {run.name}", file=stream)
        logging.getLogger("simclr_tf").warning("It has collapsed.")
        return {"linear": 1.0}

    runner(tmp_path, train).run()
    log = (tmp_path / "logs" / "t5-seed0.log").read_text()
    assert log == "epoch 1 of t5-seed0\nIt has collapsed.\n"
    assert capsys.readouterr().err == ""


def test_an_interruption_leaves_the_finished_cells_and_continues(undrawn, tmp_path):
    with pytest.raises(Interrupted):
        runner(tmp_path, Trainer({"t3": Interrupted("SIGINT", 2)})).run()
    assert [s["status"] for s in study_json(tmp_path)["cells"]].count("done") == 2
    rest = Trainer()
    assert runner(tmp_path, rest).run().done == NUMBER
    assert rest.ran[0] == "t3-seed0"


def test_a_study_of_version_0_1_0_is_continued(undrawn, tmp_path):
    record = (pathlib.Path(__file__).parent / "study_of_0_1_0.json").read_text()
    (tmp_path / "study.json").write_text(record)
    (tmp_path / "claims").mkdir()  # The queue that 0.1.0 had.
    for cell in json.loads(record)["cells"]:
        if cell["status"] == "done":
            folder = tmp_path / cell["workdir"]
            folder.mkdir(parents=True)
            (folder / "cell.json").write_text(json.dumps(cell))
    options, base, seeds = ablate.stored_study(str(tmp_path))
    assert seeds == (0,)
    assert (base.encoder.name, base.objective.temperature) == ("resnet10", 0.2)
    train, study = Trainer(), get_study(options.study)
    outcome = StudyRunner(
        study,
        base,
        budget=options.budget,
        workdir=tmp_path,
        train=train,
        estimate=Estimate(lambda run: 1.0, None),
    ).run()
    assert outcome.done == 7
    new = ("baselines", "l2-0.5", "l2-1", "no_l2-10", "no_l2-100")
    assert train.ran == [f"{name}-seed0" for name in new]
    found = {cell["name"]: cell["values"] for cell in study_json(tmp_path)["cells"]}
    assert found["l2-0.05"]["linear"] == 90.0 and found["l2-1"]["linear"] == 10.0


def test_a_folder_of_something_else_is_refused(undrawn, tmp_path):
    runner(tmp_path / "a", Trainer(), shard=(1, 6)).run()
    other = override(Config(), {"epochs": 3})
    with pytest.raises(WorkdirError, match=r"epochs \(there 100, now 3\)"):
        runner(tmp_path / "a", Trainer(), base=other).run()
    elsewhere = override(Config(), {"performance.intra_op_threads": 2})
    runner(tmp_path / "a", Trainer(), base=elsewhere, shard=(1, 6)).run()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(WorkdirError, match="is not a study"):
        runner(tmp_path / "b", Trainer()).run()
    (tmp_path / "a" / "cells" / "t1-seed0" / "cell.json").write_text("{")
    with pytest.raises(WorkdirError, match="Remove it to run the cell again"):
        runner(tmp_path / "a", Trainer(), shard=(1, 6)).run()


@pytest.mark.parametrize(
    "name, there, now, words",
    [
        ("images", ["a", "b"], ["a", "c"], "other images than those of"),
        ("precision", "bfloat16", "float32", "add --precision=bfloat16"),
    ],
)
def test_cells_of_one_study_are_made_with_the_same(
    undrawn, tmp_path, name, there, now, words
):
    runner(tmp_path, Trainer(), shard=(1, 6), made_with={name: there}).run()
    with pytest.raises(WorkdirError, match=words):
        runner(tmp_path, Trainer(), made_with={name: now}).run()
    train = Trainer()
    exact = override(Config(), {"precision": "bfloat16"})
    if name == "precision":  # As the message says, whatever `auto` would choose.
        runner(tmp_path, train, base=exact, made_with={name: there}).run()
        assert len(train.ran) == NUMBER - 1


def test_a_cell_of_other_options_is_not_taken_for_the_same(undrawn, tmp_path):
    runner(tmp_path, Trainer()).run()
    path = tmp_path / "cells" / "t2-seed0" / "cell.json"
    record = json.loads(path.read_text())
    record["changes"]["objective.temperature"] = 9.0
    path.write_text(json.dumps(record))
    with pytest.raises(WorkdirError, match=r"temperature \(there 9.0, now 2.0\)"):
        runner(tmp_path, Trainer()).run()
    path.unlink()  # As the message says.
    train = Trainer()
    runner(tmp_path, train).run()
    assert train.ran == ["t2-seed0"]


def test_an_interruption_in_the_first_cell_keeps_the_seeds(undrawn, tmp_path):
    with pytest.raises(Interrupted):
        runner(tmp_path, Trainer({"t1": Interrupted("SIGINT", 2)}), seeds=(0, 5)).run()
    found = {(cell["seed"], cell["status"]) for cell in study_json(tmp_path)["cells"]}
    assert found == {(0, "pending"), (5, "pending")}


def test_a_plan_lists_the_cells_and_their_cost(tmp_path):
    plan = runner(tmp_path, Trainer(), shard=(1, 2)).plan()
    lines = plan.splitlines()
    assert lines[0].split()[:3] == ["t1-seed0", "1.00", "GFLOP"]
    assert "objective.temperature=3.0" in lines[1]
    # 3 runs, a second each and 1 + 3 + 5 for their operations.
    assert lines[-1].startswith("3 of 6 runs, 9.00 GFLOP") and "About 12 s" in plan
    assert not list(tmp_path.iterdir())


def test_runs_that_cannot_begin_are_named_before_the_first(tmp_path, undrawn):
    def operations(run):
        if run.config.objective.temperature > 4:
            raise ConfigError("Too hot.")
        return 1e9

    said, train = [], Trainer()
    toy = runner(tmp_path, train, said=said)
    toy._estimate = Estimate(operations, lambda: Speed(1.0, 1e9, "a guess"))
    line = "Cannot begin: 2 of them, e.g. t5-seed0. Too hot."
    assert toy.plan().splitlines()[-1] == line
    toy.run()
    results = [n for n, text in enumerate(said) if "t1-seed0  linear" in text]
    assert said.index(line) < results[0]


def test_measured_steps_give_the_speed(monkeypatch, caplog):
    def pretrain(config, *, callbacks, say, stream):
        assert (config.steps, config.minutes) == (8, None)
        logging.getLogger("simclr_tf").warning("The run is too short.")
        for _ in range(config.steps):
            time.sleep(0.02)
            callbacks[0].on_train_batch_end(0)

    monkeypatch.setattr(study_cost, "pretrain_from_config", pretrain)
    speed = measured_speed(override(Config(), {"minutes": 5.0}), 2e9)
    assert 5e9 < speed.operations_a_second < 1.05e11  # 2e9 in 0.02 s, or slower.
    assert 0.04 <= speed.seconds_a_run and "4 measured steps" in speed.origin
    assert not caplog.records  # It is about no cell.
    logging.getLogger("simclr_tf").warning("Another matter.")
    assert len(caplog.records) == 1


def test_the_time_left_is_judged_by_the_cells_that_are_finished():
    estimate = Estimate(float, lambda: Speed(1.0, 10.0, "a guess"))
    assert estimate.seconds(["20", "30"]) == 2 + 5
    assert estimate.seconds(["20", "30"], finished=[("10", 4.0), ("40", 6.0)]) == 10.0
    assert "judged by 1 finished cell." in estimate.text(["20"], [("10", 4.0)])


def test_runs_of_a_number_of_minutes_take_these_minutes():
    estimate = Estimate(
        float, lambda: Speed(1.0, 10.0, "a guess"), {"two minutes": 120.0}.get
    )
    assert estimate.seconds(["20", "two minutes"]) == 2 + 2 + 120
    finished = [("two minutes", 150.0), ("10", 4.0), ("0", 30.0)]  # Nothing trained.
    assert estimate.seconds(["20", "two minutes"], finished) == 8 + 120
    minutes = override(Config(), {"minutes": 1.5})
    cell = Cell("c", (Point("linear", "ours", 1),))
    assert chosen_seconds(Run(cell, 0, minutes)) == 90.0
    assert chosen_seconds(Run(cell, 0, Config())) is None
