"""Guests: the registries are instant, and CONTRIBUTING.md names files that exist."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
REGISTRIES = {
    "simclr_tf.objectives": "OBJECTIVES",
    "simclr_tf.models.encoders": "ENCODERS",
    "simclr_tf.augment.operators": "OPERATORS",
    "simclr_tf.data.sources": "SOURCES",
}
HEAVY = ("tensorflow", "tf_keras", "keras", "numpy")


@pytest.mark.parametrize("module", REGISTRIES)
def test_a_registry_and_its_options_are_read_without_tensorflow(module):
    program = (
        f"import sys, {module} as room\n"
        f"guests = room.{REGISTRIES[module]}\n"
        "assert len(guests) > 2, guests\n"
        "[getattr(guest, 'Options', None) for guest in guests.values()]\n"
        f"found = [name for name in {HEAVY} if name in sys.modules]\n"
        "sys.exit(f'{found} imported: take it from simclr_tf.lazy' if found else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_the_lists_of_contributing_name_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:simclr_tf|tests)/[\w/.]+?)`", text)
    named = [name for name in named if "NAME" not in name]
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []
    for title in ("An objective", "An encoder", "A view operator", "A data source"):
        assert f"### {title}\n" in text
