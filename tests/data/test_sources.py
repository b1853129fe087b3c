"""A kind of data set is one object in SOURCES: all that lists kinds asks it."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

import simclr_tf
from simclr_tf.data import SOURCES, ArraySource, licence_of, open_source
from simclr_tf.data.sources.kind import MissingSplitError, SourceKind, cut, parse_split
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.tools import command_line

ROOT = pathlib.Path(__file__).parents[2]


class Toy(SourceKind):
    """`toy:NUMBER`: dark and light noise of 12 x 12 pixels."""

    forms = {"toy:NUMBER": "NUMBER pictures of noise"}
    labels = "dark or light"
    may_hold_out = True
    licences = {"40": "CC0-1.0"}

    def open(self, target, request):
        part, bounds = parse_split(request.split)
        if part != "train":
            raise MissingSplitError(f"`{request.name}` has no split `{part}`.")
        labels = np.arange(int(target)) % 2
        noise = np.random.default_rng(0).integers(0, 100, (len(labels), 12, 12, 3))
        images = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
        source = ArraySource(
            request.name, images, labels, channels=request.channels, split=part
        )
        return cut(source, bounds, request)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(SOURCES, "toy", Toy())


def test_a_new_kind_is_opened_with_the_options_of_every_other(toy):
    source = open_source("toy:40", split="train[:25%]", channels=1)
    assert (source.name, source.num_examples, source.channels) == ("toy:40", 10, 1)
    assert open_source("toy:40", labelled=False).labels is None
    assert licence_of("toy:40") == "CC0-1.0" and licence_of("toy:41") is None
    with pytest.raises(ConfigError, match="followed by a name"):
        open_source("toy:")


@pytest.mark.parametrize("verb", ["pretrain", "distill"])
def test_a_new_kind_is_in_the_help_of_every_verb_that_lists_kinds(toy, capsys, verb):
    assert command_line.main([verb, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for kind in SOURCES.values():
        for form in kind.forms:
            assert form in text


def test_a_new_kind_is_offered_where_a_data_set_is_unknown(toy):
    with pytest.raises(ConfigError, match="Choices: .*, toy:NUMBER"):
        open_source("cifar10")
    with pytest.raises(ConfigError, match="Did you mean `toy:NUMBER`"):
        open_source("tooy:40")


@pytest.fixture
def toy_run(toy, tmp_path):
    simclr_tf.pretrain(
        "toy:40",
        tmp_path / "run",
        epochs=1,
        global_batch_size=20,
        encoder="resnet10",
        precision="float32",
        compile_views=False,
        say=lambda line: None,
        **{
            "encoder.width_multiplier": 0.0625,
            "encoder.stem": "small",
            "data.image_size_pixels": 12,
        },
    )
    return tmp_path / "run"


def test_a_new_kind_is_trained_on_and_evaluated_by_its_held_out_rule(
    toy_run, caplog, monkeypatch, tmp_path
):
    def evaluate():
        return command_line.main(
            ["evaluate", f"--workdir={toy_run}", "--protocols=knn", "--knn.k=3"]
            + [f"--output={tmp_path}/found"]
        )

    assert evaluate() == 0
    assert "held out" in caplog.text
    found = simclr_tf.evaluation.read_results(tmp_path / "found" / "evaluation.json")
    assert found.data == "toy:40" and {m.num_test for m in found.measurements} == {8}
    monkeypatch.setattr(Toy, "may_hold_out", False)
    caplog.clear()
    assert evaluate() == 2
    assert "held out" not in caplog.text


def test_a_kind_whose_package_is_missing_says_how_to_install_it(toy, monkeypatch):
    monkeypatch.setattr(Toy, "packages", {"no_such_module": "no-such-package"})
    with pytest.raises(DataError, match="`pip install no-such-package`") as error:
        open_source("toy:40")
    assert "\n" not in str(error.value)


def test_the_table_of_getting_started_is_that_of_the_kinds():
    text = (ROOT / "docs" / "getting_started.md").read_text(encoding="utf-8")
    for kind in SOURCES.values():
        for form, what in kind.forms.items():
            assert f"| `{form}` | {what} | {kind.splits} | {kind.labels} |\n" in text


def test_kinds_are_known_before_tensorflow_and_numpy_are_imported():
    script = (
        "import sys; from simclr_tf.data import SOURCES, kind_of; kind_of('npz:a')\n"
        "assert not {'tensorflow', 'tf_keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
