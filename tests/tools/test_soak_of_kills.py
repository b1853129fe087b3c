"""Thirty kills over one run of the real tool: it ends bit-identical to a calm one."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

KILLS, STEPS, EPOCH_STEPS = 30, 960, 16
COMMAND = [
    sys.executable,
    "-m",
    "simclr_tf.tools.pretrain",
    "--preset=demo",
    "--split=train[:256]",
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
    "--checkpoint.every_steps=7",
    "--checkpoint.keep_every_epochs=20",
]
WALL_CLOCK = {"seconds", "images_per_second", "data_wait_fraction"}


def start(workdir):
    return subprocess.Popen(
        [*COMMAND, f"--workdir={workdir}"],
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def newest(workdir):
    """Step of the newest checkpoint."""
    return max(
        (int(path.name[5:]) for path in workdir.glob("checkpoints/step-*")), default=0
    )


def values_of(workdir):
    reader = tf.train.load_checkpoint(
        str(workdir / "checkpoints" / f"step-{STEPS:08d}" / "ckpt")
    )
    return {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def curve(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {
            name: value
            for name, value in json.loads(line).items()
            if name not in WALL_CLOCK
        }
        for line in lines
    ]


def names(workdir):
    return sorted(
        path.name
        for folder in (workdir, workdir / "checkpoints")
        for path in folder.iterdir()
    )


@pytest.mark.slow
def test_thirty_random_kills_end_bit_identical_to_the_calm_run(tmp_path):
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    began = time.monotonic()
    process = start(calm)
    while newest(calm) == 0 and process.poll() is None:
        time.sleep(0.01)
    start_up = time.monotonic() - began
    assert process.wait() == 0, process.stderr.read()
    dice, codes, damaged = random.Random(0), [], []
    for kill in range(KILLS):
        before, process = newest(stormy), start(stormy)
        if kill % 2:  # While it trains.
            while newest(stormy) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(dice.uniform(0.0, 0.7))
        else:  # While it starts.
            time.sleep(dice.uniform(0.0, start_up))
        process.send_signal(dice.choice([signal.SIGKILL, signal.SIGTERM]))
        _, err = process.communicate()
        codes.append(process.returncode)
        damaged += [line for line in err.splitlines() if "damaged" in line]
    # None was over before its kill; SIGTERM in training ends with 143, saved.
    assert set(codes) == {-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM}, codes
    assert damaged == []
    assert 0 < newest(stormy) < STEPS
    process = start(stormy)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert values_of(stormy) == values_of(calm)
    assert curve(stormy) == curve(calm)
    assert [record["step"] for record in curve(calm)] == list(
        range(EPOCH_STEPS, STEPS + 1, EPOCH_STEPS)
    )
    assert names(stormy) == names(calm)
