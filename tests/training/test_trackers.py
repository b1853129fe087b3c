"""Weights & Biases and MLflow get each figure once; their failures end nothing.

The packages are extras; modules of the same interface stand for them here. The real
ones were tried offline with 0.31 and 3.17.
"""

import importlib.machinery
import json
import sys
import types

import pytest

from simclr_tf.config import Config
from simclr_tf.errors import ConfigError
from simclr_tf.training import trackers
from simclr_tf.training.trackers import TRACKERS, Tracking, require_tracker
from simclr_tf.training.workdir import TRACKER_FILE, Workdir


class Service:
    """What a tracker's server holds: its runs, their options and figures."""

    def __init__(self):
        self.runs, self.options, self.open, self.fails = {}, {}, None, None

    def start(self, identifier, options):
        if self.fails == "start":
            raise ConnectionError("no network\nat all")
        identifier = identifier or f"run{len(self.runs)}"
        self.runs.setdefault(identifier, [])
        self.options.setdefault(identifier, {}).update(options or {})
        self.open = identifier
        return identifier

    def log(self, figures, step):
        if self.fails == "log":
            raise ConnectionError("no network")
        self.runs[self.open].append((step, figures))

    def finish(self):
        self.open = None


def fake_wandb(service):
    def init(*, project, name, id, resume, config, dir):
        assert (project, resume) == ("simclr_tf", "allow") and name and dir
        return types.SimpleNamespace(
            id=service.start(id, config), log=service.log, finish=service.finish
        )

    return {"init": init}


def fake_mlflow(service):
    def start_run(run_id=None, run_name=None):
        info = types.SimpleNamespace(run_id=service.start(run_id, None))
        return types.SimpleNamespace(info=info)

    def log_params(params):
        assert 0 < len(params) <= 100  # As its servers have it.
        service.options[service.open].update(params)

    return {
        "set_experiment": lambda name: None,
        "start_run": start_run,
        "log_params": log_params,
        "log_metrics": service.log,
        "end_run": service.finish,
    }


@pytest.fixture(params=list(TRACKERS))
def service(request, monkeypatch):
    """A server, and the module that talks to it."""
    made = Service()
    made.name = request.param
    module = types.ModuleType(request.param)
    module.__spec__ = importlib.machinery.ModuleSpec(request.param, None)
    fake = {"wandb": fake_wandb, "mlflow": fake_mlflow}[request.param]
    module.__dict__.update(fake(made))
    monkeypatch.setitem(sys.modules, request.param, module)
    return made


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path)


def train(service, workdir, losses, known=()):
    """A training as its callbacks see it: an epoch a loss. Returns what is said."""
    records, said = list(known), []
    tracking = Tracking(
        Config(track=service.name, epochs=7), records, workdir, said.append
    )
    for _ in range(2):  # `fit` is called for each segment of a run.
        tracking.on_train_begin()
    for loss in losses:
        step = 2 * (len(records) + 1)
        records.append({"step": step, "epoch": len(records) + 1, "loss": loss})
        tracking.on_epoch_end(len(records))
    tracking.close()
    return records, said


def test_a_tracker_gets_the_options_and_each_epochs_figures(service, workdir):
    require_tracker(service.name)
    _, said = train(service, workdir, [3.0, 2.5])
    assert service.runs == {
        "run0": [(2, {"epoch": 1, "loss": 3.0}), (4, {"epoch": 2, "loss": 2.5})]
    }
    assert service.options["run0"]["epochs"] == "7"
    assert "optimizer.base_learning_rate" in service.options["run0"]
    assert said == [] and service.open is None


def test_a_continued_run_goes_on_in_its_tracked_run_without_repeats(service, workdir):
    records, _ = train(service, workdir, [3.0, 2.5])
    # Killed before the checkpoint of the second epoch, which is trained again.
    train(service, workdir, [2.5, 2.0], known=records[:1])
    assert [step for step, _ in service.runs["run0"]] == [2, 4, 6]
    assert list(service.runs) == ["run0"]


@pytest.mark.parametrize("fails", ["start", "log"])
def test_a_failing_tracker_is_one_line_and_is_made_up_for_later(
    service, workdir, fails
):
    service.fails = fails
    records, said = train(service, workdir, [3.0, 2.5])
    assert len(said) == 1 and "\n" not in said[0]
    assert f"{service.name} failed" in said[0] and "no network" in said[0]
    service.fails = None
    _, said = train(service, workdir, [2.0], known=records)
    assert [step for step, _ in service.runs["run0"]] == [2, 4, 6] and said == []


@pytest.mark.parametrize("content", ["", "[]", '{"NAME": {"id": "../x", "step": 1}}'])
def test_a_damaged_record_of_the_tracked_run_begins_a_new_one(
    service, workdir, content
):
    path = workdir.path / TRACKER_FILE
    path.write_text(content.replace("NAME", service.name))
    _, said = train(service, workdir, [3.0])
    assert service.runs["run0"] and said == []
    assert json.loads(path.read_text())[service.name] == {"id": "run0", "step": 2}


@pytest.mark.parametrize("name", list(TRACKERS))
def test_a_missing_package_is_one_line_with_the_command(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(
        trackers.require_extra.__globals__["importlib"].util,
        "find_spec",
        lambda package: None,
    )
    with pytest.raises(
        ConfigError, match=rf"--track={name} needs .*simclr-tf\[{name}\]"
    ):
        require_tracker(name)
