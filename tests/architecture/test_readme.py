"""Every command of README and docs is accepted; every code block of README runs."""

import importlib
import pathlib
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from simclr_tf.config.presets import PRESETS
from simclr_tf.config.schema import override
from simclr_tf.distribution.cluster import read_tf_config
from simclr_tf.tools import command_line, config_flags

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*sorted(ROOT.glob("[A-Z]*.md")), *sorted((ROOT / "docs").glob("*.md")))
    if path.name != "CHANGELOG.md"  # Names of flags at that time.
}
TOOLS = {
    verb: importlib.import_module(f"simclr_tf.tools.{verb}")
    for verb in command_line.VERBS
}
FLAGS = {verb: set(config_flags.define(tool.SECTIONS)) for verb, tool in TOOLS.items()}


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands():
    """Every simclr-tf command of the pages, in blocks and in the text."""
    for page, text in PAGES.items():
        for block in blocks("bash", text):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("simclr-tf"):
                    yield pytest.param(line.split("#")[0].strip(), id=f"{page} {line}")
        for command in re.findall(r"`(simclr-tf [a-z_]+ --[^`]*)`", text):
            yield pytest.param(" ".join(command.split()), id=f"{page} {command}")


def accept(verb, arguments):
    """Read a command as its tool does, up to the import of TensorFlow."""
    tool = TOOLS[verb]
    if verb == "benchmark":
        arguments = tool.named(arguments)
    given = command_line.parse(verb, tool.SECTIONS, arguments)
    if hasattr(tool, "options_of"):
        tool.options_of(given)
    else:
        given.make(tool.SECTIONS[0])


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_pages_is_accepted(command, tmp_path):
    written = tmp_path / "written.json"  # Stands for what a verb wrote before.
    written.write_text('{"config": {}, "options": {"workdir": "runs/mine"}}')
    command = re.sub(r"--config=\S+", f"--config={written}", command)
    # P and S stand for every preset and seed of the table.
    command = command.replace("--preset=P", "--preset=demo").replace("=S ", "=0 ")
    _, verb, *arguments = shlex.split(command)
    if arguments == ["--help"]:
        assert command_line.main([verb, "--help"]) == 0
    else:
        accept(verb, arguments)


@pytest.mark.parametrize(
    "flag",
    sorted({f for t in PAGES.values() for f in re.findall(r"`--([a-z_.]+)[=`]", t)}),
)
def test_every_flag_that_the_pages_name_exists(flag):
    assert flag == "help" or any(flag in flags for flags in FLAGS.values())


def test_the_readme_lists_every_preset_and_every_verb():
    for name in PRESETS:
        assert f"| `{name}` |" in README
    for verb in command_line.VERBS:
        assert f"simclr-tf {verb}" in README


def test_the_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make ([a-z-]+)", README)) <= targets


def test_the_clusters_of_the_readme_are_understood():
    found = re.findall(r"TF_CONFIG='(.*)'", README)
    assert found
    for text in found:
        assert len(read_tf_config(text).workers) == 2


def a_folder_of_pictures(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(130):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), "uint8")).save(
            folder / f"{i}.png"
        )
    return folder


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    import simclr_tf.training.run as run_module

    monkeypatch.chdir(tmp_path)
    a_folder_of_pictures(tmp_path / "pictures")
    # The same run, shorter and narrower; nothing else is changed.
    original = run_module.override
    monkeypatch.setattr(
        run_module,
        "override",
        lambda config, changes: override(
            original(config, changes),
            {
                "epochs": 1,
                "encoder": "resnet10",
                "encoder.width_multiplier": 0.0625,
                "compile_views": False,
            },
        ),
    )
    rng = np.random.default_rng(0)
    images = rng.random((2, 32, 32, 3), "float32")
    batch = {
        "images": images,
        "seeds": np.zeros((2, 2), "int32"),
        "labels": np.array([3, 7]),
    }
    import tensorflow as tf

    names = {"images": images, "batches": tf.data.Dataset.from_tensors(batch)}
    parts = blocks("python")
    assert len(parts) >= 2
    for block in parts:
        block = block.replace("PATH", "pictures").replace(
            'resnet(18, stem="cifar")', 'resnet(10, 0.0625, stem="cifar")'
        )
        exec(block, names)  # noqa: S102
    assert names["features"].shape == (2, 32)
