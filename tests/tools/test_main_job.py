"""Pretrain, evaluate, export, load elsewhere: the tools, one after the other."""

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf import load_encoder, zoo
from simclr_tf.config import Config
from simclr_tf.config.presets import get_preset
from simclr_tf.data import open_source
from simclr_tf.evaluation import read_results
from simclr_tf.export import saved_model
from simclr_tf.tools import command_line, pretrain
from simclr_tf.training import Workdir

SMALL_RUN = [
    "--preset=demo",
    "--split=train[:256]",
    "--test_split=test[:128]",
    "--epochs=2",
    "--encoder=resnet10",
    "--encoder.width_multiplier=0.0625",
    "--batch_size=64",
    "--compile_views=false",
]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A workdir with an evaluation, and an export of it."""
    folder = tmp_path_factory.mktemp("job")
    workdir, output = folder / "run", folder / "export"
    for arguments in (
        ["pretrain", *SMALL_RUN, f"--workdir={workdir}"],
        ["evaluate", f"--workdir={workdir}", "--few.draws=2", "--labels_per_class=2"],
        ["export", f"--workdir={workdir}", f"--output={output}"],
    ):
        assert command_line.main(arguments) == 0
    return workdir, output


def test_the_evaluation_compares_three_representations(finished_run):
    workdir, _ = finished_run
    results = read_results(workdir / "evaluation.json")
    found = {(m.representation, m.protocol) for m in results.measurements}
    assert found == {
        (representation, protocol)
        for representation in ("this encoder", "untrained encoder", "raw pixels")
        for protocol in ("weighted_knn", "linear_probe", "few_label_ridge")
    }
    assert {m.num_test for m in results.measurements} == {128}
    assert "| raw pixels" in (workdir / "evaluation.md").read_text()
    for picture in ("views.png", "neighbours.png"):
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")


def test_evaluating_leaves_the_run_as_it_was(finished_run):
    workdir, _ = finished_run
    before = {
        p: p.read_bytes() for p in (workdir / "checkpoints").rglob("*") if p.is_file()
    }
    assert (
        command_line.main(["evaluate", f"--workdir={workdir}", "--labels_per_class=0"])
        == 0
    )
    assert before == {
        p: p.read_bytes() for p in (workdir / "checkpoints").rglob("*") if p.is_file()
    }


@pytest.mark.slow  # In every suite, of an export in all formats: test_export_formats.
def test_the_export_gives_the_models_features_without_simclr_tf(finished_run, tmp_path):
    workdir, output = finished_run
    images = (
        open_source("embedded:freedoom_12", split="test[:16]").read_images(
            np.arange(16)
        )
        / 255.0
    )
    images = images.astype("float32")
    np.save(tmp_path / "images.npy", images)
    script = textwrap.dedent(f"""
        import sys
        import numpy as np, tensorflow as tf
        model = tf.saved_model.load({str(output / "saved_model")!r})
        features = model(np.load("images.npy"))
        np.save("features.npy", features)
        assert not any(name.startswith("simclr_tf") for name in sys.modules)
        served = model.signatures["serving_default"](
            images=tf.constant(np.load("images.npy")))["default"]
        np.testing.assert_allclose(served, features, atol=1e-6)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    expected = load_encoder(workdir)(tf.constant(images))
    np.testing.assert_allclose(np.load(tmp_path / "features.npy"), expected, atol=1e-5)


def test_the_card_carries_the_evaluation_and_the_licence(finished_run):
    workdir, output = finished_run
    card = (output / "card.md").read_text()
    knn = read_results(workdir / "evaluation.json").find("this encoder", "weighted_knn")
    assert f"{knn.value:.1f}" in card and "128" in card
    assert "BSD-3-Clause" in card and "simclr-tf pretrain --preset=demo" in card
    record = json.loads((output / "config.json").read_text())
    assert record["config"]["config"]["global_batch_size"] == 64


def test_an_export_is_evaluated_like_its_run(finished_run, tmp_path):
    workdir, output = finished_run
    assert (
        command_line.main(
            [
                "evaluate",
                f"--encoder={output}",
                f"--output={tmp_path}",
                "--few.draws=2",
                "--labels_per_class=2",
            ]
        )
        == 0
    )
    ours = read_results(workdir / "evaluation.json").find(
        "this encoder", "weighted_knn"
    )
    theirs = read_results(tmp_path / "evaluation.json").find(
        "this encoder", "weighted_knn"
    )
    assert abs(ours.value - theirs.value) <= 100 / 128  # One image at most.


def test_an_export_replaces_an_earlier_one_with_whatever_is_asked_for(
    finished_run, tmp_path_factory, monkeypatch
):
    # finished_run's went through the check in a fresh process.
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
    workdir, output = finished_run
    assert (
        command_line.main(
            [
                "export",
                f"--workdir={workdir}",
                f"--output={output}",
                "--overwrite",
                "--formats=saved_model,safetensors",
                "--with_projection_head",
                "--with_probe",
                "--with_preprocessing",
                "--version=2",
                "--archive",
                "--publish",
                "--data_licence=my own",
            ]
        )
        == 0
    )
    assert {path.name for path in output.iterdir()} == {
        "saved_model",
        "saved_model.tar.gz",
        "weights.safetensors",
        "config.json",
        "card.md",
    }
    served = tf.saved_model.load(str(output / "saved_model" / "2")).signatures
    picture = tf.io.encode_png(tf.zeros([1, 40, 50, 3], tf.uint8))
    outputs = served["image_feature_vector_bytes"](image_bytes=picture)
    assert outputs["logits"].shape == (1, 12)
    assert outputs["projections"].shape == (1, 128)
    assert load_encoder(output).output_shape == (None, outputs["default"].shape[1])
    entry = zoo(output.parent)[output.name]
    assert entry.published and entry.data_licence == "my own"
    assert {m["representation"] for m in entry.metrics} == {
        "this encoder",
        "untrained encoder",
        "raw pixels",
    }
    for path in output.rglob("*"):  # The folders of this machine are nowhere in it.
        if path.is_file():
            assert os.fsencode(tmp_path_factory.getbasetemp()) not in path.read_bytes()


def test_other_protocols_are_chosen_by_name(finished_run, tmp_path):
    workdir, _ = finished_run
    assert (
        command_line.main(
            [
                "evaluate",
                f"--workdir={workdir}",
                f"--output={tmp_path}",
                "--protocols=ridge,linear_sgd_views",
                "--linear.epochs=1",
                "--linear.batch_size=64",
                "--linear.base_learning_rates=0.1,1",
                "--recipe=small_grey",
            ]
        )
        == 0
    )
    results = read_results(tmp_path / "evaluation.json")
    assert [m.protocol for m in results.measurements] == 3 * [
        "ridge",
        "linear_sgd_views",
    ]
    layer = results.find("this encoder", "linear_sgd_views").settings
    assert [entry["base_learning_rate"] for entry in layer["learning_rate_sweep"]] == [
        0.1,
        1.0,
    ]
    assert (layer["epochs"], layer["batch_size"]) == (1, 64)
    assert layer["images"] == "augmented views (small_grey)"
    table = " ".join((tmp_path / "evaluation.md").read_text().split())
    assert "| linear, SGD on views |" in table and "| kNN" not in table


def test_an_export_that_is_ended_leaves_nothing(
    finished_run, tmp_path, monkeypatch, capsys
):
    """SIGTERM in the middle of the check: batch systems end jobs so."""
    workdir, _ = finished_run
    found = []

    def end(*args):
        found.extend(tmp_path.iterdir())
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(saved_model, "check_in_fresh_process", end)
    before = signal.getsignal(signal.SIGTERM)
    assert (
        command_line.main(
            ["export", f"--workdir={workdir}", f"--output={tmp_path / 'new'}"]
        )
        == 143
    )
    assert "SIGTERM" in capsys.readouterr().err
    assert {path.name[:5] for path in found} == {".new-", ".new."}  # Export and lock.
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_grey_images_are_shown_to_a_colour_encoder_as_colour(finished_run, tmp_path):
    workdir, _ = finished_run
    assert (
        command_line.main(
            [
                "evaluate",
                f"--workdir={workdir}",
                "--data=embedded:fashion_mnist_10k",
                "--split=train[:200]",
                f"--output={tmp_path}",
                "--labels_per_class=2",
            ]
        )
        == 0
    )
    results = read_results(tmp_path / "evaluation.json")
    assert results.data == "embedded:fashion_mnist_10k"


def test_a_labelled_folder_without_a_test_split_is_held_out_from(
    finished_run, tmp_path, caplog
):
    workdir, _ = finished_run
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(level - 50, level + 50, (20 + i, 32, 3))
            Image.fromarray(pixels.astype("uint8")).save(
                tmp_path / "photos" / name / f"{i}.png"
            )
    assert (
        command_line.main(
            [
                "evaluate",
                f"--workdir={workdir}",
                f"--data=folder:{tmp_path}/photos",
                f"--output={tmp_path}/found",
                "--labels_per_class=2",
                "--knn.k=3",
            ]
        )
        == 0
    )
    assert "held out" in caplog.text
    results = read_results(tmp_path / "found" / "evaluation.json")
    assert {m.num_test for m in results.measurements} == {4}
    assert results.find("raw pixels", "linear_probe").value == 100.0


def test_the_recorded_command_makes_the_same_config(finished_run, tmp_path):
    workdir, _ = finished_run
    command = shlex.split(Workdir(workdir).read()["command"])
    assert command[:2] == ["simclr-tf", "pretrain"]
    given = command_line.parse("pretrain", pretrain.SECTIONS, command[2:])
    asked = given.make(Config, get_preset("demo"))
    assert asked.precision == Workdir(workdir).read()["precision"]["asked"] == "auto"
    config = Workdir(workdir).config()  # What the precision was on this machine.
    assert dataclasses.replace(asked, precision=config.precision) == config


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["evaluate", "--workdir={tmp}/nothing"], "not a workdir"),
        (["evaluate", "--workdir={tmp}/\x1b[31mred"], r"/\x1b[31mred is not a workdir"),
        (
            [
                "evaluate",
                "--encoder={tmp}/nothing",
                "--data=embedded:freedoom_12",
                "--image_size_pixels=32",
            ],
            "does not exist",
        ),
        (["evaluate", "--encoder={run}", "--workdir={run}"], "Exactly one"),
        (["evaluate", "--workdir={run}", "--knn.k=0"], "k=0"),
        (["evaluate", "--workdir={run}", "--knn.k=1000"], "k=1000"),
        (["evaluate", "--workdir={run}", "--test_split=holdout"], "holdout"),
        (
            ["evaluate", "--workdir={run}", "--protocols=knn,lineal"],
            "Choices: knn, linear, few, ridge, linear_sgd",
        ),
        (["evaluate", "--workdir={run}", "--linear.l2_values=papper"], "paper"),
        (
            ["evaluate", "--workdir={run}", "--linear.base_learning_rates=0.1,x"],
            "must be a float. Received: base_learning_rates='x'",
        ),
        (
            ["evaluate", "--workdir={run}", "--recipe=finetuned"],
            "Did you mean finetune",
        ),
        (["export", "--workdir={run}"], "--output is required"),
        (["export", "--workdir={run}", "--output={export}"], "holds version 2"),
        (
            ["export", "--workdir={run}", "--output={run}", "--overwrite"],
            "is not an export",
        ),
        (
            ["export", "--workdir={run}", "--output={tmp}/x", "--formats=litrt"],
            "Did you mean litert",
        ),
        (["export", "--workdir={tmp}/nothing", "--output={tmp}/x"], "not a workdir"),
        (["evaluate", "--workdir={run}", "--output={run}/config.json"], "Cannot write"),
    ],
)
def test_mistakes_get_one_line(finished_run, tmp_path, capsys, arguments, words):
    workdir, output = finished_run
    places = {"tmp": tmp_path, "run": workdir, "export": output}
    capsys.readouterr()
    assert command_line.main([a.format(**places) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert words in error.splitlines()[-1] and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_an_extension_turns_into_its_own_error_ends_the_tool(capsys):
    def run(given):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except KeyboardInterrupt as error:  # As code in C++ does, of matplotlib.
            raise ValueError("Invalid bounding box") from error

    assert command_line.execute("zoo", "Made up.", (), run, []) == 143
    assert capsys.readouterr().err == "simclr-tf: SIGTERM: ended before it was done.\n"
