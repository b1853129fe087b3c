"""Learning rates against loops, closed forms and the reference's measured values."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.optim import WarmupCosine, scaled_learning_rate
from tests.oracles.optim_schedule import warmup_cosine as oracle


@pytest.mark.parametrize("warmup_steps, total_steps", [(10, 100), (0, 7), (30, 20)])
def test_equals_the_formula_at_every_step(warmup_steps, total_steps):
    schedule = WarmupCosine(1.5, warmup_steps, total_steps)
    steps = np.arange(total_steps + 5)
    expected = [oracle(int(s), 1.5, warmup_steps, total_steps) for s in steps]
    np.testing.assert_allclose(schedule(steps), expected, atol=1e-6)


@pytest.mark.parametrize(
    "step, expected",
    [
        (0, 0.0),
        (1, 0.00204918),
        (975, 1.99795),
        (976, 2.0),
        (977, 2.0),
        (50000, 0.97779),
        (97657, 0.0),
    ],
)
def test_the_cifar_recipe_gives_the_reference_values(step, expected):
    # Batch 512, 1000 epochs of 50,000 images, base 1.0, 10 epochs of warm-up.
    peak = scaled_learning_rate(1.0, 512, "linear")
    schedule = WarmupCosine(peak, warmup_steps=976, total_steps=97657)
    # Half a unit of the last digit that the reference's values were noted with.
    assert float(schedule(step)) == pytest.approx(expected, rel=3e-6, abs=1e-9)


def test_cosine_midpoint_is_half_the_peak_and_the_end_is_zero():
    schedule = WarmupCosine(3.0, warmup_steps=20, total_steps=120)
    assert float(schedule(70)) == pytest.approx(1.5, rel=1e-6)
    assert float(schedule(20)) == 3.0
    assert float(schedule(120)) == float(schedule(10**9)) == 0.0


def test_learning_rate_never_rises_after_the_warmup_and_is_never_negative():
    rates = WarmupCosine(3.0, 5, 400)(np.arange(410)).numpy()
    assert (np.diff(rates[:6]) > 0).all()
    assert (np.diff(rates[5:]) <= 0).all() and (rates >= 0).all()


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float32])
def test_steps_of_any_number_type_in_graphs(dtype):
    schedule = tf.function(WarmupCosine(2.0, 10, 110))
    rate = schedule(tf.constant(60, dtype))
    assert rate.dtype == tf.float32 and float(rate) == pytest.approx(1.0)


def test_a_million_steps_are_told_apart():
    schedule = WarmupCosine(1.0, 1000, 1_000_000)
    for step in (1, 999, 1001, 500_500, 999_999):
        expected = oracle(step, 1.0, 1000, 1_000_000)
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-6)


def test_config_round_trip():
    schedule = WarmupCosine(2.0, warmup_steps=10, total_steps=110)
    again = WarmupCosine.from_config(schedule.get_config())
    assert again.get_config() == schedule.get_config()
    assert float(again(33)) == float(schedule(33))


def test_keras_serializes_it_without_custom_objects():
    schedule = WarmupCosine(2.0, warmup_steps=10, total_steps=110)
    serialized = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(serialized)
    assert type(again) is WarmupCosine
    assert again.get_config() == schedule.get_config()


def test_an_optimizer_follows_it():
    optimizer = keras.optimizers.SGD(WarmupCosine(4.0, 2, 4))
    variable, values = tf.Variable(0.0), []
    for _ in range(5):
        optimizer.apply_gradients([(tf.constant(-1.0), variable)])
        values.append(float(variable))
    # Learning rates 0, 2, 4, 2, 0.
    np.testing.assert_allclose(values, [0, 2, 6, 8, 8], atol=1e-6)


@pytest.mark.parametrize(
    "scaling, expected", [("linear", 0.3 * 512 / 256), ("none", 0.3)]
)
def test_scaling(scaling, expected):
    assert scaled_learning_rate(0.3, 512, scaling) == pytest.approx(expected)


def test_the_papers_two_scalings_agree_at_batch_4096():
    linear = scaled_learning_rate(0.3, 4096, "linear")
    assert linear == pytest.approx(scaled_learning_rate(0.075, 4096, "sqrt"))
    assert linear == pytest.approx(4.8)
    sqrt = scaled_learning_rate(0.075, 256, "sqrt")
    assert sqrt == pytest.approx(0.075 * math.sqrt(256))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.3, 256, "linaer"), "Unknown `scaling`. Did you mean linear"),
        ((0.0, 256, "linear"), "`base_learning_rate` must be > 0"),
        ((0.3, 0, "linear"), "`global_batch_size` must be at least 1"),
    ],
)
def test_scaling_refuses(arguments, message):
    with pytest.raises(ConfigError, match=message):
        scaled_learning_rate(*arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((-1.0, 0, 10), "`peak_learning_rate` must be >= 0.*=-1.0"),
        ((math.nan, 0, 10), "`peak_learning_rate`"),
        ((1.0, -1, 10), "`warmup_steps` must be >= 0.*=-1"),
        ((1.0, 0, 0), "`total_steps` must be at least 1.*=0"),
    ],
)
def test_schedule_refuses(arguments, message):
    with pytest.raises(ConfigError, match=message):
        WarmupCosine(*arguments)
