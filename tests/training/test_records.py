"""What a run writes for programs stands there once, however often it was cut."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simclr_tf.training.records import (
    SAMPLE_SIZE,
    RepresentationSample,
    keep_events_up_to,
    keep_lines_up_to,
    read_metrics,
    record_of_line,
)


def write_events(folder, steps):
    """One life of a run: a scalar at every step."""
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("loss", 0.5, step=step)
    writer.close()


def steps_shown(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    if "loss" not in events.Tags()["tensors"]:
        return []
    # Files of one second are read in the order of their names: any.
    return sorted(event.step for event in events.Tensors("loss"))


@pytest.mark.parametrize("step", [0, 2, 3, 5])
def test_tensorboard_forgets_the_steps_beyond_the_restored_one(tmp_path, step):
    write_events(tmp_path, range(1, 6))
    keep_events_up_to(tmp_path, step)
    assert steps_shown(tmp_path) == list(range(1, step + 1))
    write_events(tmp_path, range(step + 1, 7))
    assert steps_shown(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_an_event_torn_by_a_kill_is_cut_off(tmp_path):
    write_events(tmp_path, range(1, 6))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-7])
    keep_events_up_to(tmp_path, 10)
    assert steps_shown(tmp_path) == [1, 2, 3, 4]
    whole = path.read_bytes()
    keep_events_up_to(tmp_path, 10)
    assert path.read_bytes() == whole


def test_lines_beyond_a_step_and_a_torn_one_are_dropped(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": 1 / step}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    keep_lines_up_to(path, 2)
    assert path.read_text() == "\n".join(lines[:2]) + "\n"
    assert [record["step"] for record in read_metrics(path)] == [1, 2]
    assert not caplog.messages  # A kill tore it: nothing to worry about.


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1e400, "loss": 1.0}',
        '{"step": "15", "loss": 1.0}',
        '{"step": [15], "loss": 1.0}',
        '{"step": true}',
        '{"step": 15, "loss": "1.0"}',
        '{"step": 15, "loss": [[1.0]]}',
        '{"step": 15, "learning_rate": {}}',
        '{"step": ' + "9" * 400 + "}",
        '{"step": 15, "loss": ' + "9" * 400 + "}",
        '{"step": 15, "loss": ' + "9" * 5000 + "}",
        "[" * 100_000,
        "[15]",
        "15",
    ],
    ids=lambda line: line[:40],
)
def test_a_line_of_anything_but_figures_is_damage(line, tmp_path):
    assert record_of_line(line) is None
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n' + line + "\n")
    assert read_metrics(path) == [{"step": 1, "loss": 0.5}]


def test_figures_that_are_not_finite_are_figures():
    found = record_of_line('{"step": 15, "loss": NaN, "rank": 1e400, "std": null}')
    assert found["step"] == 15 and found["rank"] == float("inf")


class SeenViews:
    """Views of a batch that notes how it was asked for them."""

    plan = None

    def __init__(self):
        self.asked = []

    def __call__(self, batch):
        rows = batch["images"].shape[0]
        self.asked.append((rows, tf.inside_function()))
        return (tf.cast(batch["images"], tf.float32),) * 2


@pytest.mark.parametrize(
    "replicas, micro, rows", [(1, None, 300), (1, 30, 256), (2, None, 256)]
)
def test_the_sample_compiles_the_views_as_the_step_does(replicas, micro, rows):
    """Elsewhere or of another shape, XLA would compile them once more: seconds."""
    devices = [f"CPU:{number}" for number in range(replicas)]
    strategy = (
        tf.distribute.MirroredStrategy(devices)
        if replicas > 1
        else tf.distribute.get_strategy()
    )
    model = types.SimpleNamespace(
        views_of=SeenViews(), distribute_strategy=strategy, micro_batch_size=micro
    )
    batch = {"images": np.zeros([300, 4, 4, 3], np.uint8), "ids": np.arange(300)}
    sample = RepresentationSample(model, batch)
    assert [len(view) for view in sample.views] == [SAMPLE_SIZE] * 2
    assert model.views_of.asked == [(rows, True)]
