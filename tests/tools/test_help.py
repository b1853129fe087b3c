"""`--help` is instant and complete: every flag of every verb, with its default."""

import os
import re
import signal
import subprocess
import sys

import pytest

from simclr_tf.config.schema import help_of
from simclr_tf.tools import command_line, config_flags, pretrain
from tests.architecture.test_readme import TOOLS


@pytest.mark.parametrize("verb", command_line.VERBS)
@pytest.mark.parametrize("form", ["--help", "--help=all"])
def test_help_does_not_import_tensorflow_or_numpy(verb, form):
    script = (
        "import sys\n"
        "from simclr_tf.tools.command_line import main\n"
        f"code = main([{verb!r}, {form!r}])\n"
        "heavy = {'tensorflow', 'tf_keras', 'numpy', 'sklearn', 'matplotlib'}\n"
        "sys.exit(code or len(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Flags" in done.stdout and "--config\n" in done.stdout


def shown(capsys, *arguments):
    """dict of flag to its help, of what a verb shows."""
    assert command_line.main(list(arguments)) == 0
    text = capsys.readouterr().out
    entries = re.findall(r"^  --([\w.]+)\n((?:      .*\n?)+)", text, flags=re.M)
    return {flag: " ".join(help.split()) for flag, help in entries}


@pytest.mark.parametrize("verb", command_line.VERBS)
def test_every_option_has_its_flag_its_help_and_its_default(verb, capsys):
    entries = shown(capsys, verb, "--help=all")
    for part in config_flags.flags_of(TOOLS[verb].SECTIONS):
        for flag, _, item, _ in part.options():
            assert " ".join(help_of(item).split()) in entries.pop(flag)
    assert list(entries) == ["config"]


@pytest.mark.parametrize("verb", command_line.VERBS)
def test_every_flag_states_its_default_or_that_it_is_required(verb, capsys):
    for flag, help in shown(capsys, verb, "--help=all").items():
        assert re.search(r"(Default: [^ ].*|Required)\.$", help), flag


@pytest.mark.parametrize("verb", command_line.VERBS)
def test_help_shows_a_screen_first_and_all_has_the_same_text(verb, capsys):
    first, everything = shown(capsys, verb, "--help"), shown(capsys, verb, "--help=all")
    assert len(first) <= 21 and first.items() <= everything.items()


def test_the_defaults_are_those_of_the_preset(capsys):
    assert shown(capsys, "pretrain", "--help")["batch_size"].endswith("Default: 128.")
    of_imagenet = shown(capsys, "pretrain", "--preset=imagenet_resnet50_v1", "--help")
    assert of_imagenet["batch_size"].endswith("Default: 4096.")
    assert of_imagenet["encoder"].endswith("Default: resnet50.")


def test_options_of_guests_name_their_guests_and_each_ones_default(capsys):
    entries = shown(capsys, "pretrain", "--help=all")
    margin = entries["objective.margin"]
    assert margin.startswith("Of margin_triplet: ") and "Default: 0.8." in margin
    temperature = entries["objective.temperature"]
    assert temperature.startswith("Of nt_xent, nt_logistic, dcl, ")
    assert re.search(
        r"Default: 0\.2 \(nt_xent\b.*\), 0\.1 \(nt_logistic\b", temperature
    )


def test_an_unknown_preset_has_no_help(capsys):
    assert pretrain.main(["--preset=dmeo", "--help"]) == 2
    assert "Did you mean demo?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_without_a_verb_all_verbs_are_listed(arguments, capsys):
    assert command_line.main(arguments) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in command_line.VERBS)


def test_python_m_simclr_tf_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "simclr_tf", "pretrain", "--epoch=3"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert "Did you mean --epochs" in done.stderr and done.stderr.count("\n") == 1


def test_a_reader_that_has_read_enough_ends_the_tool_quietly(monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert pretrain.main(["--help"]) == 128 + signal.SIGPIPE
    assert capfd.readouterr().err == ""
