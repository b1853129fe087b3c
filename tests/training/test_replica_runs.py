"""Whole runs on 1, 2 and 4 logical devices: the same training, whatever is asked."""

import time

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder, pretrain
from simclr_tf._keras import keras
from simclr_tf.distribution import distribute_batches, make_strategy
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization
from simclr_tf.training.data_wait import WaitMeter

RUN = {
    "preset": "demo", "steps": 10, "global_batch_size": 16, "precision": "float32",
    "projection_head": {"out_features": 8, "num_layers": 2, "hidden_features": 16},
    "data.image_size_pixels": 16, "compile_views": False, "optimizer.name": "lars",
    "optimizer.base_learning_rate": 0.3, "optimizer.warmup_steps": 2,
}
RESNET = {"depth": 18, "width_multiplier": 0.0625, "stem": "small"}


def labelled_images(number=64, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (number, 16, 16, 3)).astype("uint8")
    return images, np.arange(number) % 4 - 1  # A quarter is unlabelled.


def small_encoder():
    """Traced in a fraction of a ResNet's time; batch norm and all."""
    pictures = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(
        6, 3, 2, use_bias=False,
        kernel_initializer=keras.initializers.GlorotUniform(seed=0))(pictures)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(x))


def run(encoder=None, workdir=None, **options):
    return pretrain(labelled_images(), workdir, say=lambda line: None,
                    encoder=small_encoder() if encoder is None else encoder,
                    **{**RUN, **options})


def require_same_training(result, expected, tolerance=1e-5):
    """Losses, and every variable relative to its largest value."""
    for record, other in zip(result.history, expected.history, strict=True):
        for name in ("loss", "contrastive_loss", "probe_loss", "gradient_norm",
                     "feature_std", "contrastive_entropy"):
            np.testing.assert_allclose(
                record[name], other[name], rtol=tolerance, err_msg=name)
        for name in ("contrastive_accuracy", "probe_accuracy"):
            np.testing.assert_allclose(record[name], other[name], rtol=1e-6)
    for ours, theirs in zip(result.model.weights, expected.model.weights, strict=True):
        error = np.max(np.abs(ours.numpy() - theirs.numpy()))
        assert error <= tolerance * np.max(np.abs(theirs.numpy())), ours.name


@pytest.fixture(scope="module")
def resnet_on_one_device():
    return run(RESNET)


@pytest.mark.parametrize("replicas", [2, 4])
def test_a_resnet_trains_on_several_replicas_as_on_one(resnet_on_one_device, replicas):
    result = run(RESNET, replicas=replicas)
    assert result.model.distribute_strategy.num_replicas_in_sync == replicas
    require_same_training(result, resnet_on_one_device)


def test_a_users_encoder_is_copied_to_the_replicas(tmp_path):
    encoder = small_encoder()
    before = encoder.get_weights()
    result = run(encoder, tmp_path / "run", strategy="mirrored", replicas=2)
    assert result.encoder is not encoder
    assert any(isinstance(layer, SynchronizedBatchNormalization)
               for layer in result.encoder.layers)
    for ours, then in zip(encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, then)
    require_same_training(result, run(small_encoder()))
    x = tf.constant(labelled_images(4)[0] / np.float32(255))
    np.testing.assert_allclose(
        result.encoder(x), load_encoder(tmp_path / "run", encoder=encoder)(x),
        rtol=1e-5)


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
    images, labels = labelled_images(24, seed=5)
    np.savez(tmp_path / "probe.npz", x_train=images, y_train=labels % 3)
    options = {"probe.data": f"npz:{tmp_path}/probe.npz", "probe.batch_size": 12}
    require_same_training(run(replicas=2, **options), run(**options))


def test_views_compiled_by_xla_are_made_on_every_replica():
    losses = [run(replicas=2, steps=2, compile_views=compiled).metrics["loss"]
              for compiled in (True, False)]
    np.testing.assert_allclose(*losses, rtol=1e-4)  # XLA fuses: it rounds elsewhere.


def test_a_batch_that_the_replicas_cannot_share_leaves_nothing_behind(tmp_path):
    with pytest.raises(ConfigError, match="Use 12 or 15"):
        run(workdir=tmp_path / "run", replicas=3, global_batch_size=14)
    assert not (tmp_path / "run").exists()


def waits(data_seconds, step_seconds, *, steps=6):
    """Measured seconds of waiting for two replicas' batches."""
    def slowly(number):
        time.sleep(data_seconds)
        return np.zeros(4, np.int64)

    def batches(worker, workers):
        dataset = tf.data.Dataset.range(steps).map(lambda n: {"rows": tf.ensure_shape(
            tf.numpy_function(slowly, [n], tf.int64), [4])})
        return meter.measure(dataset)

    meter = WaitMeter(ahead=True)
    iterator = iter(distribute_batches(make_strategy("mirrored", replicas=2), batches))
    for step in range(steps):
        meter.on_train_batch_begin(step)
        next(iterator)
        time.sleep(step_seconds)
        meter.on_train_batch_end(step)
    return meter.seconds


def test_waiting_for_slow_data_is_measured_and_work_beside_it_is_not():
    # 6 steps wait 0.2 s each for their images; a longer step hides all but the first.
    assert waits(data_seconds=0.2, step_seconds=0.0) > 0.8
    assert waits(data_seconds=0.05, step_seconds=0.25) < 0.2
