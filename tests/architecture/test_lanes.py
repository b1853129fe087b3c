"""Two lanes, one code base: only `_keras.py` and the packaging know of them."""

import pathlib
import re
import runpy

import pytest
import setuptools
from packaging.requirements import Requirement

from simclr_tf import _keras
from simclr_tf.tools import pretrain

ROOT = pathlib.Path(__file__).parents[2]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


@pytest.fixture(scope="module")
def extras():
    """The extras of setup.py, as pip reads them."""
    given = {}
    original, setuptools.setup = setuptools.setup, given.update
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = original
    return given["extras_require"]


def requirements(lines, python):
    found = [Requirement(line) for line in lines]
    return {
        item.name: str(item.specifier)
        for item in found
        if item.marker is None or item.marker.evaluate({"python_version": python})
    }


@pytest.mark.parametrize("python", PYTHONS)
def test_the_addons_extra_is_the_second_lane_or_says_why_not(extras, python):
    found = requirements(extras["addons"], python)
    if python in ("3.10", "3.11"):
        assert found == {
            "tensorflow": "==2.15.1",
            "tensorflow-addons": "==0.23.0",
            "tensorflow-metadata": "==1.17.3",
            "pyarrow": "<26",
        }
    else:  # A version that no index has: pip repeats it in its message.
        assert found == {"tensorflow-addons": "==0.23.0+needs.python.3.10.or.3.11"}


def test_only_one_module_knows_of_lanes():
    knows = re.compile(
        r"tensorflow_addons|tf_keras|tf\.keras|^import keras|ADDONS_LANE"
    )
    for path in [*(ROOT / "simclr_tf").rglob("*.py"), *(ROOT / "tools").glob("*.py")]:
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8")
        knowing = [line for line in text.splitlines() if knows.search(line)]
        if re.fullmatch(r"simclr_tf/export/programs/\w*keras3\w*\.py", name):
            knowing.remove("import keras")  # Imported where Keras 3 is.
        assert name == "simclr_tf/_keras.py" or not knowing, (name, knowing)


@pytest.mark.parametrize("wrapper", ["lookahead", "swa", "moving_average"])
def test_a_wrapper_on_the_other_lane_is_one_line_that_says_where_it_is(
    wrapper, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(_keras, "ADDONS_LANE", False)
    # On this lane all objects of the package `keras` would be taken for Keras 3's.
    monkeypatch.setattr(_keras, "is_of_keras3", lambda value: False)
    code = pretrain.main(
        [
            "--preset=demo",
            "--split=train[:64]",
            "--encoder.width_multiplier=0.0625",
            "--batch_size=32",
            f"--optimizer.wrapper={wrapper}",
            f"--workdir={tmp_path / 'run'}",
        ]
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert code == 2 and len(lines) == 1, lines
    for part in (
        wrapper,
        "TensorFlow 2.15",
        'pip install "simclr-tf[addons]"',
        "Python 3.10 or 3.11",
    ):
        assert part in lines[0]
    assert not (tmp_path / "run").exists()
