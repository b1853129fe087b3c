"""The peak memory of a run: its parts, and what is refused before the start."""

import re

import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.config import Config
from simclr_tf.errors import ConfigError
from simclr_tf.models import cost_per_example
from simclr_tf.objectives import InstanceDiscrimination
from simclr_tf.training import peak_memory, stages
from simclr_tf.training.peak_memory import (
    Machine,
    PeakMemory,
    costs_of_views,
    estimate,
    machine_of,
    require_fitting,
)
from tests.objectives.small_models import a_model
from tests.training.test_run import images, run


def needs_of(rows, base=100, held=60):
    return PeakMemory(10 * rows, 20, 0, 0, 0, base, held=held)


def estimate_of(batch, micro):
    return needs_of(micro or batch)


def advice(free, *, can_split=True, replicas=1, **options):
    with pytest.raises(ConfigError) as refused:
        require_fitting(
            estimate_of,
            Machine(free),
            config=Config(**options),
            replicas=replicas,
            can_split=can_split,
            has_trained=False,
        )
    return str(refused.value)


def test_what_the_backward_pass_reads_is_kept_once():
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, padding="same")(x)
    y = keras.layers.BatchNormalization()(y)
    z = keras.layers.ReLU()(y)
    z = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same")(z), z])
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(z)))
    kept = 8 * 8 * 3 + 4 * (8 * 8 * 4)  # Image, both convolutions' outputs, ReLU, sum.
    # The second convolution's output is only added: nothing reads it again.
    kept -= 8 * 8 * 4
    cost = cost_per_example(model, (8, 8, 3))
    assert cost.kept_bytes == 4 * kept and cost.largest_bytes == 4 * 8 * 8 * 4


def test_half_the_bytes_are_kept_in_bfloat16():
    def network(policy):
        x = keras.Input((8, 8, 3))
        layer = keras.layers.Conv2D(4, 3, dtype=policy)
        y = layer(keras.layers.Conv2D(4, 1, dtype=policy)(x))
        return cost_per_example(keras.Model(x, y), (8, 8, 3)).kept_bytes

    assert network("mixed_bfloat16") * 2 == network("float32")


@pytest.mark.parametrize("free", [1400, 700, 205, 100])
def test_the_advice_is_the_largest_micro_batch_that_fits(free):
    text = advice(free, global_batch_size=256)
    size = int(re.search(r"Use --micro_batch_size=(\d+)\.", text)[1])
    machine = Machine(free)
    assert machine.shortage(estimate_of(256, size)) is None
    assert machine.shortage(estimate_of(256, 2 * size)) is not None
    assert "batch_size=256" in text and "\n" not in text


def test_a_smaller_batch_is_the_advice_where_parts_would_not_be_exact():
    text = advice(700, global_batch_size=192, can_split=False, replicas=2)
    size = int(re.search(r"Use --batch_size=(\d+)\.", text)[1])
    assert size == 48 and Machine(700).shortage(estimate_of(size, None)) is None


def test_where_no_batch_fits_other_ways_out_are_named():
    assert "--image_size_pixels" in advice(10, global_batch_size=256)


def test_a_gpu_has_a_limit_of_its_own():
    needs = PeakMemory(1000, 0, 0, 0, 50, 100, held=100, replicas=2)
    assert Machine(60, gpu=500).shortage(needs) is None
    assert "on a GPU" in Machine(60, gpu=499).shortage(needs)
    assert "are free" in Machine(40, gpu=500).shortage(needs)


def test_a_bank_in_host_memory_takes_none_of_a_gpu(monkeypatch):
    model = a_model(InstanceDiscrimination(negatives=4))
    model.skips_nonfinite = True
    costs = costs_of_views(model, (8, 8, 3))
    monkeypatch.setattr(peak_memory, "resident_bytes", lambda: 2**30)
    on_device = estimate(model, costs, global_batch_size=8)
    monkeypatch.setattr(
        peak_memory, "_stays_on_host", lambda variable: "bank" in variable.name
    )
    on_host = estimate(model, costs, global_batch_size=8)
    bank = 4 * 20 * 5  # Images of dimensions.
    assert on_device.weights - on_host.weights == 2 * bank  # And its snapshot.
    assert on_host.process - on_device.process == 2 * bank


def test_this_machine_has_memory():
    machine = machine_of(tf.distribute.get_strategy())
    assert machine.free > 2**20


class Started(Exception):
    """The run would train now."""


def test_a_run_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, monkeypatch
):
    def train(*arguments):
        raise Started

    estimate, place, said = stages.estimate, tmp_path / "run", []
    monkeypatch.setattr(stages.PretrainingRun, "_train", train)
    # As if an image took 10 GiB in the network, of 50 GiB that are free.
    monkeypatch.setattr(
        stages,
        "estimate",
        lambda *a, **k: needs_of(
            2**30 * (k["micro_batch_size"] or k["global_batch_size"])
        ),
    )
    monkeypatch.setattr(stages, "machine_of", lambda strategy: Machine(50 * 2**30))
    with pytest.raises(ConfigError, match="--micro_batch_size=4") as refused:
        run(images(), place)
    assert not place.exists() and "\n" not in str(refused.value)
    with pytest.raises(Started):
        run(images(), place, micro_batch_size=4)
    # Nothing was trained: other options are free to start there, and nothing of the
    # first start is left.
    (place / "metrics.jsonl").write_text("{}\n")
    (place / "network.json").write_text("of another encoder")
    (place / "tensorboard").mkdir()
    with pytest.raises(Started):
        run(images(), place, say=said.append, **{"performance.check_memory": False})
    left = {path.name for path in place.iterdir()}
    assert not left & {"metrics.jsonl", "network.json", "tensorboard"}
    monkeypatch.setattr(stages, "estimate", estimate)
    with pytest.raises(Started):
        run(images(), place, say=said.append)
    assert any(line.startswith("Replacing") for line in said)
    line = [line for line in said if line.startswith("Memory")][-1]
    assert "activations" in line and "weights and slots" in line and "free" in line
