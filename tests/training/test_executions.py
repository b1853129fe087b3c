"""Several steps an execution: the same run, counted rightly by all who count."""

import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import pretrain
from simclr_tf._keras import keras
from simclr_tf.config import Config
from simclr_tf.config.schema import override
from simclr_tf.config.training_sections import PerformanceConfig
from simclr_tf.errors import ConfigError, Interrupted, NonFiniteError
from simclr_tf.training import cost_report
from simclr_tf.training.batches import Batches, open_training_source
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.data_wait import WaitMeter
from simclr_tf.training.health import HealthCheck
from simclr_tf.training.records import read_metrics
from simclr_tf.training.run import set_threads
from simclr_tf.training.saving import SaveCheckpoints
from simclr_tf.training.step_clock import StepClock
from tests.training.callback_lists import after_steps

EPOCH_STEPS = 7


class Watch(keras.callbacks.Callback):
    """Which steps the host saw; sends SIGTERM in the execution that begins with one."""

    def __init__(self, signal_at=None):
        super().__init__()
        self.steps, self.signal_at = [], signal_at

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(int(self.model.optimizer.iterations))


def run(workdir, steps_per_execution, watch=None, **options):
    """Two epochs of 7 steps, checkpoints every 4."""
    pictures = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(
        4, 3, 2, kernel_initializer=keras.initializers.GlorotUniform(seed=0)
    )(pictures)
    images = np.random.default_rng(0).integers(0, 256, (28, 16, 16, 3), "uint8")
    watch = watch or Watch()
    result = pretrain(
        images,
        workdir,
        encoder=keras.Model(pictures, x),
        callbacks=[watch],
        epochs=2,
        global_batch_size=4,
        compile_views=False,
        precision="float32",
        projection_head={"out_features": 8, "num_layers": 1},
        say=lambda line: None,
        **{
            "data.image_size_pixels": 16,
            "augment.recipe": "finetune",
            "checkpoint.every_steps": 4,
            "checkpoint.every_epochs": 1,
            "checkpoint.keep": 9,
            "optimizer.warmup_epochs": 1,
            "performance.steps_per_execution": steps_per_execution,
            **options,
        },
    )
    return result, watch.steps


def saved_steps(workdir):
    return [
        int(path.name[5:]) for path in CheckpointStore(workdir / "checkpoints").paths()
    ]


def test_a_run_of_several_steps_an_execution_is_saved_at_their_ends_and_ends_the_same(
    tmp_path,
):
    calm, seen = run(tmp_path / "calm", None)
    assert seen == list(range(1, 15))
    assert saved_steps(calm.workdir) == [4, 7, 8, 12, 14]
    watch = Watch(signal_at=7)  # When the execution of steps 8 to 10 begins.
    with pytest.raises(Interrupted, match="step 10"):
        run(tmp_path / "cut", 3, watch)
    assert watch.steps == [3, 6, 7, 10]
    # Step 4 is due in the execution that ends with 6, step 8 in that of 10.
    assert saved_steps(tmp_path / "cut") == [6, 7, 10]
    resumed, seen = run(tmp_path / "cut", 2)  # As many as one likes from here on.
    assert seen == [12, 14]
    assert [r["step"] for r in read_metrics(tmp_path / "cut/metrics.jsonl")] == [7, 14]
    for a, b in zip(resumed.model.weights, calm.model.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(resumed.history, calm.history, strict=True):
        assert (a["step"], a["epoch"]) == (b["step"], b["epoch"])
        for name in ("loss", "contrastive_accuracy", "gradient_norm", "learning_rate"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)


@pytest.mark.slow  # Each of the two has its tests in every suite.
def test_micro_batches_are_the_same_within_an_execution():
    alone, _ = run(None, None, micro_batch_size=2)
    several, seen = run(None, 3, micro_batch_size=2)
    assert seen == [3, 6, 7, 10, 13, 14]
    for a, b in zip(several.model.weights, alone.model.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [3, 10])
def test_steps_are_counted_as_keras_reports_them(steps):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse", steps_per_execution=steps)
    clock = StepClock(2 * EPOCH_STEPS, EPOCH_STEPS, steps_per_execution=steps)
    data = tf.data.Dataset.from_tensors((tf.zeros([1, 1]), tf.zeros([1, 1]))).repeat()
    model.fit(data, epochs=2, steps_per_epoch=EPOCH_STEPS, callbacks=[clock], verbose=0)
    assert clock.step == 2 * EPOCH_STEPS == int(model.optimizer.iterations)
    assert clock.is_run_end


def test_a_bad_step_within_an_execution_is_placed_between_its_ends():
    clock = StepClock(100, 50, start_step=40, steps_per_execution=4)
    callback = HealthCheck(clock, global_batch_size=4, ids_of_batch=lambda k: [k])
    after_steps(3, {"loss": 1.0}, clock, callback)
    with pytest.raises(NonFiniteError) as error:
        after_steps(7, {"loss": float("nan")}, clock, callback)
    message = str(error.value)
    assert "at one of the steps 45 to 48" in message
    assert "--performance.steps_per_execution=1" in message
    assert "held the examples" not in message  # It is not known whose batch it was.


def test_a_checkpoint_due_at_the_end_of_an_epoch_is_saved_with_its_figures():
    saved = []

    class Store:
        def save(self, step, **_):
            saved.append(step)

    clock = StepClock(total_steps=14, epoch_steps=7, steps_per_execution=4)
    callback = SaveCheckpoints(Store(), clock, every_epochs=99, every_steps=7)
    callback.set_model(keras.Sequential([keras.Input([1]), keras.layers.Flatten()]))
    after_steps(3, {}, clock, callback)
    after_steps(6, {}, clock, callback)
    assert saved == []
    callback.on_epoch_end(0)
    assert saved == [7]
    for batch in (3, 6):
        after_steps(batch, {}, clock, callback)
    callback.on_epoch_end(1)
    assert saved == [7, 14]


def test_the_time_of_a_step_is_that_of_an_execution_divided(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(cost_report.time, "perf_counter", lambda: seconds[0])
    said = []
    clock = StepClock(total_steps=118, epoch_steps=118, steps_per_execution=9)
    callback = cost_report.EstimatedTime(clock, say=said.append)
    for execution in range(4):
        seconds[0] += 27.0 if execution else 500.0
        after_steps(9 * execution + 8, {}, clock, callback)
    assert said == ["Time        3.000 s a step, about 5.0 minutes left"]


def test_the_wait_of_an_execution_is_at_least_that_of_its_first_step():
    clock = StepClock(total_steps=4, epoch_steps=4, steps_per_execution=2)
    meter = WaitMeter(clock)
    meter._step_began = 10.0
    meter._arrivals.extend([(9.0, 13.0), (13.0, 18.0), (18.0, 19.0)])
    after_steps(1, {}, clock, meter)
    assert meter.seconds == 3.0 and len(meter._arrivals) == 1


def test_threads_and_batches_ahead_change_no_batch():
    base = override(Config(), {"global_batch_size": 4, "data.image_size_pixels": 8})
    source = open_training_source(
        base, np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), "uint8")
    )
    plain, other = (
        list(
            Batches(override(base, {"performance": options}), source, "cifar")
            .between(0, 3)
            .as_numpy_iterator()
        )
        for options in ({}, {"data_threads": 2, "prefetch_batches": 5})
    )
    assert len(plain) == 3
    for a, b in zip(plain, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_threads_are_refused_once_tensorflow_has_begun():
    tf.zeros([])
    with pytest.raises(ConfigError, match="before TensorFlow is used") as error:
        set_threads(PerformanceConfig(intra_op_threads=3))
    assert "\n" not in str(error.value)
    set_threads(PerformanceConfig())
    with pytest.raises(ConfigError, match="`inter_op_threads` must be > 0"):
        PerformanceConfig(inter_op_threads=0)
