"""A real, tiny study from the command line; and what its cells measure."""

import dataclasses
import importlib
import json
import logging

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import get_recipe
from simclr_tf.config import Config
from simclr_tf.config.finetune import FineTuneConfig
from simclr_tf.config.schema import override
from simclr_tf.data import ArraySource
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.models import ProjectionHead, flops_per_image, resnet
from simclr_tf.studies import (
    STUDIES,
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Run,
    Study,
    base_config,
    cell_work,
    runs_of,
    study_runner,
)
from simclr_tf.studies.head_information import questions
from simclr_tf.studies.study_cost import Operations, Speed
from simclr_tf.studies.transforms import (
    mlp_accuracy_percent,
    transform_accuracies_percent,
    transformed,
)
from simclr_tf.tools import command_line
from simclr_tf.training import Workdir
from tests.training.small_networks import small_encoder

TINY = [
    "--encoder.width_multiplier=0.0625",
    "--image_size_pixels=8",
    "--epochs=1",
    "--batch_size=8",
    "--precision=float32",
    "--compile_views=false",
    "--probe.online=false",
    "--recipe=finetune",
]


def a_set(number, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    images = (
        rng.integers(0, 99, (number, 8, 8, channels))
        + 120 * labels[:, None, None, None]
    )
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Paths of labelled images in colour and in grey, and of unlabelled ones."""
    folder = tmp_path_factory.mktemp("data")
    for name, channels in (("colour", 3), ("grey", 1)):
        (x, y), (tx, ty) = a_set(40, channels), a_set(20, channels, 1)
        np.savez(folder / f"{name}.npz", x_train=x, y_train=y, x_test=tx, y_test=ty)
    np.savez(folder / "unlabelled.npz", x_train=a_set(16)[0])
    return folder


def test_a_study_from_the_command_line(data, tmp_path, monkeypatch, capsys):
    study = Study(
        "tiny",
        "Tiny",
        "Does all of it run?",
        lambda base, budget: (
            Cell(
                "pretrained",
                (
                    Point("linear", "SimCLR", "a"),
                    Point("linear_projections", "SimCLR, z", "a"),
                ),
                {"augment.one_branch": "rotate,crop"},
                settings={"probe_projections": True},
            ),
            Cell(
                "supervised",
                (Point("supervised", "supervised", "a"),),
                work="supervised",
            ),
            Cell(
                "too_large",
                (Point("linear", "SimCLR", "b"),),
                {"global_batch_size": 64},
            ),
        ),
        Chart("bars", "x", "accuracy (%)"),
        PaperNumbers("Table 0", "Not tabulated."),
    )
    monkeypatch.setitem(STUDIES, "tiny", study)
    # A ResNet takes seconds to trace, and is not what is tested here.
    monkeypatch.setattr(
        importlib.import_module("simclr_tf.models.resnet"),
        "resnet",
        lambda *args, channels, **options: small_encoder(channels),
    )
    monkeypatch.setattr(
        study_runner,
        "measured_speed",
        lambda config, operations: Speed(1.0, operations, "a guess"),
    )
    command = [
        "ablate",
        "--study=tiny",
        f"--data=npz:{data}/colour.npz",
        f"--workdir={tmp_path}/s",
        *TINY,
    ]
    assert command_line.main(command) == 1  # A cell failed.
    record = json.loads((tmp_path / "s" / "study.json").read_text())
    found = {s["name"]: s for s in record["cells"]}
    assert "--study=tiny" in record["command"]
    values = found["pretrained"]["values"]
    for name in ("linear", "knn", "linear_projections", "linear_held_out"):
        assert 0 <= values[name] <= 100
    assert 0 <= values["contrastive_accuracy"] <= 100
    # Brightness tells the two classes apart: labels are enough for it.
    assert found["supervised"]["values"]["supervised"] >= 50
    assert found["too_large"]["status"] == "failed"
    assert "use at most 40" in found["too_large"]["error"]
    run = Workdir(tmp_path / "s" / found["pretrained"]["workdir"])
    assert run.config().augment.one_branch == "rotate,crop"
    assert len(list((run.path / "checkpoints").iterdir())) == 1
    assert run.has("metrics.jsonl") and run.has("cell.json")
    capsys.readouterr()
    assert command_line.main(command) == 1
    assert "3 done before" in capsys.readouterr().out  # Nothing was trained again.


def test_threads_are_set_before_tensorflow_measures_anything(monkeypatch, tmp_path):
    base = override(
        base_config(STUDIES["losses"], "small", "x"),
        {"performance.intra_op_threads": 1},
    )
    asked = []
    monkeypatch.setattr(study_runner, "set_threads", asked.append)

    def opened(base):
        assert asked == [base.performance]
        raise DataError("opened")

    monkeypatch.setattr(study_runner, "open_training_source", opened)
    with pytest.raises(DataError, match="opened"):
        study_runner.run_study(
            STUDIES["losses"], base, budget="small", workdir=tmp_path
        )


def test_only_the_warning_of_retracing_is_kept_from_the_log(
    data, monkeypatch, tmp_path, caplog
):
    log = logging.getLogger("tensorflow")

    def run(self, *, retry_failed):
        log.warning("5 out of the last %d calls triggered tf.function retracing.", 11)
        log.warning("Another matter.")
        return study_runner.Outcome(0, 0, 0, 0)

    monkeypatch.setattr(study_runner.StudyRunner, "run", run)
    study = STUDIES["losses"]
    base = base_config(study, "small", f"npz:{data}/colour.npz")
    study_runner.run_study(study, base, budget="small", workdir=tmp_path)
    log.warning("5 out of the last 12 calls triggered tf.function retracing.")
    assert [record.getMessage()[:7] for record in caplog.records] == [
        "Another",
        "5 out o",
    ]


def test_few_labels_are_measured_by_fraction(data, tmp_path, monkeypatch):
    inputs = keras.Input((None, None, 3))
    encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    monkeypatch.setattr(cell_work, "build_encoder", lambda config, channels: encoder)
    base = override(
        base_config(STUDIES["label_fraction"], "small", f"npz:{data}/colour.npz"),
        {"data.image_size_pixels": 8},
    )
    cell = Cell(
        "probe",
        (Point("linear_0.5", "linear probe", 50.0),),
        work="few_labels",
        settings={
            "fractions": [0.5, 1.0],
            "epochs": [1, 1],
            "methods": ["linear"],
            "pretrain": False,
        },
    )
    (run,) = runs_of((cell,), base, (3,))
    values = cell_work.run_cell(run, tmp_path)
    assert values == {"linear_0.5": 100.0, "linear_1": 100.0}  # Dark or bright.


def test_raw_pixels_and_the_untrained_encoder_are_probed(data, tmp_path, monkeypatch):
    inputs = keras.Input((None, None, 3))
    constant = keras.layers.Lambda(lambda x: tf.ones([tf.shape(x)[0], 2]))(inputs)
    encoder = keras.Model(inputs, constant)
    monkeypatch.setattr(cell_work, "build_encoder", lambda config, channels: encoder)
    base = override(
        base_config(STUDIES["losses"], "small", f"npz:{data}/colour.npz"),
        {"data.image_size_pixels": 8},
    )
    names = ("linear_raw_pixels", "linear_untrained")
    points = tuple(Point(name, "ours", name) for name in names)
    cell = Cell("baselines", points, work="baselines")
    (run,) = runs_of((cell,), base, (0,))
    values = cell_work.run_cell(run, tmp_path)
    assert values["linear_raw_pixels"] == 100.0
    assert values["linear_untrained"] == 50.0  # Equal features: one class for all.


@pytest.mark.parametrize("pretrain", [True, False])
def test_what_is_trained_from_scratch_is_trained_like_a_supervised_network(
    data, tmp_path, monkeypatch, pretrain
):
    inputs = keras.Input((None, None, 3))
    encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    used = []

    class Few:
        def __init__(self, *args, config, **kwargs):
            used.append(config)

        def measure(self, *args, **kwargs):
            return []

    monkeypatch.setattr(cell_work, "FewLabels", Few)
    monkeypatch.setattr(cell_work, "build_encoder", lambda *args: encoder)
    monkeypatch.setattr(cell_work, "_pretrained", lambda *args: (encoder, {}))
    base = base_config(STUDIES["label_fraction"], "small", f"npz:{data}/colour.npz")
    cell = Cell(
        "c",
        (Point("x", "ours", 1.0),),
        work="few_labels",
        settings={
            "fractions": [1.0],
            "epochs": [1],
            "methods": [],
            "pretrain": pretrain,
        },
    )
    (run,) = runs_of((cell,), base, (0,))
    cell_work.run_cell(run, tmp_path)
    wanted = FineTuneConfig() if pretrain else cell_work.supervised_config(base)
    assert used == [dataclasses.replace(wanted, precision=base.precision)]


def test_supervised_training_follows_the_pretraining_but_for_lars():
    adamw = cell_work.supervised_config(base_config(STUDIES["losses"], "small", "x"))
    assert (adamw.optimizer, adamw.base_learning_rate) == ("adamw", 8e-3)
    sgd = cell_work.supervised_config(base_config(STUDIES["losses"], "paper", "x"))
    assert (sgd.optimizer, sgd.base_learning_rate, sgd.weight_decay) == (
        "sgd",
        0.1,
        1e-4,
    )


def test_operations_are_steps_times_images_times_what_an_image_costs():
    source = ArraySource("toy", *a_set(40))
    config = override(
        Config(),
        {
            "encoder": "resnet10",
            "encoder.width_multiplier": 0.0625,
            "encoder.stem": "small",
            "data.image_size_pixels": 8,
            "global_batch_size": 16,
            "epochs": 3,
        },
    )
    image = flops_per_image(resnet(10, 0.0625, stem="small"), 8)
    points = (Point("linear", "ours", 1),)
    operations = Operations(source)
    pretrained = Run(Cell("a", points), 0, config)
    # 2 whole batches of 16 in 40 images; 2 views; 3 passes forward and backward.
    assert operations.of(pretrained) == 3 * 2 * 16 * 2 * 3 * image
    assert operations.of_step(config) == 16 * 2 * 3 * image
    baselines = Run(Cell("d", points, work="baselines"), 0, config)
    assert operations.of(baselines) == 0.0
    supervised = Run(Cell("b", points, work="supervised"), 0, config)
    assert operations.of(supervised) == 3 * 40 * 3 * image
    few = Run(
        Cell(
            "c",
            points,
            work="few_labels",
            settings={
                "fractions": [0.5, 1.0],
                "epochs": [10, 2],
                "methods": ["scratch", "linear"],
                "pretrain": False,
            },
        ),
        0,
        config,
    )
    assert operations.of(few) == (10 * 20 + 2 * 40) * 3 * image


def test_a_transform_is_told_where_it_shows_and_not_where_it_is_thrown_away():
    inputs = keras.Input((None, None, 3))
    encoder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    head = ProjectionHead(kind="none")
    images = np.tile(np.array([200, 90, 30], np.uint8), (192, 8, 8, 1))
    train, test = (
        ArraySource(name, images, np.zeros(192, int)) for name in ("train", "test")
    )
    percents = transform_accuracies_percent(
        encoder,
        lambda features, training: 0.0 * head(features),
        train,
        test,
        recipe=get_recipe("evaluate"),
        transform="color",
        seed=0,
        image_size_pixels=8,
        epochs=10,
    )
    assert percents["h"] == 100.0  # Channels are equal or not.
    assert percents["z"] == percents["chance"]
    assert 65 < percents["chance"] < 92  # 80 expected.


def test_each_transform_changes_the_images_it_is_asked_to(seed=0):
    images = tf.constant(np.random.default_rng(seed).random((6, 4, 4, 3), np.float32))
    seeds = np.arange(12).reshape(6, 2).astype(np.int32)
    for name, operator in questions().items():
        shares = operator.question.shares
        assert abs(sum(shares) - 1) < 1e-9
        answers = np.arange(6) % len(shares)
        shown = transformed(images, answers, seeds, operator, get_recipe("cifar"))
        changed = np.abs(shown - images).max(axis=(1, 2, 3)) > 1e-4
        np.testing.assert_array_equal(changed, answers > 0, err_msg=name)


def test_the_mlp_learns_what_no_line_divides():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 2)).astype(np.float32)
    labels = (x[:, 0] * x[:, 1] > 0).astype(int)  # Exclusive or.
    accuracy = mlp_accuracy_percent(
        x[:1000], labels[:1000], x[1000:], labels[1000:], 2, seed=0, epochs=8
    )
    assert accuracy > 85


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--study=losses", "--workdir=W"], "--data is required"),
        (["--data=D/colour.npz", "--workdir=W"], "--study is required"),
        (["--study=losses", "--data=D/colour.npz"], "--workdir is required"),
        (
            ["--study=loses", "--data=D/colour.npz", "--workdir=W"],
            "Did you mean losses",
        ),
        (["--study=losses", "--data=x", "--workdir=W", "--budget=smal"], "mean small"),
        (
            ["--study=losses", "--data=x", "--workdir=W", "--shard=3/2"],
            "--shard is i/n",
        ),
        (
            ["--study=losses", "--data=x", "--workdir=W", "--shard=half"],
            "--shard is i/n",
        ),
        (["--study=losses", "--data=x", "--workdir=W", "--seeds=0"], "`seeds` must be"),
        (["--study=losses", "--data=x", "--workdir=W", "--preset=dmeo"], "mean demo"),
        (["--study=losses", "--data=x", "--workdir=W"], "Unknown data set"),
        (
            ["--study=losses", "--data=x", "--workdir=W", "--strategy=multi_worker"],
            "independent runs of one process each",
        ),
        (
            ["--study=batch_and_epochs", "--data=x", "--workdir=W", "--steps=9"],
            "`steps` would override them",
        ),
        (
            ["--study=batch_and_epochs", "--data=x", "--workdir=W", "--minutes=9"],
            "`minutes` would override them",
        ),
        (
            ["--study=colour_strength", "--data=x", "--workdir=W", "--steps=9"],
            "give `epochs` instead",
        ),
        (
            ["--study=losses", "--data=x", "--workdir=W", "--steps=9", "--minutes=1"],
            "`minutes` chooses the length",
        ),
        (
            ["--study=batch_and_epochs", "--data=x", "--workdir=W", "--epochs=16"],
            "varies epochs by itself",
        ),
        (
            ["--study=batch_and_epochs", "--data=x", "--workdir=W", "--batch_size=64"],
            "varies global_batch_size by itself",
        ),
        (["--study=losses", "--data=D/unlabelled.npz", "--workdir=W"], "no labels"),
        (
            ["--study=colour_strength", "--data=D/grey.npz", "--workdir=W"],
            "needs colour images",
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(data, tmp_path, capsys, flags, words):
    flags = [
        flag.replace("=D/", f"=npz:{data}/").replace("=W", f"={tmp_path}/out")
        for flag in flags
    ]
    assert command_line.main(["ablate", *flags]) == 2
    error = capsys.readouterr().err
    assert words in error and error.strip().count("\n") == 0, error
    assert not (tmp_path / "out").exists()


def test_unknown_works_and_transforms_are_refused(tmp_path):
    run = Run(Cell("a", (Point("v", "s", 1),), work="pretrian"), 0, Config())
    with pytest.raises(ConfigError, match="Did you mean pretrain"):
        cell_work.run_cell(run, tmp_path)
    with pytest.raises(ConfigError, match="Unknown `transform`"):
        transform_accuracies_percent(
            None,
            None,
            None,
            None,
            recipe=None,
            transform="colour",
            seed=0,
            image_size_pixels=8,
        )
