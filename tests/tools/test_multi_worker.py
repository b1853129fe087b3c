"""Two real processes over loopback: the same training, and what happens to one alone.

Every run is `simclr-tf pretrain` in processes of its own, as on two machines. Those of
Slurm, Kubeflow and Vertex AI have the environment variables that these set.
"""

import functools
import json
import os
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


def slurm_variables(index):
    """What `srun --ntasks=2` sets, as far as it is about the place of a task."""
    return {
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOBID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_TASKS_PER_NODE": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "SLURM_NODEID": "0",
        "SLURMD_NODENAME": "localhost",
    }


def tfjob_variables(addresses, index, chief="chief"):
    """What Kubeflow's training operator sets for one Chief (or Master) and a Worker."""
    return {
        "TF_CONFIG": json.dumps(
            {
                "cluster": {chief: addresses[:1], "worker": addresses[1:]},
                "task": {"type": "worker" if index else chief, "index": 0},
                "environment": "cloud",
            }
        )
    }


def vertex_variables(addresses, index):
    """What Vertex AI sets for two worker pools of one machine each."""
    cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    pools = {"workerpool0": addresses[:1], "workerpool1": addresses[1:]}
    job = json.dumps({"worker_pool_specs": [{"machine_type": "n1-standard-4"}] * 2})
    shared = {"environment": "cloud", "job": job}
    task = {"index": 0, "trial": "", "cloud": "w93a15"}
    return {
        "TF_CONFIG": json.dumps(
            {
                "cluster": cluster,
                "task": {"type": "worker" if index else "chief", **task},
                **shared,
            }
        ),
        "CLUSTER_SPEC": json.dumps(
            {
                "cluster": pools,
                "task": {"type": f"workerpool{index}", **task},
                "open_ports": ["3333"],
                **shared,
            }
        ),
    }


class Workers:
    """Two processes of one cluster, and what they print.

    Args:
      folder: path for what they print.
      arguments: list of str, of `simclr-tf pretrain`; or a list of two such lists.
      by_slurm: bool, whether Slurm starts them; else TF_CONFIG names them.
    """

    def __init__(self, folder, arguments, by_slurm=False):
        self.by_slurm = by_slurm
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
            env=slurm_variables(index)
            if self.by_slurm
            else {"TF_CONFIG": tf_config(self.addresses, index)},
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

    def start_workers(arguments, **options):
        started.append(Workers(folder, arguments, **options))
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
    """(workers that lost one to a kill, workers that went on to the end, workdir).

    The first are named by TF_CONFIG, the second are a Slurm step with nothing else set.
    """
    workdir = tmp_path_factory.mktemp("lives") / "run"
    lost = start(arguments(workdir))
    wait_for(workdir / "checkpoints" / "step-00000004", lost)
    lost.processes[1].kill()
    assert lost.exit_codes(60) == [2, -signal.SIGKILL], lost.lines(0)
    lost.saved_step = CheckpointStore(workdir / "checkpoints").latest().step
    whole = start([*RUN, "--deterministic=true", f"--workdir={workdir}"], by_slurm=True)
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


JOIN = """
from simclr_tf.distribution import cluster_of, is_chief, make_strategy
from simclr_tf.distribution.agreement import largest_over_workers
strategy = make_strategy(cluster="auto", collective_timeout_seconds=60)
own = cluster_of(strategy).own
print(own, is_chief(strategy), largest_over_workers(strategy, own.job == "worker"))
"""


@pytest.mark.parametrize(
    "variables",
    [
        tfjob_variables,
        functools.partial(tfjob_variables, chief="master"),
        vertex_variables,
    ],
    ids=["tfjob", "tfjob_master", "vertex"],
)
def test_workers_of_a_cloud_join_with_the_variables_that_are_set_there(variables):
    addresses = free_addresses(2)
    processes = [
        FreshProcess(["-c", JOIN], env=variables(addresses, index))
        for index in range(2)
    ]
    try:
        outputs = [process.communicate(PATIENCE_SECONDS) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    assert [out.strip() for out, _ in outputs] == [
        f"chief 0 ({addresses[0]}) True 1",
        f"worker 0 ({addresses[1]}) False 1",
    ], outputs


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
@pytest.mark.parametrize("signalled", [[0], [1], [0, 1]])
def test_a_signal_saves_and_stops_both(calm, start, tmp_path, signalled):
    """To one of them, or to both as from Slurm."""
    workdir = tmp_path / "run"
    workers = start(arguments(workdir))
    wait_for(workdir / "checkpoints" / "step-00000004", workers)
    for index in signalled:
        workers.processes[index].send_signal(signal.SIGTERM)
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
