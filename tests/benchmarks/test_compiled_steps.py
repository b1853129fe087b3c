"""Whole steps as programs of XLA that a graphics processor can run alone."""

import json

import pytest

from simclr_tf.benchmarks import compiled_steps
from simclr_tf.commands.benchmark import export_and_report
from simclr_tf.config.benchmark import BenchmarkConfig, BenchmarkOptions
from simclr_tf.errors import ConfigError, DataError

TINY = {"name": "resnet10", "width_multiplier": 0.0625}


@pytest.fixture
def tiny(monkeypatch):
    """The recipes of both networks; a network that is lowered in a second."""
    networks = {
        f"tiny_{recipe}": (
            {
                "encoder": {**TINY, "stem": stem},
                "data.image_size_pixels": 32,
                "augment": {"recipe": recipe},
            },
            (4,),
        )
        for recipe, stem in (("cifar", "cifar"), ("simclr_v1", "imagenet"))
    }
    monkeypatch.setattr(compiled_steps, "_NETWORKS", networks)


def test_steps_are_written_with_what_times_them(tiny, tmp_path):
    said, folder = [], tmp_path / "hlo"
    config = BenchmarkConfig(only="tiny_cifar")
    export_and_report(config, folder, command="x", say=said.append)
    index = json.loads((folder / "steps.json").read_text())
    names = [step["name"] for step in index["steps"]]
    assert names == [f"tiny_cifar_batch4_{p}" for p in compiled_steps.PRECISIONS]
    assert index["command"] == "x"
    # What distinguishes the precisions is in the programs.
    exact, tf32, bfloat16 = index["steps"]
    assert exact["products_without_tf32"] > 20 and not tf32["products_without_tf32"]
    assert exact["operations"] == tf32["operations"] < bfloat16["operations"]
    step = exact
    assert (folder / step["file"]).stat().st_size > 100_000
    assert step["batch_size"] == 4 and step["arguments"] > 20
    assert step["operations"] > step["arguments"]
    assert step["encoder_operations_a_step"] > 1e6
    for name in ("time_steps.py", "torch_step.py"):
        compile((folder / name).read_text(), name, "exec")
    assert f"python3 {folder}/time_steps.py {folder}" in said[-1]


def test_batches_and_names_choose_the_steps():
    names = [step.name for step in compiled_steps.steps_to_export("bfloat16", (8, 16))]
    assert names == [
        f"{network}_batch{batch}_bfloat16"
        for network in ("resnet18_32px", "resnet50_224px")
        for batch in (8, 16)
    ]
    with pytest.raises(ConfigError, match="resnet18_32px_batch256_float32.*only='r3'"):
        compiled_steps.steps_to_export("r3")
    with pytest.raises(ConfigError, match="belongs to the benchmark step"):
        BenchmarkOptions(benchmark="views", export_hlo="x")


@pytest.mark.parametrize(
    "line, what",
    [
        (
            '%c = f32[] custom-call(%a), custom_call_target="xla_python_callback"',
            "call",
        ),
        ("%o = token[] outfeed(%a, %t)", "value from or for the host"),
        ("%d = f32[<=8,4] add(%a, %b)", "dynamic shape"),
        ("%s = f32[8,4] scatter(%a, %i, %u)", "order"),
    ],
)
def test_what_a_gpu_cannot_run_alone_is_noticed(line, what):
    assert what in compiled_steps.refused_operations(f"  {line}")[0]


def test_a_step_with_it_is_not_written(tiny, monkeypatch, tmp_path):
    config = BenchmarkConfig(only="simclr_v1_batch4_bfloat16")
    export_and_report(config, tmp_path / "good", say=lambda line: None)
    assert len(list((tmp_path / "good").glob("*.hlo"))) == 1
    monkeypatch.setattr(compiled_steps, "refused_operations", lambda text: ["a call"])
    with pytest.raises(DataError, match="tiny_simclr_v1.*a call"):
        export_and_report(config, tmp_path / "bad")
    assert not (tmp_path / "bad" / "steps.json").exists()
