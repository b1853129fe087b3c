"""--jit_compile: the whole step as one program of XLA, where that is possible."""

import json

import numpy as np
import pytest
import tensorflow as tf

import simclr_tf
from simclr_tf.errors import ConfigError
from simclr_tf.training import compilation, stages
from simclr_tf.training.compilation import choose_compilation
from simclr_tf.training.workdir import Workdir
from tests.training.small_networks import small_encoder

ONE_DEVICE = tf.distribute.get_strategy()
OPTIONS = {
    "epochs": 2,
    "global_batch_size": 8,
    "data.image_size_pixels": 8,
    "compile_views": False,
    "checkpoint.every_steps": 1,
    # Little for XLA to compile.
    "augment.recipe": "finetune",
    "optimizer": "sgd",
    "optimizer.base_learning_rate": 0.1,
    "probe.online": False,
}


def train(workdir=None, say=lambda line: None, **options):
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), "uint8")
    return simclr_tf.pretrain(
        images, workdir, encoder=small_encoder(), say=say, **{**OPTIONS, **options}
    )


def stop_after(steps):
    from simclr_tf._keras import keras

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch + 1 == steps:
                raise KeyboardInterrupt

    return Stop()


def test_a_compiled_run_learns_the_same_and_continues_bit_for_bit(tmp_path):
    lines = []
    whole = train(tmp_path / "whole", lines.append, jit_compile=True)
    assert "Compiled    true: as requested (--jit_compile=true)" in lines
    assert "Each step compiled by XLA" in (tmp_path / "whole/SUMMARY.md").read_text()
    plain = train()
    assert whole.metrics["loss"] == pytest.approx(plain.metrics["loss"], rel=1e-4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", jit_compile="true", callbacks=[stop_after(1)])
    cut = train(tmp_path / "cut")  # auto: as it began.
    assert cut.config.jit_compile == "true"
    for one, other in zip(
        whole.model.get_weights(), cut.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_on_a_gpu_both_ways_are_timed_and_the_faster_one_is_kept(tmp_path, monkeypatch):
    """The trials are real, and their times made up: there is no GPU here."""
    measure, tried = stages.PretrainingRun.speed, []

    def speed(run):
        found = measure(run)
        tried.append(run.config.jit_compile)
        found.step_seconds = {"false": 0.2, "true": 0.1}[tried[-1]]
        return found

    monkeypatch.setattr(stages.PretrainingRun, "speed", speed)
    monkeypatch.setattr(compilation, "on_gpu", lambda: True)
    lines = []
    result = train(tmp_path, lines.append, steps=1)
    assert tried == ["false", "true"] and result.config.jit_compile == "true"
    measured = "measured 100 ms a step compiled, 200 ms in its parts"
    assert any(measured in line for line in lines)
    record = json.loads((tmp_path / "config.json").read_text())["jit_compile"]
    assert record["asked"] == "auto" and record["chosen"] == "true"
    assert Workdir(tmp_path).config().jit_compile == "true"
    again = train(tmp_path, steps=1)
    assert len(tried) == 2 and again.config.jit_compile == "true"


def test_a_step_that_is_slower_compiled_is_run_in_its_parts():
    choice = compilation._faster({"false": 0.2, "true": 0.3}.get)
    assert choice.name == "false" and "300 ms a step compiled" in choice.reason


def test_a_step_that_xla_cannot_compile_is_run_in_its_parts():
    def step_seconds(name):
        if name == "true":
            raise tf.errors.InvalidArgumentError(None, None, "No kernel\nfor it")
        return 0.1

    choice = compilation._faster(step_seconds)
    assert choice.name == "false" and choice.reason.endswith("step: No kernel")


def test_what_a_device_cannot_do_is_refused_and_what_began_is_kept():
    replicas = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with pytest.raises(ConfigError, match="one device.*replicas=2"):
        choose_compilation("true", replicas)
    assert choose_compilation("auto", replicas).is_usual
    assert choose_compilation("auto", ONE_DEVICE).is_usual
    assert choose_compilation("auto", ONE_DEVICE, "true").name == "true"
    assert choose_compilation("false", ONE_DEVICE, "true").name == "false"
