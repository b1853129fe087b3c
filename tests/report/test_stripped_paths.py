"""What is given away names no folder of the machine that made it."""

import shlex

import pytest

from simclr_tf.commands.stripped_paths import strip_folders


@pytest.mark.parametrize(
    "text, expected",
    [
        ("/home/me/runs/demo", "demo"),
        ("/home/me/runs/", "runs"),
        ("~/runs/demo", "demo"),
        ("~me/demo", "demo"),
        ("/", "."),
        ("folder:/home/me/my photos", "folder:my photos"),
        ("--workdir=/home/me/run", "--workdir=run"),
        ("--data=folder:/home/me/photos", "--data=folder:photos"),
        ("--data.source=npz:~/x.npz", "--data.source=npz:x.npz"),
    ],
)
def test_of_an_absolute_path_the_last_name_is_kept(text, expected):
    assert strip_folders(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "runs/demo",
        "tfds:fashion_mnist",
        "--data=folder:photos",
        "",
        "mean and/or sum",
        "https://tech.zalando.com",
        "gs://bucket/data",
        "train[:10%]",
        "1/2",
        "MIT, Copyright (c) 2017 Zalando SE, https://tech.zalando.com",
    ],
)
def test_other_text_stays_as_it_is(text):
    assert strip_folders(text) == text


def test_records_are_searched_to_the_bottom_and_keep_their_types():
    record = {
        "config": {"data": {"data_dir": "/d/tfds"}, "epochs": 3, "loss": None},
        "shards": ["/d/a", "b"],
        "pair": ("/d/a", 1.5),
    }
    assert strip_folders(record) == {
        "config": {"data": {"data_dir": "tfds"}, "epochs": 3, "loss": None},
        "shards": ["a", "b"],
        "pair": ("a", 1.5),
    }
    assert record["config"]["data"]["data_dir"] == "/d/tfds"


@pytest.mark.parametrize(
    "command, words",
    [
        (
            "simclr-tf pretrain --preset=demo --workdir=/tmp/run --data_dir=/data/tfds",
            [
                "simclr-tf",
                "pretrain",
                "--preset=demo",
                "--workdir=run",
                "--data_dir=tfds",
            ],
        ),
        (
            "simclr-tf pretrain '--data=folder:/home/me/my photos' --seed=1",
            ["simclr-tf", "pretrain", "--data=folder:my photos", "--seed=1"],
        ),
        ("python /home/me/it's.py", ["python", "it's.py"]),
    ],
)
def test_a_command_is_searched_word_by_word_and_can_still_be_typed(command, words):
    assert shlex.split(strip_folders({"command": command})["command"]) == words


def test_a_command_without_paths_is_not_quoted_anew():
    record = {"command": "simclr_tf.pretrain(...)"}
    assert strip_folders(record) == record
