"""What the house promises an objective, held to by a toy that has every kind of state.

The toy (`toy_objective.py`) stands in no file of the package. Replicas, skipped steps
and gradient caching: test_every_objective.
"""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.errors import ConfigError
from simclr_tf.export import export_saved_model, saved_model
from simclr_tf.objectives import OBJECTIVES
from simclr_tf.optim import slots_of
from simclr_tf.tools import pretrain as pretrain_tool
from simclr_tf.training import Workdir, load_encoder, load_projection_head
from tests import fresh_process
from tests.objectives import small_models, toy_runs
from tests.objectives.small_models import (
    SIZE,
    a_batch,
    stepper,
    values,
)
from tests.objectives.test_every_objective import AllAtOnce
from tests.objectives.toy_objective import Toy


@pytest.fixture(autouse=True)
def toy_in_the_registry(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "toy", Toy)


def a_model(strategy=None, *, toy=None, **kwargs):
    return small_models.a_model(Toy(**(toy or {"small_views": 1})), strategy, **kwargs)


def test_every_kind_of_state_moves_in_a_step():
    model = a_model()
    objective = model.objective
    before = values(objective.variables)
    step = stepper(model)
    for seed in range(4):
        step(a_batch(seed))
    for old, variable in zip(before, objective.variables, strict=True):
        if "beta" not in variable.name and "bias" not in variable.name:
            assert np.abs(variable.numpy() - old).max() > 0, variable.name
    trained = {id(v) for v in model.trainable_variables}
    assert id(objective.prototypes) in trained
    assert id(objective.predictor.kernel) in trained
    for target in (objective.target_encoder, objective.target_head):
        assert not trained & {id(v) for v in target.variables}


def test_frozen_variables_stay_whatever_momentum_and_decay_do_and_then_move():
    model = a_model(toy={"small_views": 1, "frozen_steps": 2})
    start = tf.math.l2_normalize(model.objective.prototypes, axis=1).numpy()
    (slot,) = slots_of(model.optimizer, [model.objective.prototypes])
    step = stepper(model)
    for seed in range(2):
        step(a_batch(seed))
        np.testing.assert_allclose(model.objective.prototypes, start, atol=1e-6)
        assert not slot.numpy().any()
    step(a_batch(2))
    assert slot.numpy().any()
    assert np.abs(model.objective.prototypes.numpy() - start).max() > 1e-4


def test_an_objective_that_cannot_be_cached_says_why_in_one_line(monkeypatch):
    monkeypatch.setattr(Toy, "micro_batches_refused", "it looks at the pixels")
    with pytest.raises(ConfigError, match="looks at the pixels.*micro_batch_size=2"):
        a_model(micro_batch_size=2)


def test_one_view_trains_and_the_probe_sees_each_label_once():
    model = a_model(toy={"one_view": True})
    figures = stepper(model)(a_batch(0))
    assert np.isfinite(figures["loss"]) and figures["probe_loss"] > 0
    assert len(model.views_of(a_batch(0))) == 1


def test_two_full_and_six_small_views_reach_the_objective():
    model = a_model(toy={"small_views": 6})
    views = model.views_of(a_batch(0))
    assert [view.shape[1] for view in views] == [SIZE] * 2 + [SIZE // 2] * 6
    features, projections, _ = model.forward(views, training=False)
    assert len(features) == len(projections) == 8


def test_what_is_not_known_is_asked_for_in_one_line():
    model = a_model(build=False)
    with pytest.raises(ConfigError, match="needs `num_examples`"):
        model.build_from_shape((SIZE, SIZE, 3))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    script = pathlib.Path(toy_runs.__file__)
    done = fresh_process.run([script, folder], timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_cut_in_mid_epoch_ends_bit_identical(runs):
    folder = runs / "all"
    with np.load(folder / "calm.npz") as calm, np.load(folder / "cut.npz") as cut:
        assert len(calm.files) > 30 and calm.files == cut.files
        for name in calm.files:
            np.testing.assert_array_equal(calm[name], cut[name], err_msg=name)


def test_its_figures_are_in_the_metrics_and_the_summary(runs):
    lines = (runs / "calm" / "metrics.jsonl").read_text().splitlines()
    assert {"toy_loss", "toy_queue_similarity"} < set(json.loads(lines[-1]))
    summary = (runs / "calm" / "SUMMARY.md").read_text()
    assert "| toy loss |" in summary and "contrastive" not in summary


def test_its_options_are_in_the_config_and_others_are_refused(runs):
    options = json.loads((runs / "calm" / "config.json").read_text())["config"]
    assert options["objective"]["queue_length"] == 12
    with pytest.raises(ConfigError, match="toy has no option `temperature`"):
        override(Config(), {"objective": {"name": "toy", "temperature": 0.5}})


def test_its_flags_are_in_the_help(capsys):
    assert pretrain_tool.main(["--help=all"]) in (0, None)
    text = capsys.readouterr().out
    assert "--objective.queue_length" in text and "toy" in text


def test_a_warm_start_reaches_the_averaged_networks_and_exports_have_no_state(
    runs, tmp_path
):
    result = toy_runs.train(
        tmp_path / "warm",
        init_from=runs / "calm",
        init_parts="encoder_and_head",
        steps=1,
        deterministic=False,
        **{"optimizer.base_learning_rate": 1e-9, "objective.decay": 1.0},
    )
    target = result.model.objective.target_encoder.network
    trained = load_encoder(runs / "calm", encoder=toy_runs.small_encoder())
    assert [w.shape for w in trained.weights] == [w.shape for w in target.weights]
    for own, source in zip(
        target.trainable_variables, trained.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(own, source)


def test_init_from_takes_the_encoder_of_a_run_of_another_objective(
    runs, tmp_path, monkeypatch
):
    monkeypatch.setitem(OBJECTIVES, "all", AllAtOnce)
    result = toy_runs.train(
        tmp_path / "warm",
        init_from=runs / "all" / "calm",
        objective="nt_xent",
        steps=1,
        deterministic=False,
        **{"optimizer.base_learning_rate": 1e-9},
    )
    source = load_encoder(runs / "all" / "calm", encoder=toy_runs.small_encoder())
    for own, former in zip(
        result.encoder.trainable_variables, source.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(own, former, atol=1e-6)


def test_an_export_holds_encoder_and_head_alone_whatever_the_objective(
    runs, tmp_path, monkeypatch
):
    monkeypatch.setitem(OBJECTIVES, "all", AllAtOnce)
    # What the export computes is checked in a fresh process by test_export_formats.
    monkeypatch.setattr(saved_model, "check_in_fresh_process", lambda *args: 0.0)
    workdir = runs / "all" / "calm"
    encoder = load_encoder(workdir, encoder=toy_runs.small_encoder())
    head = load_projection_head(Workdir(workdir), encoder)
    export_saved_model(
        encoder, tmp_path / "export", projection_head=head, image_size_pixels=16
    )
    (bundle,) = (tmp_path / "export").rglob("variables.index")
    stored = tf.train.list_variables(str(bundle.with_suffix("")))
    shapes = [tuple(shape) for name, shape in stored if name.endswith("VARIABLE_VALUE")]
    expected = [tuple(v.shape) for v in (*encoder.variables, *head.variables)]
    shapes = [shape for shape in shapes if shape]  # Without a counter of saves.
    assert sorted(shapes) == sorted(expected)


def test_its_memory_and_its_diagnosis_are_shown(tmp_path, caplog):
    lines = []
    toy_runs.pretrain(
        toy_runs.images(),
        encoder=toy_runs.small_encoder(),
        say=lines.append,
        **{**toy_runs.OPTIONS, "deterministic": False, "steps": 6},
    )
    assert "0 MiB of keys in the queue for the objective" in "\n".join(lines)
    assert "The toy has learned nothing at batch 8." in caplog.text
