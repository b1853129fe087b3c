"""A run with an averaging wrapper leaves the averaged encoder behind."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import load_encoder, pretrain
from simclr_tf._keras import keras
from simclr_tf.optim import LARS, wrap_optimizer
from simclr_tf.optim.wrappers import WRAPPERS
from simclr_tf.training.averaging import batches_to_forget, measure_statistics
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.warm_start import warm_start
from tests.training import warm_models

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3)).astype("uint8")
OPTIONS = {
    "epochs": 4,
    "global_batch_size": 8,
    "precision": "float32",
    "encoder.batch_norm_momentum": 0.5,
    "projection_head": {"out_features": 8, "num_layers": 2},
    "data.image_size_pixels": 16,
    "optimizer.warmup_epochs": 1,
    "optimizer.name": "lars",
    "optimizer.scaling": "none",
    "optimizer.base_learning_rate": 2.0,
    "optimizer.swa_start_fraction": 0.5,
    "optimizer.swa_period_steps": 2,
    "optimizer.average_decay": 0.7,
    "compile_views": False,
    "checkpoint.every_epochs": 1,
    "augment.recipe": "finetune",  # See tests/training/faulty_runs.py.
}


def small_encoder():
    """Traced in a fraction of a ResNet's time; batch norm and all."""
    pictures = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(
        6,
        3,
        2,
        use_bias=False,
        kernel_initializer=keras.initializers.GlorotUniform(seed=0),
    )(pictures)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(x))


class Trace(keras.callbacks.Callback):
    """The weights, and the first moving mean, after each step."""

    def __init__(self):
        super().__init__()
        self.history, self.means = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(self.model.encoder.layers[2].moving_mean.numpy())
        self.history.append([w.numpy() for w in self.model.trainable_variables])


def run(workdir, **options):
    trace = Trace()
    result = pretrain(
        IMAGES,
        workdir,
        say=lambda line: None,
        callbacks=[trace],
        encoder=small_encoder(),
        **{**OPTIONS, **options},
    )
    return result, trace.history


def mean_of(history, steps):
    return [
        np.mean([history[k][i] for k in steps], axis=0) for i in range(len(history[0]))
    ]


def test_the_encoder_of_swa_is_the_mean_of_the_last_snapshots(tmp_path):
    result, history = run(tmp_path / "run", **{"optimizer.wrapper": "swa"})
    assert len(history) == 12
    # From half of the 12 steps on, every second: after steps 7, 9 and 11.
    expected = mean_of(history, [6, 8, 10])
    for weight, average in zip(result.model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(weight, average, rtol=1e-5, atol=1e-6)
    moved = [np.abs(a - b).max() for a, b in zip(expected, history[-1], strict=True)]
    assert max(moved) > 1e-3
    pictures = IMAGES[:4] / np.float32(255)
    np.testing.assert_array_equal(
        load_encoder(tmp_path / "run", encoder=small_encoder())(pictures),
        result.encoder(pictures),
    )


def test_batch_norm_is_measured_again_under_the_averages():
    def gap(result):
        """Between the moving means and the means over all images, in the first BN."""
        norm = result.encoder.layers[2]
        inputs = keras.Model(result.encoder.input, norm.input)
        means = tf.reduce_mean(inputs(IMAGES / np.float32(255)), axis=[0, 1, 2])
        return np.linalg.norm(means - norm.moving_mean) / np.linalg.norm(means)

    trace = Trace()
    measured = pretrain(
        IMAGES,
        say=lambda line: None,
        callbacks=[trace],
        encoder=small_encoder(),
        **{**OPTIONS, "optimizer.wrapper": "swa"},
    )
    norm = measured.encoder.layers[2]
    # The run did it after its last step ...
    assert np.abs(norm.moving_mean - trace.means[-1]).max() > 1e-4
    # ... and this is what it did.
    norm.moving_mean.assign_add(tf.ones_like(norm.moving_mean))
    assert gap(measured) > 1
    # 14 batches at momentum 0.5 leave nothing of that.
    assert batches_to_forget(0.5) == 14
    batches = tf.data.Dataset.from_tensors(
        {"view_a": IMAGES / np.float32(255), "view_b": IMAGES / np.float32(255)}
    )
    measure_statistics(measured.model, batches.repeat(), 14)
    assert gap(measured) < 1e-3


def test_lookahead_leaves_the_fast_weights(tmp_path):
    result, history = run(None, **{"optimizer.wrapper": "lookahead"})
    for weight, last in zip(result.model.trainable_variables, history[-1], strict=True):
        np.testing.assert_array_equal(weight, last)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("replicas", [1, 2])
def test_copies_of_the_weights_follow_a_warm_start(wrapper, replicas, tmp_path):
    source = warm_models.a_workdir(tmp_path, warm_models.a_model(seed=5))
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    devices = [f"CPU:{i}" for i in range(replicas)]
    with tf.distribute.MirroredStrategy(devices).scope():
        model = warm_models.a_model(trained=False)
        optimizer = wrap_optimizer(wrapper, LARS(0.1))
        optimizer.build(model.trainable_variables)
        model.compile(optimizer=optimizer)
    warm_start(model, source)
    for weight, copy in zip(model.trainable_variables, optimizer.copies, strict=True):
        np.testing.assert_array_equal(weight, copy, err_msg=weight.name)


@pytest.mark.parametrize(
    "wrapper, micro_batch_size",
    [
        # A checkpoint of each of them continues, in every suite: test_wrappers.
        pytest.param("swa", None, marks=pytest.mark.slow),
        ("moving_average", 4),
        pytest.param("lookahead", None, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_ends_as_the_calm_one(wrapper, micro_batch_size, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    options = {"optimizer.wrapper": wrapper, "micro_batch_size": micro_batch_size}
    calm, _ = run(None, **options)
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            IMAGES,
            tmp_path,
            say=lambda line: None,
            callbacks=[Stop()],
            encoder=small_encoder(),
            **{**OPTIONS, **options},
        )
    assert CheckpointStore(tmp_path / "checkpoints").latest().step == 9
    resumed, history = run(tmp_path, **options)
    assert len(history) == 3
    for weight, other in zip(resumed.model.weights, calm.model.weights, strict=True):
        np.testing.assert_allclose(
            weight, other, rtol=1e-5, atol=1e-6, err_msg=weight.name
        )
