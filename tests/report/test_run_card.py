"""The facts of a card, gathered from a workdir."""

import dataclasses
import json

import pytest
import tensorflow as tf

from simclr_tf.commands.run_card import card_of_run, record_of_run
from simclr_tf.config import Config, DataConfig
from simclr_tf.config.schema import to_dict
from simclr_tf.data import LICENCES
from simclr_tf.errors import DataError
from simclr_tf.evaluation import Measurement, Results, write_results
from simclr_tf.export import card_markdown
from simclr_tf.training import CheckpointStore, Workdir

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
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "config": to_dict(config),
                "command": COMMAND,
                "data": {"num_examples": 60_000, "channels": 1, "fingerprint": "f"},
            }
        )
    )
    (tmp_path / "metrics.jsonl").write_text(
        "".join(
            json.dumps({"step": step, "seconds": 100.25}) + "\n" for step in (3, 7, 9)
        )
    )
    CheckpointStore(tmp_path / "checkpoints").save(7, model=tf.Variable(1.0))
    return Workdir(tmp_path)


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
