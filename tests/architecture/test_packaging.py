"""The wheel holds everything, and works where there is no checkout."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import simclr_tf

ROOT = pathlib.Path(__file__).parents[2]


def an_export(folder, **entries):
    """The files of an export, without a network."""
    for name in (
        "saved_model/variables/variables.index",
        "weights.safetensors",
        "saved_model/assets.extra/simclr_tf.json",
        "card.md",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "config.json").write_text(
        json.dumps({"format": "simclr_tf.export/1", **entries})
    )


def files_under(folder):
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # Built from a copy: setuptools would leave a build folder in the checkout.
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("simclr_tf", "tools", "exported_models"):
        shutil.copytree(ROOT / name, copy / name)
    an_export(copy / "exported_models" / "wheel_test_published", published=True)
    an_export(copy / "exported_models" / "wheel_test_own", published=False)
    (copy / "exported_models" / "wheel_test_torn").mkdir()
    (copy / "exported_models" / "wheel_test_torn" / "config.json").write_text("{")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(folder),
            str(copy),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return next(folder.glob("simclr_tf-*.whl"))


def test_the_wheel_holds_the_images_their_notices_and_the_tools(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    embedded = {
        n: s for n, s in sizes.items() if n.startswith("simclr_tf/data/embedded/")
    }
    on_disk = {
        p.name: p.stat().st_size
        for p in (ROOT / "simclr_tf/data/embedded").iterdir()
        if p.is_file()
    }
    assert {pathlib.Path(n).name: s for n, s in embedded.items()} == on_disk
    assert {"LICENSE.freedoom", "LICENSE.fashion_mnist"} <= set(on_disk)
    assert sum(embedded.values()) <= 14_000_000
    assert "simclr_tf/tools/pretrain.py" in sizes
    assert "simclr_tf/py.typed" in sizes
    assert "simclr_tf/report/templates/page.html" in sizes
    programs = [p.name for p in (ROOT / "simclr_tf/export/programs").glob("*.py")]
    assert "run_saved_model.py" in programs
    assert {f"simclr_tf/export/programs/{name}" for name in programs} <= set(sizes)
    assert not any(name.startswith(("tests/", "tools/")) for name in sizes)


def test_the_wheel_holds_every_file_of_the_published_exports_and_no_other(wheel):
    place = "simclr_tf/exported_models/"
    with zipfile.ZipFile(wheel) as archive:
        found = {
            item.filename.removeprefix(place): item.file_size
            for item in archive.infolist()
            if item.filename.startswith(place)
        }
    source = wheel.parent / "source" / "exported_models"
    published = [
        "wheel_test_published",
        *(
            entry.name
            for entry in simclr_tf.zoo(ROOT / "exported_models")
            if entry.published
        ),
    ]
    expected = {"README.md": (source / "README.md").stat().st_size}
    for name in published:
        expected |= {
            f"{name}/{file}": size for file, size in files_under(source / name).items()
        }
    assert found == expected and len(found) >= 6


def test_an_installed_wheel_finds_its_images_encoders_and_verbs(wheel, tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(tmp_path / "site"),
            str(wheel),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )
    script = (
        "import simclr_tf, sys\n"
        "assert simclr_tf.__file__.startswith(sys.argv[1]), simclr_tf.__file__\n"
        "from simclr_tf.tools.command_line import main\n"
        "assert main(['pretrain', '--help']) == 0\n"
        "entry = simclr_tf.zoo()['wheel_test_published']\n"
        "assert (entry.path / 'card.md').is_file()\n"
        "assert str(entry.path).startswith(sys.argv[1]), entry.path\n"
        "source = simclr_tf.open_source('embedded:freedoom_12', split='test')\n"
        "assert source.num_examples == 2534\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
