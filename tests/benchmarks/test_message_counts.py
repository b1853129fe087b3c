"""The messages of a step: those in its graph are those of the formula."""

import json

import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.benchmarks import read_record
from simclr_tf.benchmarks.message_counts import (
    collective_bytes,
    count_step,
    messages_of_step,
)
from simclr_tf.benchmarks.step_cases import compiled_model
from simclr_tf.commands.benchmark import collectives_and_report
from simclr_tf.config import Config
from simclr_tf.config.benchmark import BenchmarkConfig
from simclr_tf.config.schema import override
from simclr_tf.distribution import (
    Link,
    Message,
    expected_step,
    make_strategy,
    messages,
)
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization
from simclr_tf.objectives import OBJECTIVES, Objective
from simclr_tf.tools import benchmark
from simclr_tf.training import assembly
from tests.objectives.toy_objective import Toy

BATCH, SIZE, PROJECTIONS = 8, 8, 6
# Options of objectives, small; and of variants that send something else.
PREDICTOR = {"objective.predictor_features": 5}
OPTIONS = {
    "moco": {"objective.queue_length": 16, "objective.batch_norm_groups": 2},
    "moco_v3": PREDICTOR,
    "nnclr": {"objective.queue_length": 16, **PREDICTOR},
    "instance_discrimination": {"objective.negatives": 3},
    "simsiam": PREDICTOR,
    "byol": PREDICTOR,
    "swav": {"objective.prototypes": 9},
    "dino": {"objective.outputs": 9},
}
VARIANTS = {
    "nt_xent in blocks": {"objective.chunk_size": 3},
    "nt_xent memory": {"objective.memory_size": 16},
    "nt_xent small": {"objective.small_views": 1, "objective.memory_size": 16},
    "dclw in blocks": {"objective.chunk_size": 3},
    "moco symmetric": {"objective.symmetric": True},
    "instance_discrimination softmax": {"objective.negatives": 0},
    "swav queue": {"objective.queue_length": 16, "objective.iterations": 2},
    "dino full": {"objective.small_views": 0},
}


@pytest.fixture(autouse=True)
def tiny_encoder(monkeypatch):
    """A convolution of 5 channels with batch norm in the place of a ResNet."""

    def build_encoder(config, channels, *, synchronized=False):
        images = keras.Input((None, None, channels))
        values = keras.layers.Conv2D(5, 3)(images)
        values = SynchronizedBatchNormalization()(values)
        values = keras.layers.GlobalAveragePooling2D()(values)
        return keras.Model(images, values)

    monkeypatch.setattr(assembly, "build_encoder", build_encoder)


def a_model(replicas, objective="nt_xent", **options):
    config = override(
        Config(),
        {
            "data.labels": "none",
            "data.image_size_pixels": SIZE,
            "augment.recipe": "finetune",
            "global_batch_size": BATCH,
            "precision": "float32",
            "projection_head.num_layers": 2,
            "projection_head.hidden_features": 7,
            "projection_head.out_features": PROJECTIONS,
            "objective": objective,
            **OPTIONS.get(objective, {}),
            **options,
        },
    )
    with make_strategy("mirrored", replicas=replicas).scope():
        return compiled_model(
            config, synchronized=True, num_examples=20, total_steps=9, epoch_steps=3
        )


@pytest.mark.parametrize(
    "replicas, few",
    [
        (2, messages.STACKED_REPLICAS),
        pytest.param(4, 2, marks=pytest.mark.slow, id="as_many_replicas"),
    ],
)
@pytest.mark.parametrize("case", [*OBJECTIVES, *VARIANTS, "toy"])
def test_the_graph_of_a_step_has_the_messages_of_the_formula(
    case, replicas, few, monkeypatch
):
    """Of every objective and a guest; with what more than 8 replicas send, too."""
    monkeypatch.setattr(messages, "STACKED_REPLICAS", few)
    monkeypatch.setitem(OBJECTIVES, "toy", Toy)
    model = a_model(replicas, case.split()[0], **VARIANTS.get(case, {}))
    found = count_step(model, BATCH)
    assert found.counted == found.expected and found.replicas == replicas


def test_the_tool_counts_and_estimates(tmp_path, capsys):
    said, path = [], tmp_path / "collectives.json"
    config = BenchmarkConfig(
        sizes=(2,),
        batch_size=BATCH,
        image_size_pixels=SIZE,
        recipe="finetune",
        link_gigabits_per_second=8.0,
        latency_microseconds=1.0,
    )
    record = collectives_and_report(config, path, command="c", say=said.append)
    (counted,) = record.counted
    assert counted.agrees and "yes" in said[-1] and "efficiency" in said[-1]
    # By hand. NT-Xent with D = 128: the projections and their gradient, and the
    # moments of 5 features.
    pair = BATCH * 2 * 128 * 4
    assert {pair, 5 * 2 * 2 * 4} < set(counted.counted) and counted.counted.count(
        pair
    ) == 2
    content = json.loads(path.read_text())
    assert content["counted"][0]["counted"] == list(counted.counted)
    (step,) = (
        step
        for step in content["expected_steps"]
        if (step["replicas"], step["global_batch_size"]) == (512, 4096)
    )
    # 8 images of a replica at 1,000 a second; 4096 x 2 x 128 numbers there and back.
    assert step["compute_seconds"] == 8 / 1000
    sent = 2 * 511 / 512 * 4096 * 2 * 128 * 4 / 1e9 + 2 * 9 * 1e-6
    assert step["term_seconds"]["projections"] == pytest.approx(2 * sent)
    assert step["term_bytes"]["projections"] == 2 * 4096 * 2 * 128 * 4
    # The file holds what was printed, and `table` prints it again.
    again = read_record(path)
    assert again.counted == record.counted
    assert again.expected_steps == record.expected_steps
    assert benchmark.main(["table", f"--results={path}"]) == 0
    assert capsys.readouterr().out.strip() == said[-1].strip()


def test_a_guest_that_states_no_messages_is_told_how(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "toy", Toy)
    monkeypatch.setattr(Toy, "messages", Objective.messages)
    model = a_model(2, "toy")
    with pytest.raises(
        ConfigError, match="override `Objective.messages`.*objective='toy'"
    ):
        messages_of_step(model, BATCH, 2)


def test_other_collectives_than_sums_are_not_counted_as_sums():
    strategy = make_strategy("mirrored", replicas=2)

    @tf.function
    def gather():
        return strategy.run(
            lambda: tf.distribute.get_replica_context().all_gather(tf.ones([2]), 0)
        )

    with pytest.raises(ConfigError, match="all-reduces alone, not CollectiveGather"):
        collective_bytes(gather.get_concrete_function().graph)


def test_more_replicas_are_never_more_efficient():
    sent = [Message("gradients", 10**8), *[Message("batch norm", 10**3)] * 100]
    efficiency = [
        expected_step(
            sent,
            Link(12.5e9, 1e-5),
            replicas=replicas,
            global_batch_size=4096,
            images_per_second=1000,
        ).efficiency
        for replicas in (2, 4, 8, 16, 512)
    ]
    assert efficiency == sorted(efficiency, reverse=True) and efficiency[-1] < 0.5
