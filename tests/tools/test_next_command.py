"""Each verb ends with the command that comes next, and that command works as typed."""

import shlex

import pytest

from simclr_tf.tools import command_line


def next_of(printed):
    line = printed.splitlines()[-1]
    assert line.startswith("Next: simclr-tf ")
    return shlex.split(line.removeprefix("Next: simclr-tf "))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("next command")  # A path that has to be quoted.


def test_the_commands_that_are_printed_lead_from_views_to_the_zoo(
    folder, capsys, monkeypatch
):
    monkeypatch.chdir(folder)
    words = shlex.split(
        "show_views --preset=demo --output=views.png --num_pairs 4 --num_shown=1 "
        "--num_images=1 --augment.color_strength=0.4"
    )
    tiny = ["--encoder=resnet10", "--encoder.width_multiplier=0.125", "--steps=1"]
    verbs = []
    while words[0] != "zoo":
        verbs.append(words[0])
        if words[0] == "pretrain":
            assert words[1:] == [
                "--preset=demo",
                "--augment.color_strength=0.4",
                "--workdir=runs/mine",
            ]
            words[-1] = "--workdir=runs/of mine"
            words += [*tiny, "--batch_size=8"]
        if words[0] == "evaluate":
            words += ["--protocols=knn"]
        assert command_line.main(words) == 0
        words = next_of(capsys.readouterr().out)
    assert verbs == ["show_views", "pretrain", "evaluate", "export"]
    assert command_line.main(words) == 0
    assert "of mine" in capsys.readouterr().out
