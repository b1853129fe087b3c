"""Whole runs on 1, 2 and 4 logical devices: the same training, whatever is asked."""

import time

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder, pretrain
from simclr_tf._keras import keras
from simclr_tf.data import open_source
from simclr_tf.distribution import distribute_batches, inputs, make_strategy
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization
from simclr_tf.training.data_wait import WaitMeter
from simclr_tf.training.step_clock import StepClock
from tests.training.callback_lists import after_steps
from tests.training.small_networks import small_encoder

# Real images, augmentation and a probe. A low rate and a high temperature keep ten
# steps of so small a network (4 channels, 16 images) from being chaotic. At rate 0.3
# and temperature 0.2 even one device ends 1e-2 away from itself if its initial weights
# are changed by one part in 2^24; here 3e-6.
RUN = {
    "preset": "demo",
    "steps": 10,
    "global_batch_size": 16,
    "precision": "float32",
    "projection_head": {"out_features": 8, "num_layers": 2, "hidden_features": 16},
    "data.split": "train[:64]",
    "data.image_size_pixels": 16,
    "compile_views": False,
    "optimizer.name": "lars",
    "optimizer.base_learning_rate": 0.03,
    "optimizer.scaling": "linear",
    "optimizer.warmup_steps": 2,
    "objective.temperature": 1.0,
    "augment.recipe": "finetune",  # See faulty_runs; the ResNet gets all operators.
}
RESNET = {
    "encoder": {"name": "resnet10", "width_multiplier": 0.0625, "stem": "small"},
    "augment.recipe": "cifar",
}


def labelled_images():
    """48 pictures, a quarter of them unlabelled: not equally many on each replica."""
    source = open_source("embedded:freedoom_12", split="train[100:148]")
    numbers = np.arange(48)
    return source.read_images(numbers), np.where(numbers % 4, source.labels, -1)


def run(encoder=None, workdir=None, data="embedded:freedoom_12", **options):
    return pretrain(
        data,
        workdir,
        say=lambda line: None,
        encoder=small_encoder() if encoder is None else encoder,
        **{**RUN, **options},
    )


def require_same_training(result, expected, tolerance=1e-5):
    """Figures relative; variables relative to their scale.

    The scale of a gamma or beta is 1: it multiplies, or is added to, values that were
    normalized to variance 1. (Most start at 0, and their own size is only ten updates.)
    The scale of anything else is its largest number.
    """
    for record, other in zip(result.history, expected.history, strict=True):
        for name in (
            "loss",
            "contrastive_loss",
            "probe_loss",
            "gradient_norm",
            "feature_std",
            "contrastive_entropy",
            "contrastive_accuracy",
            "probe_accuracy",
        ):
            np.testing.assert_allclose(
                record[name], other[name], rtol=tolerance, err_msg=name
            )
    for ours, theirs in zip(result.model.weights, expected.model.weights, strict=True):
        error = np.max(np.abs(ours.numpy() - theirs.numpy()))
        is_unit = theirs.name.endswith(("gamma:0", "beta:0"))
        scale = 1.0 if is_unit else np.max(np.abs(theirs.numpy()))
        assert error <= tolerance * scale, ours.name


@pytest.fixture(scope="module")
def small_on_one_device():
    return run()


@pytest.mark.slow  # Every run: test_multi_worker; every step: test_replica_equality.
def test_a_resnet_trains_on_two_replicas_as_on_one():
    result = run(**RESNET, replicas=2)
    assert result.model.distribute_strategy.num_replicas_in_sync == 2
    require_same_training(result, run(**RESNET))


def test_four_replicas_train_as_one_device_does(small_on_one_device):
    result = run(replicas=4)
    assert result.model.distribute_strategy.num_replicas_in_sync == 4
    require_same_training(result, small_on_one_device)


def test_a_users_encoder_is_copied_to_the_replicas(tmp_path, small_on_one_device):
    encoder = small_encoder()
    before = encoder.get_weights()
    result = run(encoder, tmp_path / "run", strategy="mirrored", replicas=2)
    assert result.encoder is not encoder
    assert any(
        isinstance(layer, SynchronizedBatchNormalization)
        for layer in result.encoder.layers
    )
    for ours, then in zip(encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, then)
    require_same_training(result, small_on_one_device)
    x = tf.constant(labelled_images()[0][:4] / np.float32(255))
    np.testing.assert_allclose(
        result.encoder(x), load_encoder(tmp_path / "run", encoder=encoder)(x), rtol=1e-5
    )


class Subclassed(keras.Model):
    """No graph of layers to copy."""

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Conv2D(4, 3)

    def call(self, pictures, training=False):
        return tf.reduce_mean(self.layer(pictures), [1, 2])


def test_an_encoder_that_cannot_be_copied_is_refused():
    encoder = Subclassed()
    encoder(tf.zeros([1, 16, 16, 3]))
    with pytest.raises(ConfigError, match="make_strategy") as error:
        run(encoder, replicas=2)
    assert "\n" not in str(error.value)


def test_a_users_own_strategy_is_used():
    strategy = make_strategy("mirrored", replicas=2)
    with strategy.scope():
        encoder = Subclassed()
        encoder(tf.zeros([1, 16, 16, 3]))
        result = run(encoder, steps=2)
    assert result.model.distribute_strategy is strategy
    assert np.isfinite(result.metrics["loss"])


def test_a_separate_probe_set_is_shared_by_the_replicas(tmp_path):
    images, labels = labelled_images()
    np.savez(tmp_path / "probe.npz", x_train=images, y_train=labels)
    options = {
        "probe.data": f"npz:{tmp_path}/probe.npz",
        "probe.batch_size": 12,
        "data.image_size_pixels": 32,
    }
    require_same_training(run(replicas=2, **options), run(**options))


@pytest.mark.slow  # In every suite, with fit: test_simclr_over_replicas.
def test_replicas_with_different_numbers_of_labels_train_the_probe_as_one_does():
    data = labelled_images()
    require_same_training(run(data=data, replicas=2), run(data=data))


def test_views_compiled_by_xla_are_made_on_every_replica(small_on_one_device):
    result = run(replicas=2, compile_views=True)
    # XLA fuses: it rounds elsewhere.
    require_same_training(result, small_on_one_device, tolerance=1e-4)


def test_a_batch_that_the_replicas_cannot_share_leaves_nothing_behind(tmp_path):
    with pytest.raises(ConfigError, match="Use 12 or 15"):
        run(workdir=tmp_path / "run", replicas=3, global_batch_size=14)
    assert not (tmp_path / "run").exists()


def test_batches_that_are_copied_ahead_to_a_device_train_alike(
    monkeypatch, small_on_one_device
):
    *_, device = tf.config.list_logical_devices("CPU")
    monkeypatch.setattr(inputs, "_gpus", lambda: [device])
    result = run()
    require_same_training(result, small_on_one_device)


def waits(strategy, data_seconds, step_seconds, *, steps=6):
    """Measured seconds of waiting for batches that are requested ahead."""

    def slowly(number):
        time.sleep(data_seconds)
        return np.zeros(4, np.int64)

    def batches(worker, workers):
        dataset = tf.data.Dataset.range(steps).map(
            lambda n: {
                "rows": tf.ensure_shape(tf.numpy_function(slowly, [n], tf.int64), [4])
            }
        )
        return meter.measure(dataset)

    clock = StepClock(steps, steps)
    meter = WaitMeter(clock)
    iterator = iter(distribute_batches(strategy, batches))
    for step in range(steps):
        meter.on_train_batch_begin(step)
        next(iterator)
        time.sleep(step_seconds)
        after_steps(step, {}, clock, meter)
    return meter.seconds


@pytest.mark.parametrize("where", ["replicas", "gpu"])
def test_waiting_for_slow_data_is_measured_and_work_beside_it_is_not(
    where, monkeypatch
):
    strategy = make_strategy("mirrored", replicas=2)
    if where == "gpu":
        *_, device = tf.config.list_logical_devices("CPU")
        monkeypatch.setattr(inputs, "_gpus", lambda: [device])
        strategy = make_strategy("one_device")
    # 6 steps wait 0.2 s each for their images; a longer step hides all but the first.
    assert waits(strategy, data_seconds=0.2, step_seconds=0.0) > 0.8
    assert waits(strategy, data_seconds=0.05, step_seconds=0.25) < 0.2
