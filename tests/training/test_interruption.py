"""The first signal saves and ends the run; the second ends the process."""

import json
import os
import signal
import threading

import numpy as np
import pytest

from simclr_tf import pretrain
from simclr_tf._keras import keras
from simclr_tf.errors import Interrupted
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.interruption import SIGNALS, Interruption
from simclr_tf.training.records import read_metrics


@pytest.fixture(autouse=True)
def usual_handlers():
    """Those of a program in the foreground: a shell's `&` would ignore SIGINT."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Actor(keras.callbacks.Callback):
    """Does something at the begin of a step; takes note of the epochs it saw end."""

    def __init__(self, step, act):
        super().__init__()
        self.step, self.act, self.epochs_seen = step, act, []

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) + 1 == self.step:
            self.act()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs_seen.append(epoch)


def train(workdir, actor):
    """A run of 2 epochs of 3 steps; nothing but the end is saved by itself."""
    pictures = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2)(pictures)
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), "uint8")
    return pretrain(
        images,
        workdir,
        encoder=keras.Model(pictures, x),
        callbacks=[actor],
        say=lambda line: None,
        epochs=2,
        global_batch_size=8,
        compile_views=False,
        projection_head={"out_features": 8, "num_layers": 1},
        precision="float32",
        **{
            "data.image_size_pixels": 16,
            "checkpoint.every_epochs": 2,
            "augment.recipe": "finetune",
        },
    )  # See faulty_runs.


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_at_the_next_step_and_says_where(tmp_path, number, code):
    before = [signal.getsignal(n) for n in SIGNALS]
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tmp_path, Actor(2, send(number)))
    assert stopped.value.exit_code == code
    latest = CheckpointStore(tmp_path / "checkpoints").latest()
    assert latest.step == 2
    words = str(stopped.value)
    assert number.name in words and "step 2" in words and str(latest.path) in words
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_in_the_last_step_of_an_epoch_its_figures_are_written_before(tmp_path):
    actor = Actor(3, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        train(tmp_path, actor)
    assert CheckpointStore(tmp_path / "checkpoints").latest().step == 3
    assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")] == [3]
    assert actor.epochs_seen == [0]


def test_after_the_first_signal_the_second_is_the_systems_own():
    with pytest.raises(Interrupted), Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.is_requested
        assert {signal.getsignal(n) for n in SIGNALS} == {signal.SIG_DFL}


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interruption.is_requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_without_a_workdir_signals_are_left_alone():
    before = [signal.getsignal(n) for n in SIGNALS]
    seen = []
    train(None, Actor(2, lambda: seen.extend(signal.getsignal(n) for n in SIGNALS)))
    assert seen == before


def test_training_in_another_thread_works_and_leaves_signals_alone(tmp_path):
    before = [signal.getsignal(n) for n in SIGNALS]
    seen, results = [], []
    actor = Actor(2, lambda: seen.extend(signal.getsignal(n) for n in SIGNALS))
    thread = threading.Thread(target=lambda: results.append(train(tmp_path, actor)))
    thread.start()
    thread.join()
    assert results[0].metrics["step"] == 6 and seen == before


def test_the_manifest_says_what_the_run_was(tmp_path):
    train(tmp_path, Actor(0, None))
    path = CheckpointStore(tmp_path / "checkpoints").latest().path
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["config"]["global_batch_size"] == 8
    assert {"tensorflow", "keras", "numpy", "python"} <= set(manifest["versions"])
    assert manifest["data"]["num_examples"] == 24 and manifest["data"]["fingerprint"]
    assert len(manifest["config_hash"]) == 64 and manifest["replicas"] == 1
    assert manifest["metrics"]["loss"][1] == 3  # Steps of the last epoch.
    assert all(
        len(f["sha256"]) == 64 and f["bytes"] > 0 for f in manifest["files"].values()
    )
