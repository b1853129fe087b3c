"""What a command line means: presets below, then the file of --config, then flags."""

import ast
import json
import pathlib
import re

import pytest
from PIL import Image

from simclr_tf.config import Config, from_dict
from simclr_tf.config.moved import MOVED, MOVED_OF_VERB
from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override, to_dict
from simclr_tf.data import preset_choice
from simclr_tf.errors import SimCLRError
from simclr_tf.tools import ablate, command_line, config_flags, distill, pretrain
from tests.architecture.test_readme import FLAGS, TOOLS

ROOT = pathlib.Path(__file__).parents[2]


def given(verb, *arguments):
    return command_line.parse(verb, TOOLS[verb].SECTIONS, arguments)


def pretraining(*arguments, workdir="nowhere"):
    """The Config of `simclr-tf pretrain`."""
    found = given("pretrain", f"--workdir={workdir}", *arguments)
    return pretrain.options_of(found)[0]


def made(verb, *arguments):
    """The first section of a verb."""
    return given(verb, *arguments).make(TOOLS[verb].SECTIONS[0])


def written(path, record):
    path.write_text(json.dumps(record))
    return f"--config={path}"


def test_only_typed_flags_go_on_top_of_the_preset():
    config = pretraining(
        "--preset=cifar10_resnet18",
        "--objective.temperature=0.2",
        "--optimizer.nesterov",
        "--steps=none",
        "--data.channels=1",
        "--nocompile_views",
    )
    assert config.objective.temperature == 0.2 and config.optimizer.nesterov is True
    assert config.steps is None and config.data.channels == 1
    assert config.epochs == 1000 and config.encoder.name == "resnet18"
    assert config.compile_views is False


def test_a_file_goes_on_top_of_the_preset_and_flags_on_top_of_the_file(tmp_path):
    file = written(
        tmp_path / "part.json",
        {"epochs": 7, "objective": {"temperature": 0.9}, "data.split": "train[:5%]"},
    )
    config = pretraining("--preset=fashion_mnist", file, "--epochs=3")
    assert (config.epochs, config.objective.temperature) == (3, 0.9)
    assert config.data.split == "train[:5%]"
    expected = {
        "epochs": 3,
        "objective.temperature": 0.9,
        "data.split": "train[:5%]",
    }
    assert config == override(get_preset("fashion_mnist"), expected)


@pytest.mark.parametrize("preset", ["cifar10_resnet18", ""])
def test_the_file_of_a_run_gives_its_whole_config_with_its_preset(tmp_path, preset):
    config = Config(epochs=9, seed=4, preset=preset)
    record = {"config": to_dict(config), "data": {"name": "x"}, "command": "y"}
    assert pretraining(written(tmp_path / "config.json", record)) == config
    # A folder stands for the config.json in it.
    assert pretraining(f"--config={tmp_path}") == config


def test_a_file_of_version_0_1_0_is_read_under_present_names(tmp_path):
    old = {
        "loss": {"name": "nt_logistic", "temperature": 0.5, "margin": 0.8},
        "encoder": {"kind": "resnet", "depth": 34},
    }
    config = pretraining(written(tmp_path / "old.json", old))
    assert config.objective.name == "nt_logistic"
    assert config.objective.temperature == 0.5
    assert config.encoder.name == "resnet34"


def test_a_flag_with_another_guest_does_not_take_the_files_options(tmp_path):
    file = {"objective": {"name": "margin_triplet", "margin": 0.4}}
    path = written(tmp_path / "f.json", file)
    assert pretraining(path).objective.margin == 0.4
    assert pretraining(path, "--objective=nt_xent").objective.name == "nt_xent"
    assert pretraining(path, "--objective.margin=0.3").objective.margin == 0.3


def test_a_verb_reads_the_options_that_it_wrote(tmp_path):
    first = made(
        "finetune",
        "--workdir=run",
        "--labels_per_class=4,10",
        "--methods=linear",
        "--optimizer.momentum=0.5",
    )
    record = {"schema": "simclr_tf.evaluation", "options": to_dict(first)}
    file = written(tmp_path / "finetune.json", record)
    assert made("finetune", file) == first
    again = made("finetune", file, "--seeds=3", "--labels_per_class=5")
    assert (again.seeds, again.labels_per_class, again.momentum) == (3, (5,), 0.5)


def test_the_student_of_a_file_may_be_changed_or_replaced(tmp_path):
    def distilled(*arguments):
        return distill.options_of(given("distill", "--output=o", *arguments))

    first = distilled(
        "--teacher=t", "--data=d", "--image_size_pixels=8", "--student=demo"
    )
    assert (first.architecture, first.student.stem) == ("other", "small")
    file = written(tmp_path / "config.json", {"distillation": to_dict(first.config())})
    assert distilled(file) == first
    assert distilled(file, "--student.se_ratio=0.25").student.se_ratio == 0.25
    assert distilled(file, "--student=same").architecture == "same"


def test_a_run_is_continued_with_the_options_of_its_config_json(tmp_path):
    config = override(
        get_preset("fashion_mnist"), {"epochs": 5, "precision": "bfloat16"}
    )
    record = {"config": to_dict(config), "precision": {"asked": "auto"}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    found = given("pretrain", f"--workdir={tmp_path}", "--checkpoint.keep=9")
    again, origin = pretrain.options_of(found)
    assert again == override(config, {"precision": "auto", "checkpoint.keep": 9})
    assert f"{tmp_path}/config.json: preset fashion_mnist, epochs=5" in origin
    assert origin.endswith("; now checkpoint.keep=9")
    # A preset or a file asks for those: the run then says what differs.
    assert pretraining("--preset=demo", workdir=tmp_path) == get_preset("demo")


@pytest.mark.parametrize(
    "changes", [{"data.source": "python:ndarray"}, {"encoder": "custom"}]
)
def test_a_run_from_python_is_continued_there(tmp_path, changes):
    config = override(get_preset("demo"), changes)
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(config)}))
    with pytest.raises(SimCLRError, match=r"in Python, with simclr_tf\.pretr"):
        pretraining(workdir=tmp_path)


def test_a_new_workdir_begins_with_the_default_preset(tmp_path):
    for workdir in (tmp_path / "new", tmp_path):
        found = given("pretrain", f"--workdir={workdir}")
        assert pretrain.options_of(found) == (get_preset("demo"), None)


def test_a_folder_without_a_preset_chooses_one_and_the_run_keeps_it(
    tmp_path, monkeypatch
):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (80, 60)).save(folder / f"{number}.png")
    flags = ["pretrain", f"--data=folder:{folder}", f"--workdir={tmp_path}"]
    monkeypatch.setattr(preset_choice, "count_accelerators", lambda: 0)
    config, line = pretrain.options_of(given(*flags, "--epochs=7"))
    size = config.data.image_size_pixels
    assert (config.preset, size, config.epochs) == ("photos_small", 60, 7)
    assert line.startswith("Preset      photos_small, chosen for images of 60 x 80")
    sized, _ = pretrain.options_of(given(*flags, "--image_size_pixels=30x40"))
    assert sized.data.image_size_pixels == (30, 40)
    part = written(tmp_path / "part.json", {"objective": {"temperature": 0.3}})
    with_file, line = pretrain.options_of(given(*flags, part))
    assert (with_file.preset, with_file.objective.temperature) == ("photos_small", 0.3)
    assert with_file.data.image_size_pixels == 60 and "Preset" in line
    named, line = pretrain.options_of(given(*flags, "--preset=demo"))
    assert (named.preset, named.data.image_size_pixels, line) == ("demo", 32, None)
    # Later, on a machine with GPUs and with larger images, the run is what it was.
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(config)}))
    Image.new("RGB", (800, 600)).save(folder / "0.png")
    monkeypatch.setattr(preset_choice, "count_accelerators", lambda: 8)
    again, line = pretrain.options_of(given(*flags))
    assert again == config and "preset photos_small" in line


@pytest.mark.parametrize("length", [{"epochs": 200}, {"steps": 900}])
def test_another_length_takes_the_place_of_the_minutes_in_a_file(tmp_path, length):
    chosen = {"minutes": 30.0, "epochs": 29, "optimizer.warmup_steps": 5}
    run = override(get_preset("demo"), chosen)
    file = written(tmp_path / "config.json", {"config": to_dict(run)})
    flags = [f"--{name}={value}" for name, value in length.items()]
    for arguments in (flags, [*flags, "--minutes=none"]):
        config = pretraining(file, *arguments)
        assert (config.minutes, config.optimizer.warmup_steps) == (None, None)
        assert config.epochs == length.get("epochs", 29)
        assert config.steps == length.get("steps")
    assert pretraining(file) == run
    assert pretraining(file, "--minutes=10").minutes == 10
    with pytest.raises(SimCLRError, match="`minutes` chooses the length"):
        pretraining(file, *flags, "--minutes=10")


def test_a_study_is_continued_with_the_options_of_its_study_json(tmp_path, capsys):
    first, base, seeds = ablate.options_of(
        given(
            "ablate",
            "--study=temperature",
            "--data=embedded:freedoom_12",
            f"--workdir={tmp_path}",
            "--epochs=2",
            "--seed=3",
            "--seeds=2",
        )
    )
    flat = {"loss.temperature": 0.3, "loss.name": "nt_xent", "epochs": 2}
    record = {
        "study": "temperature",
        "budget": "small",
        "base": {"data.source": "embedded:freedoom_12", **flat},
        "cells": [{"seed": 9}, {"seed": 3}],
    }
    (tmp_path / "study.json").write_text(json.dumps(record))
    again, stored, kept = ablate.options_of(given("ablate", f"--workdir={tmp_path}"))
    assert seeds == (3, 4) and kept == (3, 9)
    assert (again.study, again.seeds) == ("temperature", 2) and again == first
    assert (stored.seed, stored.epochs) == (base.seed, base.epochs) == (3, 2)
    assert stored.objective.temperature == 0.3
    assert "study temperature, budget small" in capsys.readouterr().out
    flags = ("--epochs=9", "--seeds=3")
    _, more, asked = ablate.options_of(given("ablate", f"--workdir={tmp_path}", *flags))
    assert more.epochs == 9 and asked == (3, 4, 5)
    assert "now epochs=9" in capsys.readouterr().out


@pytest.mark.parametrize(
    "verb, arguments, words",
    [
        ("pretrain", ["--epochs=3", "--epochs=4"], "given twice: 3 and 4. Give it"),
        ("pretrain", ["--nocompile_views", "--compile_views"], "false and true"),
        ("pretrain", ["--seed=1", "--seed=1", "--seed=2"], "3 times: 1 and 1 and 2"),
        ("pretrain", ["--config=a", "--config=b"], "--config is given twice"),
        (
            "evaluate",
            ["--protocols=knn", "--protocols=few"],
            "twice: knn and few. Give it once, with commas between",
        ),
        ("report", ["--output=a", "--output=b"], "--output is given twice: a and b"),
        ("pretrain", ["--epoch=3"], "Unknown flag --epoch. Did you mean --epochs"),
        ("pretrain", ["--temperature=3"], "Did you mean --objective.temperature"),
        ("pretrain", ["--nocompile_views=1"], "does not take an argument"),
        ("pretrain", ["--compile_views=maybe"], "must be true or false"),
        ("pretrain", ["--config=/nowhere.json"], "Cannot read --config=/nowhere.json"),
        ("pretrain", ["--config=LIST"], "must hold an object of options"),
        ("pretrain", ["--config=TYPO"], "Unknown `option`. Did you mean epochs"),
        ("pretrain", ["--config=GUEST"], "nt_xent has no option `margin`"),
        ("evaluate", ["--config=TYPO"], "Unknown `option`"),
        ("pretrain", ["--recipe=cifr"], "Did you mean cifar"),
        ("pretrain", ["--preset=dmeo"], "Did you mean demo"),
        ("evaluate", ["--workdir=x", "--protocols=lineal"], "Did you mean linear"),
        ("evaluate", [], "Exactly one of --workdir and --encoder"),
        ("transfer", ["--workdir=x", "--datasets=y", "--epochs=1,2"], "one number"),
        ("finetune", ["--workdir=x", "--epochs=1,2"], "one number for each"),
        ("finetune", ["--workdir=x", "--seeds=0"], "`seeds` must be >= 1"),
        ("benchmark", ["--benchmark=loss", "--sizes=1"], "`sizes` must be >= 2"),
        ("ablate", ["--study=tempreature", "--workdir=w"], "Did you mean temperature"),
        ("ablate", ["--workdir=w"], "--study is required"),
        ("ablate", ["--study=losses", "--workdir=w", "--shard=5/4"], "1 <= i <= n"),
        ("ablate", ["--study=losses"], "--workdir is required"),
    ],
)
def test_a_mistake_is_one_line(verb, arguments, words, tmp_path, capsys):
    places = {
        "LIST": [1],
        "TYPO": {"epoch": 3},
        "GUEST": {"objective": {"margin": 1.0}},
    }
    for name, record in places.items():
        (tmp_path / name).write_text(json.dumps(record))
    arguments = [
        f"--config={tmp_path / a[9:]}" if a[9:] in places else a for a in arguments
    ]
    if verb == "pretrain":
        arguments.append(f"--workdir={tmp_path}/run")
    assert command_line.main([verb, *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error


def test_runs_of_a_report_are_named_by_a_flag_each():
    options = made("report", "--workdir=a,b", "--workdir=c", "--output=o")
    assert options.workdir == ("a,b", "c")


def test_a_command_can_be_typed_again():
    found = given("report", "--workdir=my runs/a", "--workdir=b", "--nofeatures")
    assert found.command == (
        "simclr-tf report '--workdir=my runs/a' --workdir=b --nofeatures"
    )


def old_flags():
    """(verb, old flag, present flag) of every verb that has the present one."""
    for verb, flags in FLAGS.items():
        moved = {**MOVED, **MOVED_OF_VERB.get(verb, {})}
        yield from ((verb, old, new) for old, new in moved.items() if new in flags)


@pytest.mark.parametrize("verb, old, new", old_flags())
def test_an_old_flag_is_refused_with_the_present_one(verb, old, new):
    assert old not in FLAGS[verb]
    with pytest.raises(SimCLRError) as error:
        given(verb, f"--{old}=18")
    value = "resnet18" if old.endswith("depth") else "18"
    assert str(error.value) == f"--{old} is now spelled --{new}={value}."


def test_every_old_flag_leads_to_one_that_exists():
    known = set().union(*FLAGS.values())
    assert set(MOVED.values()) <= known
    for verb, moved in MOVED_OF_VERB.items():
        assert set(moved.values()) <= FLAGS[verb]


def test_a_flag_without_a_dot_is_the_same_kind_of_value_in_every_verb():
    """`--batch_size`, `--recipe`, `--seed` ... mean the same everywhere."""
    kinds = {}
    for verb, tool in TOOLS.items():
        for part in config_flags.flags_of(tool.SECTIONS):
            for flag, _, item, hint in part.options():
                kind = re.sub(r"tuple\[|, \.\.\.\]| \| None|<class '|'>", "", str(hint))
                kind = "guest" if "registry" in item.metadata else kind
                kinds.setdefault(flag, {}).setdefault(kind, []).append(verb)
    several = {flag: found for flag, found in kinds.items() if len(found) > 1}
    # An encoder is a network to make or one that lies somewhere; strategies of one
    # process are a part of all.
    assert set(several) <= {"encoder", "strategy", "precision", "preset"}, several


def advised_flags():
    """Every `--flag` in a string of the package and the tools."""
    files = [*(ROOT / "simclr_tf").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for flag in re.findall(r"(?<![\w-])--([a-zA-Z][\w.]*\w)", node.value):
                    yield path.relative_to(ROOT).as_posix(), flag


# Of other programs, of absl, and what is no flag but a place for one.
_OTHERS = {
    "flag",
    "help",
    "version",
    "FLAG",
    "signal",
    "input",
    "name",
    "max_bytes",
    "output_dir",
}


def test_every_flag_that_a_text_of_the_package_advises_exists():
    known = {*set().union(*FLAGS.values()), *_OTHERS}
    ends = tuple("." + end for end in ("OPTION", "FIELD"))
    unknown = {
        (path, flag)
        for path, flag in advised_flags()
        if flag.removeprefix("no") not in known
        and flag not in known
        and not flag.endswith(ends)
        and path != "simclr_tf/config/moved.py"
    }
    assert unknown == set()


def test_the_scan_of_texts_sees_flags():
    found = {flag for _, flag in advised_flags()}
    assert {"workdir", "data.cache", "augment.color_strength"} <= found


def test_a_config_of_a_run_has_the_names_that_it_had():
    """Flags have moved, the keys of config.json have not."""
    assert from_dict(
        {
            "global_batch_size": 64,
            "optimizer": {"name": "adamw", "base_learning_rate": 1.0},
            "augment": {"recipe": "cifar"},
            "data": {"source": "npz:x", "image_size_pixels": 8},
        }
    ) == override(
        Config(),
        {
            "global_batch_size": 64,
            "optimizer.name": "adamw",
            "optimizer.base_learning_rate": 1.0,
            "augment.recipe": "cifar",
            "data.source": "npz:x",
            "data.image_size_pixels": 8,
        },
    )
