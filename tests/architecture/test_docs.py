"""The written-up studies: one section each, with its command and its figure."""

import pathlib
import re
import shlex

import pytest
from PIL import Image

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
    options, _ = ablate.options_of(
        command_line.parse("ablate", ablate.SECTIONS, arguments)
    )
    assert options.study in STUDIES


def test_every_figure_is_there_and_shown():
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert {DOCS / name for name in shown} == set((DOCS / "studies").iterdir())
    for name in shown:
        with Image.open(DOCS / name) as figure:
            assert min(figure.size) > 300


def test_every_section_says_what_it_shows_and_what_it_does_not():
    for section in re.split(r"^## ", TEXT, flags=re.M)[1:]:
        assert "**Shows.**" in section and "**Does not show.**" in section
