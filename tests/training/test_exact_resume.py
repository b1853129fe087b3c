"""With deterministic kernels, interrupted and calm runs are equal bit for bit."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simclr_tf.training.records import read_metrics
from tests import fresh_process

SCRIPT = pathlib.Path(__file__).with_name("exact_resume_runs.py")
WALL_CLOCK = {"seconds", "images_per_second", "data_wait_fraction"}
STARTS = {  # name: the steps from which its later lives went on
    "in the middle of an epoch": ["step 4"],
    "at its boundary, and right after it": ["step 3", "step 4"],
    "before its first checkpoint": [],
    "cut on 2 replicas": ["step 5"],
}
# In every suite runs are cut in the middle, where most can go wrong.
IN_EVERY_SUITE = ("in the middle of an epoch", "cut on 2 replicas")
CASES = [
    pytest.param(name, marks=[] if name in IN_EVERY_SUITE else [pytest.mark.slow])
    for name in STARTS
]
LABELLED = {  # name: the step from which its second life went on
    "a classifier gets SIGTERM": 5,
    "a classifier is killed": 3,
    "a student gets SIGTERM": 4,
}
REPLICA_BOUND = 1e-5  # Relative, of any number of replicas against one device.


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """The folder of all runs that are looked at; one process made them."""
    folder = tmp_path_factory.mktemp("runs")
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    done = fresh_process.run(
        [SCRIPT, folder, *asked | {"cut on 2 replicas"}], timeout=1800
    )
    assert done.returncode == 0, done.stderr
    return folder


def curve(workdir):
    """metrics.jsonl without the figures that a clock measured."""
    return [
        {name: value for name, value in record.items() if name not in WALL_CLOCK}
        for record in read_metrics(workdir / "metrics.jsonl")
    ]


def calm_run(name):
    return "calm on 2 replicas" if "2 replicas" in name else "calm"


def values_of(checkpoint):
    """Every value in a checkpoint's files by its name, as bytes."""
    reader = tf.train.load_checkpoint(str(checkpoint / "ckpt"))
    return {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def final_values(runs, name):
    with np.load(runs / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize("name", CASES)
def test_a_run_cut_anywhere_ends_bit_identical(runs, name):
    starts = runs / f"{name}.starts"
    assert (starts.read_text().split(",")[:-1] if starts.exists() else []) == (
        STARTS[name]
    )
    calm, cut = final_values(runs, calm_run(name)), final_values(runs, name)
    assert len(calm) > 20 and calm.keys() == cut.keys()
    for key in calm:
        np.testing.assert_array_equal(calm[key], cut[key], err_msg=key)


@pytest.mark.parametrize("name", CASES)
def test_its_curve_is_the_calm_one(runs, name):
    assert [record["step"] for record in curve(runs / name)] == [3, 6, 8]
    assert curve(runs / name) == curve(runs / calm_run(name))


@pytest.mark.parametrize("name", CASES)
def test_its_checkpoints_are_the_calm_ones(runs, name):
    paths = sorted((runs / name / "checkpoints").iterdir())
    for path in paths:
        calm = runs / calm_run(name) / "checkpoints" / path.name
        assert values_of(path) == values_of(calm), path.name
        metrics = [
            json.loads((folder / "manifest.json").read_text())["metrics"]
            for folder in (path, calm)
        ]
        assert metrics[0] == metrics[1]
    assert paths[-1].name == "step-00000008"


@pytest.mark.parametrize("name", CASES)
def test_tensorboard_shows_every_step_once(runs, name):
    events = EventAccumulator(
        str(runs / name / "tensorboard"), size_guidance={"tensors": 0}
    )
    events.Reload()
    # Files of one second are read in the order of their names: any.
    steps = {
        tag: sorted(event.step for event in events.Tensors(tag))
        for tag in events.Tags()["tensors"]
    }
    assert steps.pop("view_pairs") == [0]
    assert len(steps) > 10
    assert all(found == [3, 6, 8] for found in steps.values()), steps


@pytest.mark.parametrize("name", LABELLED)
def test_a_training_with_labels_or_of_a_student_ends_bit_identical(runs, name):
    assert f"from step {LABELLED[name]} of " in (runs / f"{name}.starts").read_text()
    values = final_values(runs, name)
    number = len(values) // 2
    assert number > 6 and not np.array_equal(values["calm 0"], values["calm 1"])
    for index in range(number):
        np.testing.assert_array_equal(values[f"calm {index}"], values[f"cut {index}"])


def test_from_2_replicas_to_1_it_ends_within_the_replica_bound(runs):
    name = "from 2 replicas to 1"
    assert (runs / f"{name}.starts").read_text() == "step 5,"
    calm, cut = final_values(runs, "calm"), final_values(runs, name)
    for key in calm:
        if key.startswith("weight"):
            distance = np.linalg.norm(np.float64(calm[key]) - cut[key])
            assert distance <= REPLICA_BOUND * np.linalg.norm(calm[key]), key
    losses = [
        [record["contrastive_loss"] for record in curve(runs / run)]
        for run in ("calm", name)
    ]
    np.testing.assert_allclose(*losses, rtol=REPLICA_BOUND)
