"""What was done before an interruption is found again, and nothing else is."""

import pytest

from simclr_tf.errors import WorkdirError
from simclr_tf.evaluation import Measurement
from simclr_tf.evaluation.run_log import LabelRun, RunLog

CELL = ("fine-tuned", "1 %", 60)


def a_run(seed):
    return LabelRun(*CELL, seed, 80.0 + seed, 600, 10_000, 1.5, {"steps": 3})


def test_runs_are_found_again(tmp_path):
    path = tmp_path / "deep" / "runs.jsonl"
    first = RunLog(path, {"data": "mine"})
    for seed in (1, 0):
        first.add(a_run(seed))
    again = RunLog(path, {"data": "mine"})
    assert (*CELL, 0) in again and (*CELL, 2) not in again
    assert ("fine-tuned", "1 %", 30, 0) not in again
    assert again.runs(CELL, [0, 1]) == [a_run(0), a_run(1)]


def test_a_log_holds_the_measurement_of_its_own_runs_only():
    log = RunLog(None, {})
    for seed in (0, 1):
        log.add(a_run(seed))

    def found(seeds, values, budget="1 %"):
        settings = {"budget": budget, "seeds": seeds, "accuracies_percent": values}
        return Measurement("fine-tuned", "p", "m", 0.0, 1, 1, settings=settings)

    assert log.holds(found([0, 1], [80.0, 81.0])) and log.holds(found([1], [81.0]))
    for other in (
        found([0, 2], [80.0, 82.0]),
        found([0], [80.5]),
        found([0], [80.0], "10 %"),
    ):
        assert not log.holds(other)


def test_nothing_is_written_before_the_first_run(tmp_path):
    RunLog(tmp_path / "runs.jsonl", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [1, 20])
def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path, cut):
    path = tmp_path / "runs.jsonl"
    log = RunLog(path, {})
    log.add(a_run(0))
    log.add(a_run(1))
    path.write_bytes(path.read_bytes()[:-cut])
    again = RunLog(path, {})
    assert (*CELL, 0) in again and (*CELL, 1) not in again
    again.add(a_run(1))
    assert RunLog(path, {}).runs(CELL, [1]) == [a_run(1)]


def test_a_kill_within_the_first_line_leaves_a_new_start(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"da')
    RunLog(path, {"data": "mine"}).add(a_run(0))
    assert RunLog(path, {"data": "mine"}).runs(CELL, [0]) == [a_run(0)]


def test_other_settings_are_refused_by_name(tmp_path):
    path = tmp_path / "runs.jsonl"
    RunLog(path, {"momentum": 0.9, "data": "mine"}).add(a_run(0))
    with pytest.raises(WorkdirError, match=r"momentum \(there 0.9, now 0.5\)"):
        RunLog(path, {"momentum": 0.5, "data": "mine"})


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text("{}\nnonsense\n")
    with pytest.raises(WorkdirError, match="runs.jsonl is damaged"):
        RunLog(path, {})
