"""LARS where Keras puts it: graphs, XLA, bfloat16, replicas, files, `fit`."""

import json

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.optim import LARS, WarmupCosine, apply_exclusions

SETTINGS = {"momentum": 0.8, "weight_decay": 0.3, "trust_coefficient": 0.02}


@pytest.fixture
def bfloat16_policy():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def _model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.layers.Dense(5),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )


def _built_model():
    model = _model()
    model.build([None, 4])
    return model


def _images(number=8):
    return np.random.default_rng(0).normal(size=(number, 4)).astype(np.float32)


def _train(model, optimizer, wrap=lambda step: step, steps=3):
    images = tf.constant(_images())

    def step():
        with tf.GradientTape() as tape:
            outputs = tf.cast(model(images, training=False), tf.float32)
            loss = tf.reduce_mean((outputs - 1) ** 2)
        variables = model.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )

    step = wrap(step)
    for _ in range(steps):
        step()
    return [variable.numpy() for variable in model.trainable_variables]


def _eager_weights(optimizer=None):
    model = _built_model()
    optimizer = optimizer or LARS(0.5, **SETTINGS)
    apply_exclusions(optimizer, model)
    return _train(model, optimizer)


def _assert_exclusions_held(weights):
    """Biases and batch norm went elsewhere than with only one of the two lists."""
    for list_name in ("exclude_from_weight_decay", "exclude_from_layer_adaptation"):
        model, optimizer = _built_model(), LARS(0.5, **SETTINGS)
        excluded = [v for v in model.trainable_variables if v.shape.rank == 1]
        getattr(optimizer, list_name)(var_list=excluded)
        others = _train(model, optimizer)
        gaps = [
            np.abs(weight - other).max()
            for weight, other in zip(weights, others, strict=True)
            if weight.ndim == 1
        ]
        assert len(gaps) == 4 and min(gaps) > 0.01


def _assert_equal(values, expected, **tolerance):
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, other, **tolerance)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_step_equals_an_eager_one(jit_compile):
    model, optimizer = _built_model(), LARS(0.5, **SETTINGS)
    apply_exclusions(optimizer, model)
    optimizer.build(model.trainable_variables)
    weights = _train(
        model, optimizer, tf.function(jit_compile=jit_compile, autograph=False)
    )
    _assert_equal(weights, _eager_weights(), rtol=1e-5, atol=1e-6)
    _assert_exclusions_held(weights)


def test_keras_own_compiled_update_equals_an_eager_one():
    optimizer = LARS(0.5, **SETTINGS)
    optimizer.jit_compile = True  # Keras does so by itself where there is a GPU.
    weights = _eager_weights(optimizer)
    _assert_equal(weights, _eager_weights(), rtol=1e-5, atol=1e-6)
    _assert_exclusions_held(weights)


def test_weights_and_momenta_stay_float32_under_mixed_bfloat16(bfloat16_policy):
    model, optimizer = _built_model(), LARS(0.5, **SETTINGS)
    apply_exclusions(optimizer, model)
    weights = _train(model, optimizer, tf.function)
    assert {w.dtype for w in weights} == {np.dtype("float32")}
    assert {m.dtype for m in optimizer.momentums} == {tf.float32}
    _assert_exclusions_held(weights)
    keras.mixed_precision.set_global_policy("float32")
    _assert_equal(weights, _eager_weights(), atol=0.02)


def test_two_replicas_equal_one_device():
    weights = _replicated_weights(2)
    _assert_equal(weights, _eager_weights(), rtol=1e-5, atol=1e-6)
    _assert_exclusions_held(weights)


def test_two_replicas_equal_one_under_mixed_bfloat16(bfloat16_policy):
    weights = _replicated_weights(2)
    _assert_equal(weights, _replicated_weights(1), rtol=1e-5, atol=1e-6)
    _assert_exclusions_held(weights)


def _replicated_weights(num_replicas):
    # Groups of another size in one process need other keys for their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])
    with strategy.scope():
        model, optimizer = _built_model(), LARS(0.5, **SETTINGS)
        apply_exclusions(optimizer, model)

    @tf.function
    def step():
        strategy.run(replica_step)

    def replica_step():
        # The same images everywhere: the replicas' mean is one replica's value.
        with tf.GradientTape() as tape:
            outputs = tf.cast(model(tf.constant(_images())), tf.float32)
            loss = tf.reduce_mean((outputs - 1) ** 2) / num_replicas
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for _ in range(3):
        step()
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize("learning_rate", [0.25, WarmupCosine(2.0, 3, 10)])
def test_config_round_trip(learning_rate):
    optimizer = LARS(
        learning_rate,
        momentum=0.8,
        weight_decay=0.05,
        trust_coefficient=0.02,
        nesterov=True,
        classic_momentum=False,
        name="layer_wise",
        clipnorm=3.0,
    )
    config = optimizer.get_config()
    again = LARS.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert config["weight_decay"] == 0.05 and config["clipnorm"] == 3.0
    assert (again.momentum, again.nesterov) == (0.8, True)
    assert (again.classic_momentum, again.name) == (False, "layer_wise")
    assert again.trust_coefficient == 0.02
    assert float(again.learning_rate) == float(optimizer.learning_rate)


def test_keras_serializes_it_without_custom_objects():
    optimizer = LARS(WarmupCosine(2.0, 3, 10), **SETTINGS)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is LARS
    assert again.get_config() == optimizer.get_config()


def test_training_continues_from_a_checkpoint_as_if_uninterrupted(tmp_path):
    model, optimizer = _built_model(), LARS(0.5, **SETTINGS)
    apply_exclusions(optimizer, model)
    _train(model, optimizer)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    path = checkpoint.save(str(tmp_path / "ckpt"))
    expected = _train(model, optimizer)

    model, optimizer = _built_model(), LARS(0.5, **SETTINGS)
    apply_exclusions(optimizer, model)
    status = tf.train.Checkpoint(model=model, optimizer=optimizer).restore(path)
    weights = _train(model, optimizer)
    status.assert_consumed()
    assert int(optimizer.iterations) == 6
    _assert_equal(weights, expected, rtol=1e-6)


def test_fit_lowers_the_loss_and_the_saved_model_loads(tmp_path):
    model = _model()
    model.build([None, 4])
    optimizer = LARS(WarmupCosine(1.0, 2, 60), trust_coefficient=0.05)
    apply_exclusions(optimizer, model)
    model.compile(optimizer, loss="mse")
    images, targets = _images(32), _images(32)[:, :2]
    history = model.fit(images, targets, batch_size=32, epochs=60, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is LARS
    assert int(loaded.optimizer.iterations) == 60
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-6)
