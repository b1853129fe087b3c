"""The length of a run from minutes, and the way on after its end."""

import dataclasses
import re
import shlex
import time

import numpy as np
import pytest

from simclr_tf import pretrain
from simclr_tf.config import Config, OptimizerConfig
from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.tools import command_line
from simclr_tf.tools.pretrain import SECTIONS, options_of
from simclr_tf.training import stages
from simclr_tf.training.step_clock import Plan
from simclr_tf.training.time_budget import (
    StepSpeed,
    length_line,
    with_kept_length,
    with_length,
)
from simclr_tf.training.workdir import Workdir
from tests.tools.test_bad_input import TINY as TINY_FLAGS
from tests.training.small_networks import small_encoder
from tests.training.test_run import TINY, images, run, weights_of

CONFIG = Config(minutes=30.0, optimizer=OptimizerConfig(warmup_epochs=2.0))
PLAN = Plan(epoch_steps=100, total_steps=10**6, warmup_steps=200)


def chosen(left_seconds, step_seconds=0.5, **changes):
    return with_length(
        CONFIG, PLAN, step_seconds=step_seconds, left_seconds=left_seconds, **changes
    )


def test_whole_epochs_are_chosen_where_many_fit():
    config = chosen(1800)  # 0.95 of 3,600 steps: 34 epochs and 20 steps.
    assert (config.epochs, config.steps) == (34, None)
    assert config.optimizer.warmup_steps is None  # 200 of 3,400: as configured.
    assert chosen(1800, is_endless=True).steps == 3420


def test_few_epochs_are_counted_in_steps_and_shorten_the_warm_up():
    config = chosen(300)
    assert config.steps == 570 and config.optimizer.warmup_steps == 57


@pytest.mark.parametrize("left", [0.4, -20.0])
def test_minutes_for_not_one_step_are_refused(left):
    with pytest.raises(ConfigError, match="`minutes` must be enough"):
        chosen(left)


def test_the_length_of_the_run_that_has_begun_is_kept():
    former = chosen(300)
    assert with_kept_length(CONFIG, former) == former
    assert with_kept_length(CONFIG, None) is None
    assert with_kept_length(CONFIG, dataclasses.replace(former, minutes=5.0)) is None


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_must_be_a_number_above_zero(minutes):
    with pytest.raises(ConfigError, match="minutes"):
        Config(minutes=minutes)


def test_minutes_beside_epochs_are_refused():
    with pytest.raises(ConfigError, match="leave `epochs` and `steps` out"):
        run(minutes=1.0)  # The options of these tests have epochs.


def test_tracing_and_warm_up_are_left_out_of_the_speed():
    seconds = [0.0]
    speed = StepSpeed(steps_per_execution=2, now=lambda: seconds[0])
    speed.on_train_begin()
    assert speed.steps == 22
    for execution in range(11):
        seconds[0] += (60.0, 5.0, 5.0)[execution] if execution < 3 else 4.0
        speed.on_train_batch_end(2 * execution + 1)
    assert (speed.compiling_seconds, speed.step_seconds) == (60.0, 2.0)


def test_the_line_tells_length_and_end():
    noon = time.mktime((2030, 1, 1, 12, 0, 0, 0, 1, -1))
    line = length_line(CONFIG, Plan(100, 5700, 0), 0.5, now=noon)
    assert "57 epochs, 5,700 steps of 0.5 s" in line and line.endswith("12:50")


OPTIONS = {name: value for name, value in TINY.items() if name != "epochs"}


def start(place, say=lambda line: None, **options):
    return pretrain(
        images(), place, say=say, encoder=small_encoder(), **OPTIONS, **options
    )


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A run of a minute: the trial is real, its speed is made up."""
    place, said = tmp_path_factory.mktemp("timed") / "run", []
    measure, measured = stages.PretrainingRun.speed, []

    def slow(run):
        speed = measure(run)
        measured.append(speed.step_seconds)
        speed.step_seconds = 5.0
        return speed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.PretrainingRun, "speed", slow)
        result = start(place, said.append, minutes=1.0)
    assert 0 < measured[0] < 5
    return place, said, result


def test_the_chosen_length_is_kept_and_the_same_call_continues_it(timed, monkeypatch):
    place, said, result = timed
    config = Workdir(place).config()
    # At most 57 of 60 seconds, 5 for each step; some seconds went into the trial.
    total = config.steps or 2 * config.epochs
    assert config.minutes == 1.0 and 1 <= total <= 11
    assert result.history[-1]["step"] == total
    assert any("--minutes=1" in line and "epochs" in line for line in said)

    def measured_again(run):
        raise AssertionError("A run that has begun has its length.")

    monkeypatch.setattr(stages.PretrainingRun, "speed", measured_again)
    again = []
    continued = start(place, again.append, minutes=1.0)
    assert any("nothing is left to do" in line for line in again)
    for one, other in zip(weights_of(result), weights_of(continued), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_trial_leaves_no_trace_in_the_run(timed):
    _, _, result = timed
    calm = start(
        None,
        steps=result.config.steps,
        **{"optimizer.warmup_steps": result.config.optimizer.warmup_steps},
    )
    for one, other in zip(weights_of(result), weights_of(calm), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_run_names_the_command_for_more_epochs(tmp_path):
    pictures = tmp_path / "ok.npz"
    np.savez(pictures, x_train=images(24))
    base = ["pretrain", *[a for a in TINY_FLAGS if "epochs" not in a or "warmup" in a]]
    base += [f"--data=npz:{pictures}", f"--workdir={tmp_path}/run"]
    assert command_line.main([*base, "--epochs=1"]) == 0
    given = command_line.parse("pretrain", SECTIONS, [*base[1:], "--epochs=3"])
    config, _ = options_of(given)
    place = Workdir(tmp_path / "run")
    data = place.read()["data"]
    with pytest.raises(WorkdirError, match="2 more from its weights") as refused:
        place.claim(config, data, "")
    command = shlex.split(re.search(r"simclr-tf (.*)$", str(refused.value))[1])
    assert f"--workdir={tmp_path}/run_2" in command and "--epochs=2" in command
    assert command_line.main(command) == 0
    after = Workdir(tmp_path / "run_2").config()
    assert after.epochs == 2 and after.init_parts == "encoder_and_head"
    assert after.encoder == config.encoder and after.optimizer == config.optimizer
