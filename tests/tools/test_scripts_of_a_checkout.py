"""`python tools/VERB.py` is the program of the checkout that it is in."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other_checkout(tmp_path_factory):
    """Another checkout than the one that is installed, which tells when it is used."""
    folder = tmp_path_factory.mktemp("other")
    left_out = shutil.ignore_patterns("__pycache__", "tools", "exported_models")
    shutil.copytree(ROOT / "simclr_tf", folder / "simclr_tf", ignore=left_out)
    shutil.copytree(ROOT / "tools", folder / "tools")
    with (folder / "simclr_tf" / "errors.py").open("a") as file:
        file.write('print("the other package")\n')
        file.write('import os; print("for processes:", os.environ["PYTHONPATH"])\n')
    with (folder / "tools" / "command_line.py").open("a") as file:
        file.write('\n\nprint("the other tools")\n')
    return folder


@pytest.mark.parametrize("verb", ["pretrain", "export"])
def test_a_script_uses_the_package_beside_it_whatever_is_installed(
    other_checkout, tmp_path, verb
):
    script = other_checkout / "tools" / f"{verb}.py"
    done = subprocess.run(
        [sys.executable, script, "--help"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,  # Not in the checkout: its path alone decides.
    )
    assert done.returncode == 0, done.stderr
    assert "the other package\n" in done.stdout
    assert "the other tools\n" in done.stdout
    assert f"for processes: {other_checkout}" in done.stdout
    assert f"simclr-tf {verb}" in done.stdout


def test_a_script_without_a_checkout_uses_the_package_that_is_installed(tmp_path):
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    done = subprocess.run(
        [sys.executable, tmp_path / "tools" / "command_line.py", "--version"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("simclr-tf ")
