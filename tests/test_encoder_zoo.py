"""The zoo: what is listed, without loading anything, and what a name stands for."""

import json
import pathlib
import subprocess
import sys

import pytest

from simclr_tf import encoder_zoo
from simclr_tf.encoder_zoo import default_folder, encoder_path, zoo
from simclr_tf.errors import ConfigError, DataError

MEASUREMENTS = [
    {
        "representation": "this encoder",
        "protocol": "weighted_knn",
        "value": 87.25,
        "num_test": 10_000,
    },
    {
        "representation": "this encoder",
        "protocol": "linear_probe",
        "value": 90.04,
        "num_test": 10_000,
    },
    {
        "representation": "raw pixels",
        "protocol": "linear_probe",
        "value": 84.5,
        "num_test": 10_000,
    },
]
RECORD = {
    "format": "simclr_tf.export/1",
    "published": True,
    "num_parameters": 700_320,
    "input": {"shape": [None, None, None, 1]},
    "outputs": {"default": {"shape": [None, 128]}},
    "parity": {"formats": {"saved_model": 0.0, "safetensors": 0.0}},
    "card": {
        "summary": "A narrow ResNet-18.",
        "method": "MoCo",
        "architecture": "ResNet-18, stem `small`",
        "image_size_pixels": 28,
        "data": "tfds:fashion_mnist",
        "data_licence": "MIT, Copyright (c) 2017 Zalando SE",
        "command": "simclr-tf x",
        "results": [
            {
                "data": "tfds:fashion_mnist",
                "command": "simclr-tf evaluate",
                "measurements": MEASUREMENTS,
            }
        ],
    },
}


def an_export(folder, name, record=RECORD, num_bytes=0):
    (folder / name / "saved_model").mkdir(parents=True)
    (folder / name / "config.json").write_text(json.dumps(record))
    (folder / name / "saved_model" / "weights").write_bytes(b"x" * num_bytes)
    return folder / name


@pytest.fixture
def folder(tmp_path):
    """Two exports, one as of an earlier version, among things of other people."""
    an_export(tmp_path, "shirts", num_bytes=500_000)
    an_export(
        tmp_path,
        "older",
        {name: RECORD[name] for name in ("format", "input", "outputs", "parity")},
    )
    an_export(tmp_path, ".shirts-being-made")
    an_export(tmp_path, "elsewhere", {"format": "another"})
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "config.json").write_text('{"format": "simclr_tf')
    (tmp_path / "README.md").write_text("# Exported encoders")
    return tmp_path


def test_every_export_is_listed_by_name_and_nothing_else_is(folder):
    assert [entry.name for entry in zoo(folder)] == ["older", "shirts"]


def test_an_entry_says_what_the_export_says(folder):
    entry = zoo(folder)["shirts"]
    assert entry == zoo(folder)[1]
    assert entry.path == folder / "shirts"
    assert (entry.summary, entry.architecture) == (
        "A narrow ResNet-18.",
        "ResNet-18, stem `small`",
    )
    assert (entry.num_parameters, entry.num_features) == (700_320, 128)
    assert entry.input_shape == (None, None, None, 1)
    assert (entry.data, entry.image_size_pixels) == ("tfds:fashion_mnist", 28)
    assert entry.data_licence.startswith("MIT, Copyright (c) 2017 Zalando")
    assert entry.formats == ("saved_model", "safetensors") and entry.published
    size = (folder / "shirts" / "config.json").stat().st_size
    assert entry.num_bytes == 500_000 + size
    assert [metric["value"] for metric in entry.metrics] == [87.25, 90.04, 84.5]
    assert {
        (metric["num_test"], metric["data"], metric["command"])
        for metric in entry.metrics
    } == {(10_000, "tfds:fashion_mnist", "simclr-tf evaluate")}


def test_an_export_of_an_earlier_version_is_listed_with_what_it_says(folder):
    entry = zoo(folder)["older"]
    assert entry.num_features == 128 and entry.data is None
    assert entry.metrics == () and entry.published is False


def test_a_metric_is_found_by_protocol_and_representation(folder):
    entry = zoo(folder)["shirts"]
    assert entry.find("linear_probe")["value"] == 90.04
    assert entry.find("linear_probe", "raw pixels")["value"] == 84.5
    assert entry.find("weighted_knn", "raw pixels") is None


def test_metrics_on_other_images_are_not_taken_for_its_own(tmp_path):
    card = {**RECORD["card"], "data": "folder:photos"}
    an_export(tmp_path, "other", {**RECORD, "card": card})
    assert zoo(tmp_path)["other"].find("linear_probe") is None
    assert len(zoo(tmp_path)["other"].metrics) == 3


@pytest.mark.parametrize(
    "shape, size, text",
    [
        ([None, None, None, 1], 28, "28x28 grey (any size)"),
        ([None, None, None, 3], [64, 96], "64x96 RGB (any size)"),
        ([None, 32, 48, 3], 28, "32x48 RGB"),
        ([None, None, None, 5], None, "5 channels, any size"),
        (None, None, ""),
    ],
)
def test_the_input_is_said_in_words(tmp_path, shape, size, text):
    card = {**RECORD["card"], "image_size_pixels": size}
    an_export(tmp_path, "a", {**RECORD, "card": card, "input": {"shape": shape}})
    assert zoo(tmp_path)["a"].input_text() == text


def test_printed_it_is_a_table_with_aligned_columns(folder):
    header, older, shirts = str(zoo(folder)).splitlines()
    for title, cell in (
        ("name", "shirts"),
        ("method", "MoCo"),
        ("encoder", "ResNet-18, stem small"),
        ("parameters", "700,320"),
        ("images", "tfds:fashion_mnist"),
        ("input", "28x28 grey (any size)"),
        ("kNN (%)", "87.2"),
        ("linear (%)", "90.0"),
        ("licence of the images", "MIT"),
        ("MB", "0.5"),
    ):
        assert shirts[header.index(title) :].startswith(cell), title
    assert older.startswith("older ")
    assert str(zoo(folder / "empty")) == "The zoo is empty."


def test_listing_imports_no_tensorflow(folder):
    script = (
        "import sys, simclr_tf\n"
        "print(simclr_tf.zoo(sys.argv[1]))\n"
        "sys.exit(len({'tensorflow', 'numpy', 'tf_keras'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "shirts" in done.stdout


def test_a_name_stands_for_its_folder_and_a_path_for_itself(folder, monkeypatch):
    monkeypatch.setattr(encoder_zoo, "default_folder", lambda: folder)
    assert encoder_path("zoo:shirts") == folder / "shirts"
    assert encoder_path("runs/zoo:shirts") == pathlib.Path("runs/zoo:shirts")
    assert encoder_path("~/runs") == pathlib.Path.home() / "runs"


def test_an_unknown_name_is_answered_by_all_of_them(folder, monkeypatch):
    monkeypatch.setattr(encoder_zoo, "default_folder", lambda: folder)
    with pytest.raises(ConfigError, match="Did you mean shirts.*older, shirts"):
        encoder_path("zoo:shirt")
    monkeypatch.setattr(encoder_zoo, "default_folder", lambda: None)
    with pytest.raises(DataError, match="'shirts': the zoo is empty"):
        encoder_path("zoo:shirts")


def test_a_folder_that_is_not_there_and_a_damaged_record_get_one_line(tmp_path):
    with pytest.raises(DataError, match="no zoo at .*nowhere"):
        zoo(tmp_path / "nowhere")
    an_export(tmp_path, "bad", {**RECORD, "card": ["not a card"]})
    with pytest.raises(DataError, match=r"bad/config.json is damaged") as caught:
        zoo(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_beside_the_package_counts_in_a_checkout_only(tmp_path, monkeypatch):
    package = tmp_path / "simclr_tf"
    monkeypatch.setattr(encoder_zoo, "__file__", str(package / "encoder_zoo.py"))
    (tmp_path / "exported_models").mkdir()
    assert default_folder() is None and zoo() == ()
    (tmp_path / "setup.py").touch()
    assert default_folder() == tmp_path / "exported_models"
    (package / "exported_models").mkdir(parents=True)  # As a wheel installs it.
    assert default_folder() == package / "exported_models"


def test_a_damaged_entry_is_named_and_not_taken_for_an_empty_zoo(tmp_path, caplog):
    folder = tmp_path / "torn"
    folder.mkdir()
    (folder / "config.json").write_text('{"format": "simc')
    with pytest.raises(DataError, match="torn/config.json is damaged"):
        zoo(tmp_path)
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "config.json").write_text(json.dumps(RECORD))
    assert [entry.name for entry in zoo(tmp_path)] == ["whole"]
    assert "torn/config.json is damaged" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [{"num_parameters": "many"}, {"card": {"data": 7}}, {"outputs": {"default": 3}}],
)
def test_an_entry_that_describes_itself_in_other_kinds_is_damaged(changes, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text(json.dumps(RECORD | changes))
    with pytest.raises(DataError, match="is damaged: it does not describe an export"):
        repr(zoo(tmp_path))
