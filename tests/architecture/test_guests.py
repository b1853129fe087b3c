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


OF_KERAS_2 = re.compile(
    r"optimizer\._learning_rate|inner\._learning_rate|_build_learning_rate|inbound_nodes"
    r"|_keras_history|keras\.mixed_precision|_supports_tf_logs|_current_learning_rate"
    r"|skip_gradients_aggregation|register_keras_serializable|VariableAggregation"
    r"|def update_step|optimizers\.Optimizer\b"
)


def test_what_leans_on_keras_2_is_named_in_architecture_md():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/]+\.py", text.split("## What leans on")[1]))
    folders = {name.rpartition("/")[0] for name in named}
    using = {
        path.relative_to(ROOT / "simclr_tf").as_posix()
        for path in (ROOT / "simclr_tf").rglob("*.py")
        if OF_KERAS_2.search(path.read_text(encoding="utf-8"))
    }
    assert len(using) > 10
    assert {
        file
        for file in using
        if file not in named
        and not (file.rpartition("/")[0] in folders and file.split("/")[-1] in named)
    } == set()
