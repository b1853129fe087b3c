"""finetune and transfer, from a workdir to files, and once more after the end."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

import simclr_tf
from simclr_tf._keras import ADDONS_LANE, keras, keras3
from simclr_tf.commands.finetune import earlier_results, with_earlier
from simclr_tf.errors import Interrupted
from simclr_tf.evaluation import Measurement, Results, few_label_runs, read_results
from simclr_tf.evaluation.few_labels import FewLabels
from simclr_tf.evaluation.run_log import RunLog
from simclr_tf.export import saved_model
from simclr_tf.tools import command_line
from simclr_tf.training import load_classifier
from simclr_tf.training.classifier_records import ClassifierRecord, classifier_record
from tests.training.small_networks import small_encoder

TRAINING = ("--epochs=2", "--batch_size=8", "--base_learning_rate=0.2")


def a_set(path, number, channels, classes):
    rng = np.random.default_rng(number)
    labels = np.arange(number) % 2
    images = (
        rng.integers(0, 99, (number, 8, 8, channels))
        + 120 * labels[:, None, None, None]
    )
    half = number // 2
    np.savez(
        path,
        x_train=images[:half].astype("uint8"),
        y_train=labels[:half],
        x_test=images[half:].astype("uint8"),
        y_test=labels[half:],
        classes=classes,
    )
    return f"npz:{path}"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """(workdir of a short run, images with other classes, others in colour)."""
    root = tmp_path_factory.mktemp("few")
    own = a_set(root / "own.npz", 64, 1, ["of", "pretraining"])
    labelled = a_set(root / "labelled.npz", 64, 1, ["dim", "bright é"])
    other = a_set(root / "other.npz", 40, 3, ["a", "b"])
    assert (
        command_line.main(
            [
                "pretrain",
                "--preset=fashion_mnist",
                f"--data={own}",
                "--steps=1",
                "--batch_size=8",
                "--encoder=resnet10",
                "--encoder.width_multiplier=0.0625",
                "--image_size_pixels=8",
                "--precision=float32",
                "--probe.online=false",
                "--compile_views=false",
                f"--workdir={root / 'run'}",
            ]
        )
        == 0
    )
    return root / "run", labelled, other


def test_finetune_writes_numbers_table_plot_and_classifiers(places, capsys):
    run, own, _ = places
    arguments = [
        "finetune",
        f"--workdir={run}",
        f"--data={own}",
        "--labels_per_class=4",
        "--methods=fine_tune,linear",
        "--head_layer=1",
        "--layer_decay=0.5",
        *TRAINING,
    ]
    assert command_line.main([*arguments, "--seeds=1"]) == 0
    assert command_line.main([*arguments, "--seeds=2"]) == 0
    told = capsys.readouterr().out
    line = "4 a class  2 epochs, learning rate 0.2, a classifier on layer 1 of the "
    line += "projection head, 83 % of the first weights kept (chosen for so many "
    assert f"{line}labels: --start_share)\n" in told
    # The second command goes on where the first ended.
    assert re.findall(r"fine-tuned +seed (\d)", told) == ["0", "1"]
    results = read_results(run / "finetune.json")
    assert results.data == own and results.step == 1
    assert "--labels_per_class=4" in results.command
    assert [m.settings["seeds"] for m in results.measurements] == [[0, 1], [0, 1]]
    assert {m.num_train_labels for m in results.measurements} == {8}
    assert "| 4 a class | 8 |" in " ".join((run / "finetune.md").read_text().split())
    assert (run / "finetune.png").stat().st_size > 5_000
    network = keras.models.load_model(
        run / "classifiers" / "4_a_class" / "classifier.keras", compile=False
    )
    assert network.output_shape == (None, 2)
    assert network.input_shape == (None, None, None, 1)
    record = classifier_record(run / "classifiers" / "4_a_class" / "classifier.keras")
    assert record.training.startswith('["fine-tuned", "4 a class", 2, ')
    assert dataclasses.replace(record, training=None) == ClassifierRecord(
        ("dim", "bright é"), 8
    )
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    for_keras3 = run / "classifiers" / "4_a_class" / "classifier_keras3.keras"
    assert for_keras3.is_file() != ADDONS_LANE
    if not ADDONS_LANE:
        twin = keras3().models.load_model(for_keras3)
        np.testing.assert_allclose(twin(images), network(images), atol=1e-5)
        assert classifier_record(for_keras3) == record


def test_a_second_budget_joins_the_table_and_the_same_one_replaces_its_row(
    places, capsys
):
    """After the first test, whose rows stay."""
    run, own, _ = places
    first = read_results(run / "finetune.json").measurements
    same = [f"--workdir={run}", f"--data={own}", "--head_layer=1", "--layer_decay=0.5"]
    same += [*TRAINING, "--methods=linear"]
    assert command_line.main(["finetune", *same, "--label_fraction=0.5"]) == 0
    told = capsys.readouterr().out
    second = read_results(run / "finetune.json").measurements
    assert [m for m in second if m.settings["budget"] == "4 a class"] == list(first)
    assert [m.num_train_labels for m in second] == [8, 8, 16]
    table = (run / "finetune.md").read_text()
    assert table.split("\n\n", 1)[1].strip() in told
    assert "| 4 a class" in table and "| 50 %" in table
    assert "over 1 to 2 seeds, of one seed in brackets 95 % intervals" in table
    assert command_line.main(["finetune", *same, "--labels_per_class=4"]) == 0
    third = read_results(run / "finetune.json").measurements
    (frozen,) = [m for m in third if m.num_train_labels == 8 and "frozen" in str(m)]
    assert frozen.settings["seeds"] == [0] and len(third) == 3
    assert first[0] in third and second[2] in third


def test_what_was_not_measured_is_kept_until_it_is_measured():
    def results(budgets, not_measured):
        rows = [
            Measurement("a", "p", "m", 1.0, 9, 4, settings={"budget": budget})
            for budget in budgets
        ]
        return Results("d", "e", tuple(rows), not_measured=not_measured)

    earlier = results(["1 %"], {"a, 2 %": "few", "b, 1 %": "few"})
    now = results(["2 %"], {"b, 2 %": "fewer"})
    assert with_earlier(now, None) is now
    found = with_earlier(now, earlier)
    assert [m.settings["budget"] for m in found.measurements] == ["1 %", "2 %"]
    assert found.not_measured == {"b, 1 %": "few", "b, 2 %": "fewer"}


def test_the_commands_of_all_rows_are_kept():
    def results(budget, command):
        row = Measurement("a", "p", "m", 1.0, 9, 4, settings={"budget": budget})
        return Results("d", "e", (row,), command=command)

    two = with_earlier(results("2 %", "second"), results("1 %", "first"))
    assert two.command == "first && second"
    again = with_earlier(results("3 %", "second"), two)
    assert again.command == "first && second"
    assert with_earlier(results("1 %", "third"), results("1 %", "x")).command == "third"
    assert with_earlier(results("1 %", None), two).command is None
    assert with_earlier(results("1 %", "third"), results("2 %", None)).command == (
        "third"
    )


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "simclr_tf.evaluation"}'])
def test_results_that_cannot_be_read_are_not_kept_and_that_is_said(text, tmp_path):
    (tmp_path / "finetune.json").write_text(text)
    told = []
    path = tmp_path / "finetune.json"
    assert earlier_results(path, RunLog(None, {}), told.append) is None
    assert len(told) == 1 and told[0].startswith("The earlier results are not kept: ")


def test_a_fine_tuned_network_is_exported_with_its_logits(
    places, tmp_path, monkeypatch
):
    """After the test above, which keeps the network."""
    # The check in a fresh process has its own tests, and is repeated below.
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
    run, _, _ = places
    place = run / "classifiers" / "4_a_class"
    assert (
        command_line.main(
            [
                "export",
                f"--workdir={run}",
                f"--classifier={place}",
                f"--output={tmp_path / 'out'}",
            ]
        )
        == 0
    )
    network = keras.models.load_model(place / "classifier.keras", compile=False)
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
    exported = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    outputs = exported.signatures["serving_default"](tf.constant(images))
    np.testing.assert_allclose(outputs["logits"], network(images), atol=1e-5)
    card = (tmp_path / "out" / "card.md").read_text()
    assert "Fine-tuned on labels afterwards (4_a_class" in card
    assert "fine_tune" not in card and "kNN" not in card
    names = ["dim", "bright é"]  # Not those of the pretraining.
    assert [name.numpy().decode() for name in exported.class_names()] == names
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text())["class_names"]
        == names
    )
    assert "in this order: dim, bright é." in card


def test_the_recipe_of_simclr_v2_is_one_command_that_continues_at_every_stage(
    places, tmp_path, monkeypatch, capsys
):
    """Probe's weights, counted steps, an average and bfloat16; then a student."""
    run, own, _ = places
    encoder = tmp_path / "tiny.keras"
    small_encoder(channels=1).save(encoder)
    arguments = [
        "finetune",
        f"--encoder={encoder}",
        f"--data={own}",
        "--image_size_pixels=8",
        f"--output={tmp_path}",
        "--labels_per_class=4",
        "--methods=fine_tune,linear",
        *TRAINING,
        "--min_steps=3",
        "--classifier_start=probe",
        "--optimizer.average_decay=0.9",
        "--augment.color_strength=0.5",
        "--precision=bfloat16",
        "--then_distill",
        "--distill.epochs=1",
        "--distill.batch_size=8",
    ]

    def stop(*arguments, **keywords):
        raise Interrupted("Stopped before the student.", 15)

    with monkeypatch.context() as patch:
        patch.setattr(few_label_runs, "self_distilled", stop)
        assert command_line.main(arguments) == 143
    assert "Precision   bfloat16: as requested" in capsys.readouterr().out
    (teacher,) = (tmp_path / "finetune_checkpoints").iterdir()
    assert not (tmp_path / "finetune.json").exists()

    assert command_line.main(arguments) == 0
    told = capsys.readouterr().out
    assert f"Continuing  from step 3 of 3 ({teacher}/step-00000003)" in told
    assert "fine-tuned   " not in told and "student" in told
    assert not teacher.parent.exists()
    results = read_results(tmp_path / "finetune.json")
    tuned, _, student = results.measurements
    assert student.representation == "self-distilled student"
    (settings,) = tuned.settings["runs"]
    assert (settings["steps"], settings["precision"]) == (3, "bfloat16")
    (settings,) = student.settings["runs"]
    assert (settings["num_images"], settings["steps"]) == (32, 4)
    assert settings["precision"] == "bfloat16" and student.num_train_labels == 8
    assert "self-distilled student |" in (tmp_path / "finetune.md").read_text()

    place = tmp_path / "classifiers" / "4_a_class_student"
    with np.load(run.parent / "labelled.npz") as file:
        images, labels = file["x_test"] / np.float32(255), file["y_test"]
    network = load_classifier(place)
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    hits = network(images).numpy().argmax(1) == labels
    assert 100 * hits.mean() == student.value
    assert classifier_record(place / "student.keras").precision == "bfloat16"
    assert simclr_tf.load_encoder(place / "encoder.keras")(images).shape == (32, 6)

    shutil.rmtree(place)  # It is made again, by its teacher.
    assert command_line.main(arguments) == 0
    assert "fine-tuned   " not in capsys.readouterr().out
    again = load_classifier(place)(images).numpy().argmax(1)
    assert np.mean(again == network(images).numpy().argmax(1)) > 0.9


def test_finetune_refuses_to_mix_settings(places, capsys):
    run, own, _ = places
    arguments = ["finetune", f"--workdir={run}", f"--data={own}", *TRAINING]
    before = (run / "finetune_runs.jsonl").read_bytes()
    arguments += ["--labels_per_class=4", "--optimizer.momentum=0.5"]
    assert command_line.main(arguments) == 2
    error = capsys.readouterr().err
    assert "holds runs of other settings" in error and "momentum" in error
    assert (run / "finetune_runs.jsonl").read_bytes() == before


def test_transfer_puts_several_sets_and_random_weights_into_one_table(places, capsys):
    run, own, other = places
    assert (
        command_line.main(
            [
                "transfer",
                f"--workdir={run}",
                f"--datasets={other},{own}",
                "--methods=linear,linear_untrained,scratch",
                *TRAINING,
            ]
        )
        == 0
    )
    results = read_results(run / "transfer.json")
    cells = {(m.settings["data"], m.representation): m for m in results.measurements}
    assert len(cells) == 6
    assert {m.num_test for m in results.measurements} == {20, 32}
    text = " ".join((run / "transfer.md").read_text().split())
    assert "| linear probe (untrained) |" in text
    assert f"| {other} | 8 grey | 20 | 20 |" in text  # Colour images, made grey.
    told = capsys.readouterr().out
    assert "seed 0" in told
    again = json.loads((run / "transfer.json").read_text())
    assert (
        command_line.main(
            [
                "transfer",
                f"--workdir={run}",
                f"--datasets={other},{own}",
                "--methods=linear,linear_untrained,scratch",
                *TRAINING,
            ]
        )
        == 0
    )
    assert "seed 0" not in capsys.readouterr().out  # Nothing was done twice.
    assert (
        json.loads((run / "transfer.json").read_text())["measurements"]
        == again["measurements"]
    )


def test_transfer_checks_all_sets_first_and_keeps_those_that_are_measured(
    places, tmp_path, capsys, monkeypatch
):
    run, own, other = places

    def transfer(*flags):
        return command_line.main(
            [
                "transfer",
                f"--workdir={run}",
                f"--output={tmp_path / 'out'}",
                f"--datasets={own},{other}",
                "--methods=linear",
                *flags,
            ]
        )

    assert transfer("--labels_per_class=16") == 2  # The second set has ten.
    output = capsys.readouterr()
    assert "No class has 16" in output.err and "seed 0" not in output.out
    assert not (tmp_path / "out").exists()
    measure = FewLabels.measure

    def stopped(self, *args, **kwargs):
        if self.train.num_examples == 20:
            raise Interrupted("SIGTERM", 15)
        return measure(self, *args, **kwargs)

    monkeypatch.setattr(FewLabels, "measure", stopped)
    assert transfer() != 0
    (kept,) = read_results(tmp_path / "out" / "transfer.json").measurements
    assert kept.settings["data"] == own


@pytest.mark.parametrize(
    "verb, arguments, words",
    [
        ("finetune", [], "Exactly one of --workdir and --encoder"),
        ("finetune", ["--workdir=x", "--seeds=0"], "`seeds` must be >= 1"),
        (
            "finetune",
            ["--workdir=x", "--label_fraction=0.1,many"],
            "must be a float. Received: label_fraction='many'",
        ),
        (
            "finetune",
            ["--workdir=x", "--label_fraction=0.1", "--label_list=y"],
            "one of --label_fraction, --labels_per_class and --label_list",
        ),
        (
            "finetune",
            ["--workdir=RUN", "--freeze_until=block_group9"],
            "Did you mean block_group",
        ),
        ("finetune", ["--workdir=x", "--layer_decay=1.5"], "must be in (0, 1]"),
        ("finetune", ["--workdir=x", "--held_out_fraction=1"], "between 0 and 1"),
        ("finetune", ["--workdir=RUN", "--label_fraction=1.5"], "must be in (0, 1]"),
        ("finetune", ["--workdir=RUN", "--methods=zero_shot"], "Unknown `methods`"),
        ("finetune", ["--workdir=RUN", "--head_layer=7"], "whole number from 0 to 2"),
        ("finetune", ["--workdir=RUN", "--labels_per_class=999"], "use per_class=16"),
        (
            "export",
            ["--workdir=x", "--classifier=y", "--with_probe"],
            "excludes --",
        ),
        (
            "export",
            ["--workdir=RUN", "--classifier=/nowhere"],
            "no classifier at /nowhere",
        ),
        ("transfer", ["--workdir=x"], "--datasets is required"),
        (
            "transfer",
            ["--workdir=RUN", "--datasets=npz:/nowhere.npz"],
            "npz:/nowhere.npz: No such file",
        ),
        (
            "transfer",
            [
                "--workdir=RUN",
                "--datasets=x",
                "--label_fraction=0.5",
                "--labels_per_class=2",
            ],
            "one of --label_fraction and --labels_per_class",
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    places, tmp_path, capsys, verb, arguments, words
):
    arguments = [text.replace("RUN", str(places[0])) for text in arguments]
    code = command_line.main([verb, *arguments, f"--output={tmp_path / 'out'}"])
    error = capsys.readouterr().err
    assert code == 2 and words in error and error.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
