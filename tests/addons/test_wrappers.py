"""Lookahead, SWA and MovingAverage around our optimizers do what they say."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.optim import (
    LARS,
    WarmupCosine,
    apply_exclusions,
    make_optimizer,
    wrap_optimizer,
)

STEPS = 7
SETTINGS = {
    "lookahead_period_steps": 3,
    "lookahead_step_size": 0.25,
    "swa_start_step": 2,
    "swa_period_steps": 2,
    "average_decay": 0.6,
}
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(3, 4)).astype("float32")
GRADIENTS = RNG.normal(size=(STEPS, 3, 4)).astype("float32")


def an_optimizer(name):
    return make_optimizer(
        name, WarmupCosine(0.3, 2, STEPS + 3), weight_decay=0.1, trust_coefficient=0.1
    )


def after_each_step(optimizer, variable, gradients=GRADIENTS):
    step = tf.function(lambda g: optimizer.apply_gradients([(g, variable)]))
    history = []
    for gradient in gradients:
        step(tf.constant(gradient))
        history.append(variable.numpy())
    return history


@pytest.mark.parametrize("name", ["lars", "lamb", "sgd", "adamw"])
def test_averages_are_those_of_the_plain_optimizers_weights(name):
    plain = after_each_step(an_optimizer(name), tf.Variable(WEIGHT))
    expected = {"swa": np.mean([plain[2], plain[4], plain[6]], axis=0)}
    expected["moving_average"] = WEIGHT
    for weight in plain:
        expected["moving_average"] = 0.6 * expected["moving_average"] + 0.4 * weight
    for wrapper, average in expected.items():
        variable = tf.Variable(WEIGHT)
        optimizer = wrap_optimizer(wrapper, an_optimizer(name), **SETTINGS)
        history = after_each_step(optimizer, variable)
        np.testing.assert_array_equal(history, plain)
        np.testing.assert_allclose(optimizer.averages[0], average, rtol=1e-5, atol=1e-6)
        assert np.abs(average - plain[-1]).max() > 1e-3


@pytest.mark.parametrize("name", ["lars", "lamb", "sgd", "adamw"])
def test_lookahead_meets_its_slow_weights_every_period(name):
    wrapped = wrap_optimizer("lookahead", an_optimizer(name), **SETTINGS)
    seen = after_each_step(wrapped, tf.Variable(WEIGHT))
    # By hand: the plain optimizer, its weight set after steps 3 and 6.
    variable, slow, plain = tf.Variable(WEIGHT), WEIGHT, an_optimizer(name)
    for step, gradient in enumerate(GRADIENTS, start=1):
        plain.apply_gradients([(tf.constant(gradient), variable)])
        if step % 3 == 0:
            slow = slow + 0.25 * (variable.numpy() - slow)
            variable.assign(slow)
        np.testing.assert_allclose(seen[step - 1], variable, rtol=1e-5, atol=1e-6)
    assert wrapped.averages is None


def test_the_learning_rate_follows_the_schedule():
    optimizer = wrap_optimizer("swa", an_optimizer("lars"))
    variable = tf.Variable(WEIGHT)
    rates = []
    for gradient in GRADIENTS:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        rates.append(float(optimizer.learning_rate))
    schedule = WarmupCosine(0.3, 2, STEPS + 3)
    np.testing.assert_allclose(rates, [schedule(k) for k in range(STEPS)], rtol=1e-6)


def test_exclusions_by_role_reach_the_optimizer_inside():
    model = keras.Sequential(
        [keras.layers.Dense(4, input_shape=(3,), bias_initializer="ones")]
    )
    optimizer = wrap_optimizer("swa", LARS(1.0, momentum=0.0, weight_decay=0.5))
    apply_exclusions(optimizer, model)
    kernel, bias = model.trainable_variables
    optimizer.apply_gradients([(tf.zeros([3, 4]), kernel), (tf.zeros([4]), bias)])
    np.testing.assert_array_equal(bias, np.ones(4))
    assert optimizer.iterations.numpy() == 1


@pytest.mark.parametrize("wrapper", ["lookahead", "swa", "moving_average"])
def test_a_checkpoint_continues_exactly(wrapper, tmp_path):
    def made():
        variable = tf.Variable(WEIGHT)
        optimizer = wrap_optimizer(wrapper, an_optimizer("lars"), **SETTINGS)
        optimizer.build([variable])
        return variable, optimizer

    variable, optimizer = made()
    calm = after_each_step(optimizer, variable)
    calm_copies = [copy.numpy() for copy in optimizer.copies]
    variable, optimizer = made()
    after_each_step(optimizer, variable, GRADIENTS[:4])
    path = tf.train.Checkpoint(v=variable, o=optimizer).write(str(tmp_path / "c"))
    variable, optimizer = made()
    tf.train.Checkpoint(v=variable, o=optimizer).read(path).assert_consumed()
    rest = after_each_step(optimizer, variable, GRADIENTS[4:])
    np.testing.assert_array_equal(rest[-1], calm[-1])
    np.testing.assert_array_equal(optimizer.copies[0], calm_copies[0])


@pytest.mark.parametrize("wrapper", ["lookahead", "swa", "moving_average"])
def test_two_replicas_equal_one(wrapper):
    plain = tf.Variable(WEIGHT)
    alone = wrap_optimizer(wrapper, an_optimizer("lars"), **SETTINGS)
    expected = after_each_step(alone, plain)[-1]
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        variable = tf.Variable(WEIGHT)
        optimizer = wrap_optimizer(wrapper, an_optimizer("lars"), **SETTINGS)
        optimizer.build([variable])

    @tf.function
    def step(gradient):  # Each replica gives half of the sum.
        strategy.run(lambda: optimizer.apply_gradients([(gradient / 2, variable)]))

    for gradient in GRADIENTS:
        step(tf.constant(gradient))
    np.testing.assert_allclose(variable, expected, rtol=1e-6)
    np.testing.assert_allclose(optimizer.copies[0], alone.copies[0], rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "sma"}, "Did you mean swa.*wrapper='sma'"),
        ({"lookahead_period_steps": 0}, "`lookahead_period_steps` must be >= 1"),
        ({"lookahead_step_size": 0.0}, r"`lookahead_step_size` must be in \(0, 1\]"),
        ({"swa_start_step": -1}, "`swa_start_step` must be >= 0"),
        ({"swa_period_steps": 0}, "`swa_period_steps` must be >= 1"),
        ({"average_decay": 1.0}, r"`average_decay` must be in \[0, 1\)"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        wrap_optimizer(**{"name": "swa", "optimizer": LARS(0.1), **arguments})
