"""Which devices are chosen, what is refused, and which rows each replica gets."""

import contextlib
import json
import re
import socket

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.config import Config, DataConfig, ProbeConfig
from simclr_tf.data import open_source
from simclr_tf.distribution import (
    agreement,
    cluster_of,
    devices_text,
    distribute_batches,
    inputs,
    is_chief,
    make_strategy,
    requests_batches_ahead,
    require_agreement,
    require_divisible,
)
from simclr_tf.distribution.cluster import read_tf_config
from simclr_tf.distribution.inputs import nearest_divisible
from simclr_tf.errors import ClusterError, ConfigError, SimCLRError
from simclr_tf.machine import usable_cores
from simclr_tf.training.batches import Batches


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "name, replicas, expected",
    [
        ("auto", None, 1),
        ("auto", 1, 1),
        ("auto", 2, 2),
        ("one_device", None, 1),
        ("mirrored", 1, 1),
        ("mirrored", 3, 3),
        ("mirrored", None, 4),
    ],
)
def test_the_replicas_are_as_many_as_asked_for(name, replicas, expected):
    strategy = make_strategy(name, replicas=replicas)
    assert strategy.num_replicas_in_sync == expected
    assert is_chief(strategy) and cluster_of(strategy) is None


def test_strategies_of_several_sizes_work_in_one_process():
    for replicas in (2, 4, 2, 3):
        strategy = make_strategy("mirrored", replicas=replicas)
        total = strategy.run(
            lambda: tf.distribute.get_replica_context().all_reduce(
                "SUM", tf.constant(1.0)
            )
        )
        assert float(strategy.experimental_local_results(total)[0]) == replicas


def test_an_active_strategy_is_used():
    strategy = make_strategy("mirrored", replicas=2)
    with strategy.scope():
        assert make_strategy() is strategy
        with pytest.raises(ConfigError, match="unset"):
            make_strategy("mirrored")
        with pytest.raises(ConfigError, match="unset"):
            make_strategy(replicas=4)


def test_what_a_strategy_computes_on_is_named(monkeypatch):
    one, two = make_strategy("one_device"), make_strategy("mirrored", replicas=2)
    cores = usable_cores()
    assert devices_text(one) == devices_text(two)
    assert re.fullmatch(rf"{cores} cores? of \S.*", devices_text(one))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda _: {"device_name": "H200"}
    )
    assert devices_text(one) == "1 x H200"
    assert "core" in devices_text(two)  # Its replicas are on the processor.


def test_auto_takes_what_the_environment_names(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        own = f"127.0.0.1:{taken.getsockname()[1]}"
        for workers, outcome in (
            ([own], contextlib.nullcontext()),
            ([own, "127.0.0.1:1"], pytest.raises(ClusterError, match="in use")),
        ):
            monkeypatch.setenv(
                "TF_CONFIG",
                json.dumps(
                    {
                        "cluster": {"worker": workers},
                        "task": {"type": "worker", "index": 0},
                    }
                ),
            )
            with outcome:  # One worker alone needs no port.
                assert make_strategy().num_replicas_in_sync == 1
    monkeypatch.setenv("TPU_NAME", "local")
    with pytest.raises(ClusterError, match="TPU"):
        make_strategy()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"name": "mirored"}, "Did you mean mirrored"),
        ({"name": "one_device", "replicas": 2}, "--strategy=mirrored"),
        ({"name": "multi_worker", "replicas": 2}, "--strategy=mirrored"),
        ({"name": "tpu", "tpu": "local"}, "Cannot use the TPU of this machine"),
        (
            {"name": "tpu", "tpu": "grpc://127.0.0.1:1"},
            "Cannot use TPU grpc://127.0.0.1:1",
        ),
        ({"name": "multi_worker"}, "TF_CONFIG on every worker"),
        # TensorFlow runs already, with the 4 logical devices of the tests.
        ({"name": "mirrored", "replicas": 5}, "before TensorFlow is used"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(arguments, words):
    tf.config.list_logical_devices()
    with pytest.raises(SimCLRError) as error:
        make_strategy(**arguments)
    assert words in one_line(error)


@pytest.mark.parametrize(
    "size, replicas, nearest",
    [
        (500, 8, "496 or 504"),
        (3, 2, "2 or 4"),
        (3, 8, "8 or 16"),
        (17, 8, "16 or 24"),
        (9, 4, "8 or 12"),
        (11, 4, "8 or 12"),
        (1023, 1000, "1000 or 2000"),
    ],
)
def test_a_batch_that_the_replicas_cannot_share_is_refused(size, replicas, nearest):
    with pytest.raises(ConfigError) as error:
        require_divisible(size, replicas)
    message = one_line(error)
    assert f"Use {nearest}." in message and f"global_batch_size={size}" in message
    assert f"replicas={replicas}" in message
    for other in nearest.split(" or "):
        require_divisible(int(other), replicas)


def test_sizes_beyond_the_largest_are_not_proposed():
    assert nearest_divisible(250, 4, largest=251) == [244, 248]
    assert nearest_divisible(5, 4, largest=5) == [4]
    with pytest.raises(ConfigError, match="only 3 images: use fewer replicas"):
        require_divisible(3, 4, largest=3)


def test_a_probe_batch_that_the_replicas_cannot_share_is_refused():
    images = open_source(np.zeros([20, 8, 8, 3], "uint8"))
    labelled = open_source((np.zeros([10, 8, 8, 3], "uint8"), np.arange(10)))
    config = Config(global_batch_size=8)
    Batches(config, images, "cifar", labelled, replicas=2)
    with pytest.raises(ConfigError, match=r"`probe.batch_size`.* Use 4 or 8\."):
        Batches(config, images, "cifar", labelled, replicas=4)  # All 10 images.


class Rows:
    """Batches of 12 images and 12 labelled ones, from random access or a stream."""

    def __init__(self, is_stream):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (40, 8, 8, 3)).astype("uint8")
        data = pixels
        if is_stream:
            data = tf.data.Dataset.from_tensor_slices(pixels).repeat()
        labelled = open_source((pixels, np.arange(40) % 3))
        config = Config(
            global_batch_size=12,
            seed=3,
            data=DataConfig(image_size_pixels=8),
            probe=ProbeConfig(batch_size=24),
        )
        self.batches = Batches(config, open_source(data), "cifar", labelled)

    def __call__(self, worker, workers):
        return self.batches.between(2, 7, worker, workers)


def joined(parts):
    return {
        name: np.concatenate([part[name].numpy() for part in parts])
        for name in parts[0]
    }


def require_equal(batch, expected):
    assert set(batch) == set(expected) >= {"ids", "images", "seeds", "probe_images"}
    for name, value in expected.items():
        np.testing.assert_array_equal(batch[name], value, err_msg=name)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("replicas", [2, 4])
def test_the_replicas_rows_in_order_are_the_batch_of_one_device(is_stream, replicas):
    rows = Rows(is_stream)
    whole = list(rows(0, 1))
    assert len(whole) == 5
    strategy = make_strategy("mirrored", replicas=replicas)
    batches = iter(distribute_batches(strategy, rows))
    for expected in whole:
        batch = next(batches)
        parts = [{} for _ in range(replicas)]
        for name, value in batch.items():
            for part, rows_of_replica in zip(
                parts, strategy.experimental_local_results(value), strict=True
            ):
                part[name] = rows_of_replica
        require_equal(joined(parts), {k: v.numpy() for k, v in expected.items()})


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("workers", [2, 3])
def test_the_workers_rows_in_order_are_the_batch_of_one_device(is_stream, workers):
    rows = Rows(is_stream)
    of_workers = [list(rows(worker, workers)) for worker in range(workers)]
    for step, expected in enumerate(rows(0, 1)):
        parts = [batches[step] for batches in of_workers]
        require_equal(joined(parts), {k: v.numpy() for k, v in expected.items()})


def test_a_gpu_gets_the_batches_of_one_device_ahead_of_their_steps(monkeypatch):
    one_device = make_strategy("one_device")
    assert not requests_batches_ahead(one_device)
    _, other_device, *_ = tf.config.list_logical_devices("CPU")
    monkeypatch.setattr(inputs, "_gpus", lambda: [other_device])
    assert requests_batches_ahead(one_device)
    rows = Rows(is_stream=False)
    batches = iter(distribute_batches(one_device, rows))
    for expected in rows(0, 1):
        batch = next(batches)
        assert {value.device for value in batch.values()} == {
            f"/job:localhost/replica:0/task:0{other_device.name}"
        }
        require_equal(batch, {k: v.numpy() for k, v in expected.items()})


def test_one_device_gets_the_data_set_as_it_is():
    dataset = tf.data.Dataset.range(3)
    given = distribute_batches(make_strategy("one_device"), lambda *shard: dataset)
    assert given is dataset


def test_workers_that_differ_are_told_in_what(monkeypatch):
    cluster = read_tf_config(
        json.dumps(
            {
                "cluster": {"worker": ["a:1", "b:2"]},
                "task": {"type": "worker", "index": 1},
            }
        )
    )
    monkeypatch.setattr(agreement, "cluster_of", lambda strategy: cluster)
    told = [["abc", "step 0"], ["abc", "step 4"]]
    monkeypatch.setattr(
        agreement,
        "_rows_of_workers",
        lambda *given: np.array(
            [[agreement._digest(value) for value in row] for row in told]
        ),
    )
    with pytest.raises(ClusterError) as error:
        require_agreement(None, options="abc", first_step="step 4")
    message = one_line(error)
    assert "worker 0 (a:1) and worker 1 (b:2) differ in first step" in message
    assert "Here, worker 1 (b:2): step 4" in message
    told[1][1] = "step 0"
    require_agreement(None, options="abc", first_step="step 0")


def test_one_worker_has_nobody_to_agree_with():
    require_agreement(make_strategy("mirrored", replicas=2), images="a")
