"""The facts of a card, gathered from a workdir."""

import dataclasses
import json

import pytest
import tensorflow as tf

from simclr_tf.commands.run_card import (
    card_of_run,
    fine_tuned_card,
    fine_tuning_of,
    record_of_run,
)
from simclr_tf.config import Config, DataConfig
from simclr_tf.config.schema import to_dict
from simclr_tf.data import LICENCES
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.evaluation import Measurement, Results, write_results
from simclr_tf.export import card_markdown
from simclr_tf.training import CheckpointStore, Workdir
from simclr_tf.training.classifier_records import ClassifierRecord

COMMAND = "simclr-tf pretrain --data_dir=/data/tfds --workdir=/home/me/runs/fashion"
EVALUATION = Results(
    "tfds:fashion_mnist",
    "/home/me/runs/fashion",
    (
        Measurement(
            "this encoder",
            "weighted_knn",
            "accuracy_percent",
            87.3,
            10_000,
            60_000,
            low_95=86.6,
            high_95=87.9,
            settings={"k": 20, "temperature": 0.07},
        ),
        Measurement(
            "raw pixels",
            "weighted_knn",
            "accuracy_percent",
            85.0,
            10_000,
            60_000,
            settings={"k": 20, "temperature": 0.07},
        ),
    ),
    command="simclr-tf evaluate --workdir=/home/me/runs/fashion",
    wall_seconds=95.0,
    step=7,
)
FINETUNE = Results(
    "tfds:fashion_mnist",
    "/home/me/runs/fashion",
    (
        Measurement(
            "fine-tuned",
            "fine_tune",
            "accuracy_percent",
            82.5,
            10_000,
            600,
            std=0.4,
            settings={"budget": "1 %", "seeds": [0, 1]},
        ),
    ),
    command="simclr-tf finetune --workdir=/home/me/runs/fashion",
    step=7,
)


@pytest.fixture
def workdir(tmp_path):
    """A run on Fashion-MNIST whose newest checkpoint is of step 7."""
    config = Config(
        data=DataConfig(
            source="tfds:fashion_mnist", data_dir="/data/tfds", image_size_pixels=28
        ),
        encoder={"name": "resnet18", "width_multiplier": 0.25, "stem": "small"},
    )
    place = tmp_path / "run"
    place.mkdir()
    (place / "config.json").write_text(
        json.dumps(
            {
                "config": to_dict(config),
                "command": COMMAND,
                "data": {"num_examples": 60_000, "channels": 1, "fingerprint": "f"},
            }
        )
    )
    (place / "metrics.jsonl").write_text(
        "".join(
            json.dumps({"step": step, "seconds": 100.25}) + "\n" for step in (3, 7, 9)
        )
    )
    CheckpointStore(place / "checkpoints").save(7, model=tf.Variable(1.0))
    return Workdir(place)


def test_a_run_says_its_network_data_licence_command_and_time(workdir):
    card = card_of_run(workdir)
    assert card["architecture"] == "ResNet-18 (0.25x, stem small)"
    assert card["method"] == "SimCLR"
    assert card["image_size_pixels"] == 28
    assert card["data"] == "tfds:fashion_mnist"
    assert card["data_licence"] == (
        "MIT, Copyright (c) 2017 Zalando SE, https://tech.zalando.com"
    )
    assert card["data_licence"] == LICENCES["embedded:fashion_mnist_10k"]
    assert card["command"] == COMMAND
    assert card["wall_seconds"] == 200.5  # Epochs beyond the checkpoint do not count.
    assert card["summary"].startswith(
        "SimCLR encoder (ResNet-18 (0.25x, stem small)), "
    )
    assert "60,000 images" in card["summary"] and "7 steps" in card["summary"]


def test_an_encoder_that_learnt_from_labels_is_not_called_unsupervised(workdir):
    assert "pretrained without labels on" in card_of_run(workdir)["summary"]
    record = json.loads((workdir.path / "config.json").read_text())
    record["config"]["objective"] = {"name": "sup_con"}
    (workdir.path / "config.json").write_text(json.dumps(record))
    summary = card_of_run(Workdir(workdir.path))["summary"]
    assert summary.startswith("SupCon encoder")
    assert "pretrained with labels on" in summary


def a_classifier(folder, budget="1_percent", name="classifier.keras"):
    """A file where fine-tuning keeps its network; nothing reads its content."""
    path = folder / "classifiers" / budget / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def tuned(workdir, **changes):
    return dataclasses.replace(
        FINETUNE, encoder=str(workdir), options={"workdir": str(workdir)}, **changes
    )


def test_a_classifier_of_the_run_has_the_step_and_the_labels_of_its_training(
    workdir, tmp_path
):
    path = a_classifier(workdir.path)
    assert fine_tuning_of(workdir, path.parent) is None  # Interrupted.
    results = tuned(workdir.path, step=3, data="npz:labelled.npz")
    write_results(workdir.path / "finetune.json", results)
    for place in (path, path.parent):
        assert fine_tuning_of(workdir, place) == results
    card = card_of_run(workdir, step=3)
    card = fine_tuned_card(card, path, ClassifierRecord(None, 20), results.data)
    assert "3 steps" in card["summary"] and card["image_size_pixels"] == 20
    (note,) = card["notes"]
    assert "Fine-tuned on labels afterwards (1_percent, labels of `npz:la" in note
    assert "results" not in card and "finetune.md" not in note
    elsewhere = a_classifier(tmp_path / "out")
    write_results(tmp_path / "out" / "finetune.json", results)
    assert fine_tuning_of(workdir, elsewhere) == results
    copied = tmp_path / "mine.keras"
    copied.write_bytes(b"")
    assert fine_tuning_of(workdir, copied) is None


def test_a_classifier_of_another_run_is_refused_with_its_workdir(workdir, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    inside, outside = a_classifier(other), a_classifier(tmp_path / "out")
    (other / "config.json").write_text((workdir.path / "config.json").read_text())
    write_results(tmp_path / "out" / "finetune.json", tuned(other))
    for path in (inside, outside):
        with pytest.raises(ConfigError, match=f"give --workdir={other}") as caught:
            fine_tuning_of(workdir, path)
        assert "\n" not in str(caught.value)
        fine_tuning_of(Workdir(other), path)
    write_results(
        tmp_path / "out" / "finetune.json",
        dataclasses.replace(FINETUNE, encoder="zoo:shirts"),
    )
    with pytest.raises(ConfigError, match="from zoo:shirts, .*export_saved_model"):
        fine_tuning_of(workdir, outside)
    # The run was moved, or is named from another folder.
    results = tuned(f"runs/{workdir.path.name}")
    write_results(tmp_path / "out" / "finetune.json", results)
    assert fine_tuning_of(workdir, outside) == results


def test_a_student_is_called_one_and_belongs_to_the_run_of_its_teacher(
    workdir, tmp_path
):
    teacher = a_classifier(workdir.path).parent
    results = tuned(workdir.path)
    write_results(workdir.path / "finetune.json", results)
    own = a_classifier(workdir.path, "1_percent_student", "student.keras")
    card = fine_tuned_card(card_of_run(workdir), own, ClassifierRecord(), "d")
    assert card["notes"][0].startswith("A student of the network that was fine-tuned")
    assert "architecture" in card
    student = tmp_path / "student"
    student.mkdir()
    (student / "student.keras").write_bytes(b"")
    write_results(student / "distill.json", Results("test", str(teacher), ()))
    assert fine_tuning_of(workdir, student) == results
    card = fine_tuned_card(card_of_run(workdir), student, ClassifierRecord(), "d")
    assert "architecture" not in card and card["summary"].startswith("A student, of")
    assert "first seed" not in card["notes"][0]
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="not from the run in --workdir"):
        fine_tuning_of(Workdir(tmp_path / "other"), student)
    # Its own teacher; and the home of a user who is not on this machine.
    for unknown in (str(student), "~nobody/here"):
        write_results(student / "distill.json", Results("test", unknown, ()))
        assert fine_tuning_of(workdir, student) is None


def test_what_was_not_measured_is_not_on_the_card(workdir):
    card = card_of_run(workdir)
    assert card["sections"] == card["results"] == [] and "notes" not in card


def test_both_files_of_results_become_sections_and_numbers(workdir):
    write_results(workdir.path / "evaluation.json", EVALUATION)
    assert [part["title"] for part in card_of_run(workdir)["sections"]] == [
        "Frozen features"
    ]
    write_results(workdir.path / "finetune.json", FINETUNE)
    card = card_of_run(workdir)
    assert [part["title"] for part in card["sections"]] == [
        "Frozen features",
        "Fine-tuning",
    ]
    assert card["results"] == [
        dataclasses.asdict(EVALUATION),
        dataclasses.asdict(FINETUNE),
    ]
    text = card_markdown(
        card, image_shape=(None, None, 1), outputs={"default": (None, 128)}
    )
    for part in (
        "87.3 (86.6 to 87.9)",
        "| raw pixels",
        "| 1 % ",
        "82.5 ± 0.4",
        "over 2 seeds",
        "10,000 test images",
        "Measured in 1 min 35 s by",
        FINETUNE.command,
    ):
        assert part in text, part


def test_results_of_another_checkpoint_are_named_and_left_out(workdir):
    write_results(workdir.path / "evaluation.json", EVALUATION)
    write_results(workdir.path / "finetune.json", dataclasses.replace(FINETUNE, step=3))
    card = card_of_run(workdir)
    assert len(card["results"]) == 1
    assert card["notes"] == [
        "finetune.json is of step 3, not of step 7: measure again to have its "
        "results here."
    ]


def test_a_damaged_file_of_results_is_refused(workdir):
    (workdir.path / "finetune.json").write_text("{")
    with pytest.raises(DataError, match=r"finetune\.json"):
        card_of_run(workdir)


def test_a_published_card_and_record_name_no_folder_of_this_machine(workdir):
    write_results(workdir.path / "evaluation.json", EVALUATION)
    write_results(workdir.path / "finetune.json", FINETUNE)
    (workdir.path / "warm_start.json").write_text(
        json.dumps({"source": "/home/me/runs/old", "step": 1, "summary": ["all of it"]})
    )
    card = card_of_run(workdir, publish=True)
    record = record_of_run(workdir, publish=True)
    for text in (json.dumps(card), json.dumps(record)):
        assert "/home" not in text and "/data" not in text
    assert (
        card["command"]
        == record["command"]
        == ("simclr-tf pretrain --data_dir=tfds --workdir=fashion")
    )
    assert record["config"]["data"]["data_dir"] is None
    assert card["notes"] == ["Started from `old` (all of it)."]
    assert "/home" in json.dumps(card_of_run(workdir))
    assert record_of_run(workdir) == workdir.read()
