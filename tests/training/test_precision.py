"""What --precision=auto takes on which machine, and that a run keeps to it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import pretrain
from simclr_tf._keras import keras
from simclr_tf.config.presets import get_preset
from simclr_tf.errors import WorkdirError
from simclr_tf.training import Workdir, precision
from simclr_tf.training.assembly import build_projection_head
from simclr_tf.training.precision import choose_precision, fitting_precision

ONE_DEVICE = tf.distribute.get_strategy()
PROCESSORS = {
    "amx": "flags\t\t: fpu avx512f amx_bf16 avx512_bf16 amx_tile",
    "zen4": "flags\t\t: fpu avx512f avx512_bf16",
    "old": "flags\t\t: fpu avx2 avx512f avx512_vnni",
    "arm": "Features\t: fp asimd bf16",
}


@pytest.fixture
def processor(tmp_path_factory, monkeypatch):
    """A function that puts this process on another processor."""

    def put(name):
        path = tmp_path_factory.mktemp("proc") / "cpuinfo"
        if name in PROCESSORS:
            path.write_text(f"processor\t: 0\n{PROCESSORS[name]}\nbogomips : 1\n")
        monkeypatch.setattr(precision, "CPU_DESCRIPTION", path)

    return put


@pytest.mark.parametrize(
    "name, expected, words",
    [
        ("amx", "bfloat16", "amx_bf16"),
        ("zen4", "bfloat16", "avx512_bf16"),
        ("old", "float32", "has no instructions for bfloat16"),
        ("arm", "float32", "not known"),
        ("no such file", "float32", "not known"),
    ],
)
def test_processors_compute_in_bfloat16_where_they_have_instructions_for_it(
    processor, name, expected, words
):
    processor(name)
    found = fitting_precision(ONE_DEVICE)
    assert (found.name, words in found.reason) == (expected, True)
    line = found.line()
    assert expected in line and "--precision=auto" in line and "\n" not in line


@pytest.mark.parametrize(
    "capabilities, expected, words",
    [
        ([(8, 0)], "bfloat16", "8.0"),
        ([(9, 0), (8, 9)], "bfloat16", "8.9"),
        ([(7, 5)], "float32", "7.5"),
        ([(9, 0), (7, 0)], "float32", "7.0"),  # The oldest keeps the others waiting.
        ([None], "float32", "not known whether"),
    ],
)
def test_gpus_compute_in_bfloat16_from_capability_8_on(
    processor, monkeypatch, capabilities, expected, words
):
    processor("amx")  # Of no account beside a GPU.
    details = [
        {"device_name": f"card {i}", "compute_capability": c}
        for i, c in enumerate(capabilities)
    ]
    monkeypatch.setattr(
        tf.config, "get_visible_devices", lambda kind: range(len(details))
    )
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: details[gpu]
    )
    found = fitting_precision(ONE_DEVICE)
    assert (found.name, words in found.reason) == (expected, True)
    replicas_on_cpu = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert "processor" in fitting_precision(replicas_on_cpu).reason


def test_tpus_compute_in_bfloat16(processor):
    processor("old")
    tpu = tf.distribute.TPUStrategy.__new__(tf.distribute.TPUStrategy)
    assert fitting_precision(tpu).name == "bfloat16"


def test_workers_that_differ_all_take_float32(processor, monkeypatch):
    processor("amx")
    votes = []

    def one_worker_is_old(strategy, number):
        votes.append(number)
        return 1

    assert choose_precision("auto", ONE_DEVICE).name == "bfloat16"
    monkeypatch.setattr(precision, "largest_over_workers", one_worker_is_old)
    found = choose_precision("auto", ONE_DEVICE)
    assert found.name == "float32" and "another worker" in found.reason
    processor("old")
    choose_precision("auto", ONE_DEVICE)
    choose_precision("float32", ONE_DEVICE)  # It votes, or others would hang.
    assert votes == [0, 1, 1]


def test_what_was_asked_for_is_taken_and_its_cost_said(processor):
    processor("old")
    found = choose_precision("bfloat16", ONE_DEVICE)
    assert found.name == "bfloat16" and "twice as long" in found.line()
    found = choose_precision("float32", ONE_DEVICE)
    assert found.line() == "Precision   float32: as requested (--precision=float32)"


def test_models_built_without_a_run_take_what_fits_the_machine(processor):
    for name, expected in (("amx", "bfloat16"), ("old", "float32")):
        processor(name)
        head = build_projection_head(get_preset("demo"))
        head(tf.zeros([2, 8]))
        assert head.dense_layers[0].compute_dtype == expected


def test_a_run_goes_on_in_the_precision_it_began_with(tmp_path, processor):
    pictures = keras.Input((None, None, 3))
    encoder = keras.Model(pictures, keras.layers.Conv2D(4, 3, 2)(pictures))
    said = []

    def run(**options):
        return pretrain(
            np.zeros([16, 16, 16, 3], "uint8"),
            tmp_path,
            encoder=encoder,
            epochs=1,
            global_batch_size=8,
            compile_views=False,
            say=said.append,
            **{"data.image_size_pixels": 16, "augment.recipe": "finetune", **options},
        )

    processor("amx")
    assert run().config.precision == "bfloat16"
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["config"]["precision"] == "bfloat16"
    assert record["precision"]["asked"] == "auto"
    assert record["precision"]["chosen"] == "bfloat16"
    assert "amx_bf16" in record["precision"]["because"]
    assert Workdir(tmp_path).config().precision == "bfloat16"
    summary = (tmp_path / "SUMMARY.md").read_text()
    assert "Computed in bfloat16" in summary and "| precision |" not in summary
    processor("old")  # The same command on another machine.
    again = run()
    head = again.model.projection_head
    assert head.dense_layers[0].compute_dtype == "bfloat16"
    line = next(line for line in reversed(said) if line.startswith("Precision"))
    for words in (
        "bfloat16: this run started with it",
        "twice as long",
        "another --workdir would take float32",
    ):
        assert words in line
    with pytest.raises(WorkdirError, match="precision .there 'bfloat16', now 'float32"):
        run(precision="float32")


def test_a_run_of_an_older_version_goes_on(processor):
    """Its config.json says bfloat16, and nothing of what was asked for."""
    processor("old")
    found = choose_precision("auto", ONE_DEVICE, "bfloat16")
    assert found.name == "bfloat16"
