"""The tool stopped by a signal goes on to the calm run's end, bit for bit.

All lives of the runs are processes of the real tool. For SIGKILL, within 1e-5:
test_multi_worker; of a process that ends without having saved, bit for bit:
test_exact_resume.
"""

import json
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.config.small_images import small_image_options
from simclr_tf.objectives import OBJECTIVES
from tests.fresh_process import FreshProcess

STEPS = 24
RUN = [
    "--preset=demo",
    "--split=train[:128]",
    "--batch_size=16",
    f"--steps={STEPS}",
    "--precision=float32",
    "--deterministic",
    "--nocompile_views",
    "--encoder=resnet10",
    "--encoder.width_multiplier=0.0625",
    "--encoder.stem=small",
    "--image_size_pixels=16",
    "--checkpoint.every_epochs=2",
    "--recipe=finetune",  # See faulty_runs.
]
WALL_CLOCK = {"seconds", "images_per_second", "data_wait_fraction"}


def start(workdir, *flags):
    return FreshProcess(
        ["-m", "simclr_tf.tools.pretrain", *RUN, *flags, f"--workdir={workdir}"]
    )


def end(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err.strip().splitlines()


def figures(workdir):
    """metrics.jsonl as it is now."""
    path = workdir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def wait_for(process, condition):
    """Wait for something that a run does, or for its early end."""
    while not condition() and process.poll() is None:
        time.sleep(0.002)
    assert condition(), process.communicate()


def checkpoints(workdir):
    """Steps of the checkpoints."""
    return sorted(int(path.name[5:]) for path in workdir.glob("checkpoints/step-*"))


def values_of(workdir, step):
    reader = tf.train.load_checkpoint(
        str(workdir / "checkpoints" / f"step-{step:08d}" / "ckpt")
    )
    return {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def curve(workdir):
    return [
        {name: value for name, value in record.items() if name not in WALL_CLOCK}
        for record in figures(workdir)
    ]


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The workdir of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("calm") / "run"
    code, _, err = end(start(workdir))
    assert code == 0, err
    return workdir


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that got SIGTERM: (workdir, what was seen of it)."""
    workdir = tmp_path_factory.mktemp("stormy") / "run"
    process = start(workdir)
    wait_for(process, lambda: figures(workdir))
    process.send_signal(signal.SIGTERM)
    return workdir, (*end(process), checkpoints(workdir))


@pytest.fixture(scope="module")
def lives(stopped):
    """The stopped run, to its end: (workdir, what was seen of each life)."""
    workdir, before = stopped
    return workdir, [before, (*end(start(workdir)), checkpoints(workdir))]


@pytest.mark.slow  # In every suite: test_executions (signal), test_exact_resume (bits)
def test_the_run_ends_bit_identical(calm, lives):
    workdir, seen = lives
    assert seen[-1][0] == 0, seen[-1]
    assert values_of(workdir, STEPS) == values_of(calm, STEPS)
    assert [record["step"] for record in curve(calm)] == [8, 16, 24]
    assert curve(workdir) == curve(calm)


@pytest.mark.slow  # In every suite, without a signal: test_toy_objective (all at once)
@pytest.mark.parametrize("name", [*OBJECTIVES, "nt_xent with a memory"])
def test_a_killed_run_of_any_objective_ends_bit_identical(name, tmp_path):
    options = small_image_options(name.split()[0])
    if name not in OBJECTIVES:
        options["objective.memory_size"] = 48
    flags = [
        f"--{option.removesuffix('.name')}={value}"
        for option, value in options.items()
        if not option.startswith("optimizer")
    ]
    flags.append("--checkpoint.every_steps=5")  # In the middle of an epoch.
    assert end(start(tmp_path / "calm", *flags))[0] == 0
    process = start(tmp_path / "killed", *flags)
    wait_for(process, lambda: checkpoints(tmp_path / "killed"))
    process.kill()
    assert end(process)[0] == -signal.SIGKILL
    assert checkpoints(tmp_path / "killed") != [STEPS]
    assert end(start(tmp_path / "killed", *flags))[0] == 0
    calm, killed = (values_of(tmp_path / life, STEPS) for life in ("calm", "killed"))
    assert killed == calm


def test_sigterm_saves_first_and_ends_with_one_line(stopped):
    code, _, err, steps = stopped[1]
    assert code == 128 + signal.SIGTERM
    assert 8 <= steps[-1] < 16  # By itself the run saves at steps 16 and 24.
    assert f"simclr-tf: SIGTERM: stopped after step {steps[-1]} and saved" in err[-1]
    assert not any("Traceback" in line for line in err)


@pytest.mark.slow
def test_it_goes_on_where_it_was_saved(lives):
    before, after = lives[1]
    assert f"Continuing  from step {before[3][-1]} " in after[1]
