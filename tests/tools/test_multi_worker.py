"""Two real processes over loopback: the same training, and what happens to one alone.

Every run is `simclr-tf pretrain` in processes of its own, as on two machines.
"""

import json
import signal
import socket
import time

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.tools import command_line
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.records import read_metrics
from tests import fresh_process
from tests.fresh_process import FreshProcess

RUN = [
    "--preset=demo",
    "--split=train[:64]",
    "--data.slices=in_order",  # Those of which the bound was measured.
    "--image_size_pixels=16",
    "--precision=float32",
    "--encoder=resnet10",
    "--encoder.width_multiplier=0.0625",
    "--epochs=3",
    "--projection_head.hidden_features=16",
    "--projection_head.out_features=8",
    "--batch_size=16",
    "--optimizer=lars",
    "--base_learning_rate=0.03",
    "--optimizer.scaling=linear",
    "--optimizer.warmup_epochs=1",
    "--objective.temperature=1",  # See test_replica_runs.
    "--compile_views=false",
    "--checkpoint.every_epochs=1",
    "--checkpoint.keep=5",
    "--recipe=finetune",  # See faulty_runs.
]
FINAL_STEP = 12
PATIENCE_SECONDS = 300  # For a start on a busy machine.


def free_addresses(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def tf_config(addresses, index):
    return json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    )


class Workers:
    """Two processes of one cluster, and what they print."""

    def __init__(self, folder, arguments):
        self.addresses = free_addresses(2)
        self.logs = [folder / f"worker{i}-{time.monotonic_ns()}.log" for i in range(2)]
        self.processes = [
            self._start(
                index, arguments[index] if isinstance(arguments[0], list) else arguments
            )
            for index in range(2)
        ]

    def _start(self, index, arguments):
        return FreshProcess(
            ["-m", "simclr_tf.tools.command_line", "pretrain", *arguments],
            env={"TF_CONFIG": tf_config(self.addresses, index)},
            log=self.logs[index],
        )

    def exit_codes(self, patience_seconds=PATIENCE_SECONDS):
        end = time.monotonic() + patience_seconds
        return [
            process.wait(max(end - time.monotonic(), 0.1)) for process in self.processes
        ]

    def name(self, index):
        return f"worker {index} ({self.addresses[index]})"

    def lines(self, index):
        """What a worker printed, without TensorFlow's own start-up notices."""
        return [
            line
            for line in self.logs[index].read_text().splitlines()
            if not line.startswith(
                ("WARNING: All log messages", "I0000", "E0000", "W0000")
            )
        ]

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A function that starts workers; none of them outlives the module."""
    folder, started = tmp_path_factory.mktemp("logs"), []

    def start_workers(arguments):
        started.append(Workers(folder, arguments))
        return started[-1]

    yield start_workers
    for workers in started:
        workers.end()


def arguments(workdir, *more):
    return [
        *RUN,
        "--strategy=multi_worker",
        "--deterministic=true",
        f"--workdir={workdir}",
        *more,
    ]


@pytest.fixture(scope="module")
def lives(start, tmp_path_factory):
    """(workers that lost one to a kill, workers that went on to the end, workdir)."""
    workdir = tmp_path_factory.mktemp("lives") / "run"
    lost = start(arguments(workdir))
    wait_for(workdir / "checkpoints" / "step-00000004", lost)
    lost.processes[1].kill()
    assert lost.exit_codes(60) == [2, -signal.SIGKILL], lost.lines(0)
    lost.saved_step = CheckpointStore(workdir / "checkpoints").latest().step
    whole = start(arguments(workdir))
    assert whole.exit_codes() == [0, 0], whole.lines(0) + whole.lines(1)
    return lost, whole, workdir


@pytest.fixture(scope="module")
def calm(start, tmp_path_factory):
    """The workdir of a pair that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("calm") / "run"
    workers = start(arguments(workdir))
    assert workers.exit_codes() == [0, 0], workers.lines(0) + workers.lines(1)
    return workdir


def values_of(workdir):
    """Everything in the newest checkpoint: weights, statistics, slots, step."""
    checkpoint = CheckpointStore(workdir / "checkpoints").latest()
    reader = tf.train.load_checkpoint(str(checkpoint.path / "ckpt"))
    return checkpoint.step, {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE")
    }


def figures_of(workdir):
    """The lines of metrics.jsonl without what a clock measured."""
    clocks = ("seconds", "images_per_second", "data_wait_fraction")
    return [
        {name: value for name, value in record.items() if name not in clocks}
        for record in read_metrics(workdir / "metrics.jsonl")
    ]


def test_two_workers_train_as_one_process_does(lives, tmp_path):
    """All that happened to them included: they lost one, and went on."""
    _, _, workdir = lives
    # Deterministic kernels hold for a whole process: this one gets its own, too.
    done = fresh_process.run(
        [
            "-m",
            "simclr_tf.tools.command_line",
            "pretrain",
            *RUN,
            "--strategy=one_device",
            "--deterministic=true",
            f"--workdir={tmp_path}/run",
        ]
    )
    assert done.returncode == 0, done.stderr
    ours, single = figures_of(workdir), figures_of(tmp_path / "run")
    assert [r["step"] for r in ours] == [r["step"] for r in single] == [4, 8, 12]
    for record, expected in zip(ours, single, strict=True):
        for name in (
            "loss",
            "contrastive_loss",
            "probe_loss",
            "gradient_norm",
            "contrastive_entropy",
            "feature_std",
            "contrastive_accuracy",
            "probe_accuracy",
        ):
            np.testing.assert_allclose(
                record[name], expected[name], rtol=1e-5, err_msg=name
            )
    step, values = values_of(workdir)
    assert step == FINAL_STEP
    expected_step, expected = values_of(tmp_path / "run")
    assert expected_step == step and set(values) == set(expected)
    for name, value in expected.items():
        if not name.startswith("model/"):  # Weights and moving statistics.
            continue
        # As in test_replica_runs: what scales or shifts normalized values has scale 1.
        is_unit = "gamma" in name or "beta" in name
        scale = 1.0 if is_unit else np.max(np.abs(value))
        assert np.max(np.abs(values[name] - value)) <= 1e-5 * scale, name


def test_one_worker_writes_and_speaks(lives):
    _, workers, workdir = lives
    assert workers.lines(1) == []
    assert any(line.startswith("epoch 3") for line in workers.lines(0))
    assert {path.name for path in workdir.iterdir()} == {
        "config.json",
        "checkpoints",
        "metrics.jsonl",
        "tensorboard",
        "SUMMARY.md",
    }
    # One file of each of the two lives.
    assert len(list((workdir / "tensorboard").iterdir())) == 2
    assert [path.name for path in sorted((workdir / "checkpoints").iterdir())] == [
        f"step-{step:08d}" for step in (4, 8, 12)
    ]


def wait_for(path, workers):
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert time.monotonic() < end, workers.lines(0)
        assert all(p.poll() is None for p in workers.processes), workers.lines(0)
        time.sleep(0.005)


def require_same_end(workdir, calm_workdir):
    step, values = values_of(workdir)
    calm_step, calm_values = values_of(calm_workdir)
    assert step == calm_step == FINAL_STEP and set(values) == set(calm_values)
    for name, value in calm_values.items():
        np.testing.assert_array_equal(values[name], value, err_msg=name)
    assert figures_of(workdir) == figures_of(calm_workdir)


def test_after_a_kill_the_other_names_the_lost_one_and_both_continue(lives):
    lost, whole, _ = lives
    last_line = lost.lines(0)[-1]
    assert last_line.startswith(f"simclr-tf: {lost.name(1)} stopped answering")
    assert 4 <= lost.saved_step < FINAL_STEP
    assert f"continues from step {lost.saved_step}." in last_line
    assert not any("Traceback" in line for line in lost.lines(0))
    assert any(f"from step {lost.saved_step} " in line for line in whole.lines(0))


@pytest.mark.slow  # Within 1e-5 of one process, in every suite: above.
def test_after_a_kill_they_end_bit_identical(lives, calm):
    require_same_end(lives[2], calm)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_signal_to_one_worker_saves_and_stops_both(calm, start, tmp_path, victim):
    workdir = tmp_path / "run"
    workers = start(arguments(workdir))
    wait_for(workdir / "checkpoints" / "step-00000004", workers)
    workers.processes[victim].send_signal(signal.SIGTERM)
    assert workers.exit_codes(60) == [143, 143], workers.lines(0) + workers.lines(1)
    saved = CheckpointStore(workdir / "checkpoints").latest().step
    for index in range(2):
        assert f"stopped after step {saved} and saved it" in workers.lines(index)[-1]
    workers = start(arguments(workdir))
    assert workers.exit_codes() == [0, 0], workers.lines(0)
    require_same_end(workdir, calm)


def test_a_worker_that_never_comes_is_named(tmp_path, monkeypatch, capsys):
    addresses = free_addresses(2)
    monkeypatch.setenv("TF_CONFIG", tf_config(addresses, 0))
    assert (
        command_line.main(
            [
                "pretrain",
                *arguments(tmp_path / "run", "--collective_timeout_seconds=0.5"),
            ]
        )
        == 2
    )
    error = capsys.readouterr().err.strip()
    assert error.startswith("simclr-tf: Not all workers started within 0.5 s.")
    assert f"worker 1 ({addresses[1]})" in error and "\n" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_workers_that_mean_different_runs_do_not_start(start, tmp_path):
    workers = start(
        [
            arguments(tmp_path / "run", "--seed=1"),
            arguments(tmp_path / "run", "--seed=2"),
        ]
    )
    assert workers.exit_codes() == [2, 2], workers.lines(0) + workers.lines(1)
    for index in range(2):
        last_line = workers.lines(index)[-1]
        assert f"{workers.name(0)} and {workers.name(1)} differ in options" in last_line
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_missing_or_malformed_tf_config_is_one_line(tmp_path, monkeypatch, capsys):
    for text, words in (
        (None, "needs the environment variable TF_CONFIG"),
        ("{", "TF_CONFIG cannot be used"),
    ):
        if text is not None:
            monkeypatch.setenv("TF_CONFIG", text)
        assert command_line.main(["pretrain", *arguments(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
