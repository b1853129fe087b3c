"""The written-up studies: one section each, with its command and its figure."""

import pathlib
import re
import shlex
import subprocess

import pytest
from PIL import Image

from simclr_tf.config.ablate import AblateOptions
from simclr_tf.studies import STUDIES
from simclr_tf.tools import ablate, command_line

DOCS = pathlib.Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "studies.md").read_text(encoding="utf-8")


def test_every_study_has_its_section_in_their_order():
    assert re.findall(r"^## `(\w+)`", TEXT, flags=re.M) == list(STUDIES)


@pytest.mark.parametrize("command", re.findall(r"^simclr-tf ablate .*$", TEXT, re.M))
def test_every_command_is_accepted(command):
    _, verb, *arguments = shlex.split(command)
    assert verb == "ablate"
    options, _, _ = ablate.options_of(
        command_line.parse("ablate", ablate.SECTIONS, arguments)
    )
    assert options.study in STUDIES


@pytest.mark.parametrize(
    "variable, indices",
    [
        ("SLURM_ARRAY_TASK_ID", r"--array=(\d+)-(\d+)"),
        ("JOB_COMPLETION_INDEX", r"completions: (\d+)"),
        ("{}", r"::: ([\d ]+)$"),
    ],
)
def test_the_shards_of_each_scheduler_are_1_to_n(variable, indices):
    (found,) = re.findall(indices, TEXT, re.M)
    first, last = {
        "SLURM_ARRAY_TASK_ID": lambda: found,
        "JOB_COMPLETION_INDEX": lambda: (0, int(found) - 1),
        "{}": lambda: (found.split()[0], found.split()[-1]),
    }[variable]()
    (shard,) = re.findall(rf"--shard=(\S*{re.escape(variable)}.*?/\d+)", TEXT)
    number = int(shard.split("/")[1])
    parts = []
    for index in range(int(first), int(last) + 1):
        script = f"{variable}={index}; echo {shard}"
        if variable == "{}":
            script = f"echo {shard.replace('{}', str(index))}"
        said = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
        options = AblateOptions("losses", "w", shard=said.stdout.strip())
        parts.append(options.part())
    assert parts == [(i, number) for i in range(1, number + 1)]


def test_every_figure_is_there_and_shown():
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert {DOCS / name for name in shown} == set((DOCS / "studies").iterdir())
    for name in shown:
        with Image.open(DOCS / name) as figure:
            assert min(figure.size) > 300


def test_every_section_says_what_it_shows_and_what_it_does_not():
    for section in re.split(r"^## ", TEXT, flags=re.M)[1:]:
        assert "**Shows.**" in section and "**Does not show.**" in section
