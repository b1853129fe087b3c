"""The parts of a run, back from its checkpoint one by one."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder
from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override
from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.export import plain_copy
from simclr_tf.models import with_endpoints
from simclr_tf.models.resnet import ENDPOINTS
from simclr_tf.training import (
    CheckpointStore,
    Workdir,
    load_probe,
    load_projection_head,
)
from simclr_tf.training.assembly import build_model
from simclr_tf.training.path_contents import inspect_path
from simclr_tf.training.run import _start as starting_point
from simclr_tf.training.workdir import CHECKPOINTS

DATA = {"channels": 3, "num_examples": 9, "fingerprint": "none"}


def finished_run(folder, num_classes):
    """A workdir as training leaves it, and the model that it was saved from."""
    config = override(
        get_preset("demo"),
        {
            "encoder.width_multiplier": 0.0625,
            "encoder.stem": "small",
            "data.image_size_pixels": 16,
            "compile_views": False,
            "precision": "bfloat16",
        },
    )
    model = build_model(config, (16, 16, 3), num_classes=num_classes)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.dtype.is_floating:
            variable.assign(rng.uniform(0.1, 0.5, variable.shape))
    workdir = Workdir(folder)
    workdir.claim(config, DATA, "a test")
    CheckpointStore(folder / CHECKPOINTS).save(1, model=model)
    return workdir, model


def test_the_devices_that_a_run_goes_on_on_are_kept_if_its_first_are_known(tmp_path):
    for began, kept in (({"devices": ["A"]}, ["A", "B"]), ({}, None)):
        workdir = Workdir(tmp_path / str(len(began)))
        workdir.claim(get_preset("demo"), DATA, "a test", choices=began)
        for devices in ("A", "B", "B"):
            workdir.note_devices(devices)
        assert workdir.read().get("devices") == kept


def test_head_and_probe_are_those_of_the_checkpoint(tmp_path):
    workdir, model = finished_run(tmp_path, num_classes=3)
    encoder = load_encoder(tmp_path)
    features = tf.random.stateless_normal([4, encoder.output_shape[-1]], [0, 1])
    head = load_projection_head(workdir, encoder)
    for part, trained in (
        (head, model.projection_head),
        (load_probe(workdir, encoder), model.probe),
    ):
        for new, old in zip(part.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)
        # The run computed in bfloat16; what is loaded computes in float32.
        assert part(features).dtype == tf.float32
    assert {layer.compute_dtype for layer in head.dense_layers} == {"float32"}


def test_encoder_of_a_run_gives_its_endpoints_by_name(tmp_path):
    _, model = finished_run(tmp_path, num_classes=None)
    images = np.random.default_rng(1).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    found = load_encoder(tmp_path, endpoints=True)(images)
    assert tuple(found) == ENDPOINTS
    expected = with_endpoints(plain_copy(model.encoder))(images)
    for name in ENDPOINTS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    np.testing.assert_array_equal(
        found["final_avg_pool"], load_encoder(tmp_path)(images)
    )


def test_each_checkpoint_of_a_run_gives_the_encoder_of_its_step(tmp_path):
    workdir, model = finished_run(tmp_path, num_classes=None)
    images = np.random.default_rng(1).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    first = load_encoder(tmp_path)(images)
    model.encoder.variables[0].assign_add(tf.ones_like(model.encoder.variables[0]))
    store = CheckpointStore(tmp_path / CHECKPOINTS)
    store.save(2, model=model)
    newest = load_encoder(tmp_path)(images)
    assert np.abs(newest - first).max() > 0
    np.testing.assert_array_equal(load_encoder(store.path_of(1))(images), first)
    np.testing.assert_array_equal(load_encoder(store.folder)(images), newest)
    place = inspect_path(store.path_of(1))
    assert place.config() == workdir.config() and not place.is_run
    assert inspect_path(tmp_path).is_run
    (tmp_path / "config.json").unlink()
    with pytest.raises(WorkdirError, match="Give the workdir of the run"):
        load_encoder(store.path_of(1))


def test_a_run_whose_name_is_like_that_of_a_checkpoint_is_opened_as_a_run(tmp_path):
    run = tmp_path / "step-1"
    _, model = finished_run(run, num_classes=None)
    for path in (run, run / CHECKPOINTS, run / CHECKPOINTS / "step-00000001"):
        loaded = load_encoder(path).get_weights()
        for new, old in zip(loaded, model.encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)
    assert inspect_path(run).is_run
    (run / CHECKPOINTS / "step-00000001" / "manifest.json").unlink()
    with pytest.raises(WorkdirError, match="is damaged .manifest.json is missing"):
        load_encoder(run / CHECKPOINTS / "step-00000001")


def test_run_without_labels_has_no_probe_and_says_so(tmp_path):
    workdir, _ = finished_run(tmp_path, num_classes=None)
    with pytest.raises(WorkdirError, match="has no online probe"):
        load_probe(workdir, load_encoder(tmp_path))


def test_workdir_without_a_checkpoint_has_no_parts(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.claim(get_preset("demo"), DATA, "a test")
    for load in (load_probe, load_projection_head):
        with pytest.raises(WorkdirError, match="no complete checkpoint yet"):
            load(workdir, None)


def test_a_run_from_python_keeps_the_options_that_it_began_with(tmp_path):
    images = np.zeros([4, 48, 48, 3], np.uint8)
    chosen, line = starting_point(images, tmp_path, None, {})
    assert (chosen.preset, chosen.data.image_size_pixels) == ("photos_small", 48)
    assert "Preset      photos_small" in line
    Workdir(tmp_path).claim(override(chosen, {"epochs": 3}), DATA, "a test")
    larger = np.zeros([4, 96, 96, 3], np.uint8)
    assert starting_point(larger, tmp_path, None, {}) == (
        override(chosen, {"epochs": 3}),
        None,
    )
    assert starting_point(larger, tmp_path, "demo", {}) == (get_preset("demo"), None)


def test_a_run_from_python_needs_its_images_again(tmp_path):
    config = override(get_preset("demo"), {"data.source": "python:ndarray"})
    Workdir(tmp_path).claim(config, DATA, "a test")
    with pytest.raises(ConfigError, match="give the same ones again"):
        starting_point(None, tmp_path, None, {})


def test_a_run_of_another_version_of_a_preset_goes_on(tmp_path):
    former = override(get_preset("photos_small"), {"encoder": {"name": "resnet18"}})
    images = np.zeros([4, 32, 32, 3], np.uint8)
    own = override(former, {"data.source": "python:ndarray"})
    Workdir(tmp_path).claim(own, DATA, "a test")
    assert starting_point(images, tmp_path, None, {}) == (own, None)
