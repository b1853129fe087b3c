"""What --precision=auto takes on which machine, and that a run keeps to it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import pretrain
from simclr_tf._keras import keras
from simclr_tf.config.presets import get_preset
from simclr_tf.errors import WorkdirError
from simclr_tf.training import Workdir, precision, processor_speed
from simclr_tf.training.assembly import build_projection_head
from simclr_tf.training.precision import choose_precision, fitting_precision
from simclr_tf.training.processor_speed import kept_in, times_as_fast

ONE_DEVICE = tf.distribute.get_strategy()
RATIOS = {"fast": 1.7, "slightly": 1.05, "old": 0.31}


@pytest.fixture
def processor(tmp_path_factory, monkeypatch):
    """A function that puts this process on another processor."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))

    def put(name):
        monkeypatch.setattr(processor_speed, "processor", lambda: name)
        monkeypatch.setattr(processor_speed, "_measured", lambda: RATIOS[name])

    return put


@pytest.mark.parametrize(
    "name, expected",
    [("fast", "bfloat16"), ("slightly", "float32"), ("old", "float32")],
)
def test_processors_compute_in_bfloat16_where_it_was_measured_faster(
    processor, name, expected
):
    processor(name)
    for when in ("now", "before"):
        found = fitting_precision(ONE_DEVICE)
        assert found.name == expected and f"measured {when}" in found.reason
        assert f"{RATIOS[name]:.2g} times as fast" in found.reason
        line = found.line()
        assert expected in line and "--precision=auto" in line and "\n" not in line


def test_what_was_measured_is_kept_for_each_processor(processor, monkeypatch):
    for name in ("fast", "old"):
        processor(name)
        assert times_as_fast() == (RATIOS[name], True)
    monkeypatch.setattr(processor_speed, "_measured", lambda: 9.0)
    assert times_as_fast() == (RATIOS["old"], False)
    kept_in().write_text("damaged")
    assert times_as_fast() == (9.0, True) and json.loads(kept_in().read_text())
    kept_in().unlink()
    kept_in().parent.rmdir()
    kept_in().parent.write_text("a file in the place of the folder")
    assert times_as_fast() == times_as_fast() == (9.0, True)


def test_the_measurement_is_a_plausible_ratio():
    assert 0.05 < processor_speed._measured() < 20
    assert f"{tf.__version__}" in processor_speed.processor()


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
    processor("fast")  # Of no account beside a GPU.
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
    processor("fast")
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
    assert found.name == "bfloat16" and "0.31 times as fast" in found.line()
    found = choose_precision("float32", ONE_DEVICE)
    assert found.line() == "Precision   float32: as requested (--precision=float32)"


def test_models_built_without_a_run_take_what_fits_the_machine(processor):
    for name, expected in (("fast", "bfloat16"), ("old", "float32")):
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

    processor("fast")
    assert run().config.precision == "bfloat16"
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["config"]["precision"] == "bfloat16"
    assert record["precision"]["asked"] == "auto"
    assert record["precision"]["chosen"] == "bfloat16"
    assert "1.7 times as fast" in record["precision"]["because"]
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
        "0.31 times as fast",
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
