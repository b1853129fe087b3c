"""`--help` is instant and complete."""

import os
import signal
import subprocess
import sys

import pytest

from simclr_tf.config import Config
from simclr_tf.config.schema import walk_options
from simclr_tf.tools import command_line, config_flags, pretrain


@pytest.mark.parametrize("verb", command_line.VERBS)
def test_help_does_not_import_tensorflow(verb):
    script = (
        "import sys\n"
        "from simclr_tf.tools.command_line import main\n"
        f"code = main([{verb!r}, '--help'])\n"
        "heavy = {'tensorflow', 'tf_keras', 'sklearn', 'matplotlib'}\n"
        "sys.exit(code or len(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Flags:" in done.stdout


def test_every_option_has_its_flag_and_its_help(capsys):
    assert pretrain.main(["--help"]) == 0
    text = capsys.readouterr().out
    for dotted, item, _ in walk_options(Config):
        assert f"--{config_flags.flag_name(dotted, item)}\n" in text


def test_a_reader_that_has_read_enough_ends_the_tool_quietly(monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert pretrain.main(["--help"]) == 128 + signal.SIGPIPE
    assert capfd.readouterr().err == ""


def test_only_typed_flags_go_on_top_of_the_preset():
    from absl import flags

    values = flags.FlagValues()
    config_flags.define_config_flags(values)
    values(
        [
            "simclr-tf",
            "--preset=cifar10_resnet18",
            "--objective.temperature=0.2",
            "--optimizer.nesterov",
            "--steps=none",
            "--data.channels=1",
        ]
    )
    config = config_flags.config_from_flags(values)
    assert config.objective.temperature == 0.2 and config.optimizer.nesterov is True
    assert config.steps is None and config.data.channels == 1
    assert config.epochs == 1000 and config.encoder.depth == 18
