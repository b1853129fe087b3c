"""README and docs: commands are accepted, code runs, links lead somewhere."""

import importlib
import os
import pathlib
import re
import shlex
import subprocess

import nbformat
import numpy as np
import pytest
from PIL import Image

from simclr_tf import limits
from simclr_tf.augment import RECIPES
from simclr_tf.config.evaluate import PROTOCOLS
from simclr_tf.config.export import FORMATS
from simclr_tf.config.presets import PRESETS
from simclr_tf.config.schema import override
from simclr_tf.data import SOURCES
from simclr_tf.distribution.cluster import read_tf_config
from simclr_tf.models import ENCODERS
from simclr_tf.objectives import OBJECTIVES
from simclr_tf.tools import command_line, config_flags
from simclr_tf.training import hdf5_trial
from tests.fresh_process import run

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "first_steps.ipynb"
CELLS = nbformat.read(NOTEBOOK, as_version=4).cells
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        *sorted(ROOT.glob("[A-Z]*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if path.name != "CHANGELOG.md"  # Names of flags at that time.
}
README = PAGES["README.md"]
ALL = "\n".join(PAGES.values())
LINKED = {
    **PAGES,
    "docs/first_steps.ipynb": "\n".join(
        cell.source for cell in CELLS if cell.cell_type == "markdown"
    ),
}
SETUP = (ROOT / "setup.py").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
EXTRAS = set(re.findall(r'^        "(\w+)": \[?\*?[A-Z]', SETUP, re.M))
TOOLS = {
    verb: importlib.import_module(f"simclr_tf.tools.{verb}")
    for verb in command_line.VERBS
}
FLAGS = {verb: set(config_flags.define(tool.SECTIONS)) for verb, tool in TOOLS.items()}


def blocks(language, text):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def shell_lines():
    """Every line of the pages' shell blocks that is no simclr-tf command."""
    for page, text in PAGES.items():
        for block in blocks("bash", text):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.split(" #")[0].strip()
                if line and not line.startswith(("#", "simclr-tf")):
                    yield pytest.param(line, id=f"{page} {line}")


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
    if arguments[0].startswith("--help"):
        assert command_line.main([verb, *arguments]) == 0
    else:
        accept(verb, arguments)


@pytest.mark.parametrize(
    "flag",
    sorted(
        {
            flag
            for span in re.findall(r"`(--[^`]+)`", ALL)
            for flag in re.findall(r"--([a-z0-9_.]+)", span)
        }
    ),
)
def test_every_flag_that_the_pages_name_exists(flag):
    assert flag == "help" or any(flag in flags for flags in FLAGS.values())


@pytest.mark.parametrize("line", shell_lines())
def test_every_other_line_of_a_shell_block_is_understood(line):
    program, *rest = shlex.split(line)
    if program == "make":
        assert set(rest) <= TARGETS
    elif program == "pip":
        command, what = rest
        assert command == "install"
        assert set(re.findall(r"\w+", what)) <= EXTRAS
    elif program == "export":
        name, _, value = rest[0].partition("=")
        assert name == "TF_CONFIG" and len(read_tf_config(value).workers) == 2
    elif program == "srun":
        accept(rest[1], rest[2:])
    elif program == "if":  # The end of a job's script: see below.
        assert rest[-1] == "fi"
    elif program == "python3":  # What an export of steps brings along.
        script, folder = map(pathlib.Path, rest)
        programs = ROOT / "simclr_tf" / "benchmarks" / "programs"
        assert script.parent == folder and (programs / script.name).is_file()
    else:  # What they start is tested with the studies.
        assert program in ("sbatch", "parallel") and "simclr-tf ablate" in line


@pytest.mark.parametrize("code, is_requeued", [(0, False), (2, False), (143, True)])
def test_the_job_of_slurm_is_queued_again_after_its_signal(tmp_path, code, is_requeued):
    (script,) = (
        block for block in blocks("bash", ALL) if block.startswith("#!/bin/bash")
    )
    for name, body in (("srun", f"exit {code}"), ("scontrol", 'echo "$@" > asked')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o700)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment)
    asked = tmp_path / "asked"
    assert (asked.exists() and asked.read_text() == "requeue 7\n") == is_requeued


@pytest.mark.parametrize(
    "command", re.findall(r"\[simclr-tf, ([^\]]+)\]", ALL), ids=range(3)
)
def test_the_commands_of_containers_are_accepted(command):
    verb, *arguments = command.split(", ")
    accept(verb, arguments)


def test_the_extras_that_the_text_names_exist():
    named = re.findall(r"pip install\s+\"\.\[(\w+)\]\"", ALL)
    assert named and set(named) <= EXTRAS


def test_the_make_targets_that_the_pages_name_exist():
    assert set(re.findall(r"make ([a-z-]+)`", ALL)) <= TARGETS


@pytest.mark.parametrize(
    "page, names",
    [
        ("recipes_and_presets", PRESETS),
        ("recipes_and_presets", RECIPES),
        ("recipes_and_presets", ENCODERS),
        ("objectives", OBJECTIVES),
        ("evaluation", PROTOCOLS),
        ("exporting_and_serving", FORMATS),
        ("getting_started", SOURCES),
    ],
)
def test_a_table_of_the_page_has_every_name(page, names):
    text = PAGES[f"docs/{page}.md"]
    cells = " ".join(re.findall(r"^\| (`.*?) \|", text, re.M))
    for name in names:
        assert re.search(rf"`{re.escape(name)}\w*[`:\[A-Z]", cells), name


def test_the_pages_show_every_verb():
    for verb in command_line.VERBS:
        assert f"simclr-tf {verb}" in ALL


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(README.splitlines()) <= 160
    linked = set(re.findall(r"\]\(([^)#]+)\)", README))
    assert {*LINKED, "CHANGELOG.md"} - {"README.md"} <= linked


def test_the_limits_of_the_security_page_are_those_of_the_code():
    rows = PAGES["SECURITY.md"]
    for text in (
        f"{limits.LARGEST_JSON // 2**20} MiB, {limits.DEEPEST_JSON} levels",
        f"{limits.MOST_LAYERS:,} layers; {limits.MOST_CALLS:,} inputs of calls",
        f"names of {limits.LONGEST_TEXT:,} characters",
        f"{limits.SPARE_VARIABLES:,} for the states",
        f"{limits.MOST_UNPACKED} times their own bytes, or "
        f"{limits.ALWAYS_UNPACKED // 2**20} MiB",
        f"{limits.MOST_PIXELS:,} pixels",
        f"{hdf5_trial.SECONDS} s and a second for every "
        f"{hdf5_trial.BYTES_A_SECOND // 2**20} MiB",
    ):
        assert text in rows, text


def test_the_rooms_of_the_readme_exist():
    (block,) = blocks("", README[README.index("## The code") :])
    places = [line.split()[0] for line in block.splitlines()]
    assert len(places) == 10
    for place in places:
        folder, _, rooms = place.strip("/").rpartition("/")
        for room in rooms.strip("{}").split(","):
            assert (ROOT / folder / room / "__init__.py").is_file() or room == "tools"


def anchors(text):
    """The anchors of a page's headings, as GitHub and the site make them."""
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for heading in re.findall(r"^#+ (.*)$", without_code, re.M):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        yield kept.replace(" ", "-")


@pytest.mark.parametrize("page", LINKED)
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = re.sub(r"```.*?```", "", LINKED[page], flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.resolve().is_file(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PAGES)
def test_every_page_begins_with_its_title(page):
    assert re.match(r"# \S", PAGES[page])


def test_the_pictures_of_the_readme_are_small():
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert (ROOT / picture).stat().st_size < 150_000
    with Image.open(ROOT / picture) as image:
        assert min(image.size) > 300


def pictures(folder):
    """A folder of 130 upright pictures."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(130):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), "uint8")).save(
            folder / f"{i}.png"
        )
    return folder


def run_python(page, names):
    """Run the Python of a page, block after block, in the current folder."""
    parts = blocks("python", PAGES[page])
    assert parts
    for block in parts:
        block = block.replace("PATH", "pictures").replace("UPRIGHT", "upright")
        exec(block.replace('resnet(18, stem="cifar")', SMALL), names)  # noqa: S102


SMALL = 'resnet(10, 0.0625, stem="cifar")'
OWN_TEST = {"docs/getting_started.md", "docs/troubleshooting.md"}


def test_the_python_of_getting_started_runs(tmp_path, monkeypatch):
    import tensorflow as tf

    import simclr_tf.training.run as run_module

    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "pictures")
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
    images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    batch = {
        "images": images,
        "seeds": np.zeros((2, 2), "int32"),
        "labels": np.array([3, 7]),
    }
    names = {"images": images, "batches": tf.data.Dataset.from_tensors(batch)}
    run_python("docs/getting_started.md", names)
    assert names["features"].shape == (2, 32)


@pytest.mark.parametrize(
    "page", [p for p, text in PAGES.items() if blocks("python", text)]
)
def test_the_python_of_every_other_page_runs(page, tmp_path, monkeypatch):
    if page in OWN_TEST:
        return
    monkeypatch.chdir(tmp_path)
    run_python(page, {})


def test_the_notebook_is_valid_and_its_outputs_are_cleared():
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    for cell in CELLS:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    settings = {"EPOCHS": 1, "PICTURES": 128}
    first, *cells = (cell.source for cell in CELLS if cell.cell_type == "code")
    for name, value in settings.items():
        first, found = re.subn(
            rf"^{name} = \d+", f"{name} = {value}", first, flags=re.M
        )
        assert found == 1
    code = "\n".join([first, *cells])
    done = run(["-c", code], cwd=tmp_path, env={"MPLBACKEND": "Agg"})
    assert done.returncode == 0, done.stderr
    assert re.search(r"features: [\d.]+ % of the test pictures", done.stdout)
