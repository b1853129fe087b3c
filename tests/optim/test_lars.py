"""LARS against loops in all its variants, closed forms and properties."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.optim import LARS, WarmupCosine
from tests.oracles.optim_lars import lars as oracle

VARIANTS = list(itertools.product([False, True], [False, True]))
STEPS = 5


def _problem(shape=(3, 4), seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=shape).astype(np.float32)
    gradients = rng.normal(size=(STEPS, *shape)).astype(np.float32)
    return weight, gradients


def _step(optimizer, gradient, variable):
    optimizer.apply_gradients([(tf.constant(gradient), variable)])


@pytest.mark.parametrize("nesterov, classic_momentum", VARIANTS)
def test_equals_the_loops_over_several_steps_with_every_exclusion(
    nesterov, classic_momentum
):
    weight, gradients = _problem()
    schedule = WarmupCosine(0.8, warmup_steps=2, total_steps=STEPS)
    settings = {
        "momentum": 0.9,
        "weight_decay": 0.05,
        "trust_coefficient": 0.02,
        "nesterov": nesterov,
        "classic_momentum": classic_momentum,
    }
    cases = list(itertools.product([True, False], [True, False]))  # decays, adapts
    variables = [tf.Variable(weight) for _ in cases]
    pairs = list(zip(variables, cases, strict=True))
    optimizer = LARS(schedule, **settings)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v, (decays, _) in pairs if not decays]
    )
    optimizer.exclude_from_layer_adaptation(
        var_list=[v for v, (_, adapts) in pairs if not adapts]
    )
    rates = [float(schedule(step)) for step in range(STEPS)]
    expected = [
        oracle(weight, gradients, rates, decays=decays, adapts=adapts, **settings)
        for decays, adapts in cases
    ]
    for step, gradient in enumerate(gradients):
        optimizer.apply_gradients([(tf.constant(gradient), v) for v in variables])
        for variable, history in zip(variables, expected, strict=True):
            np.testing.assert_allclose(variable, history[step], rtol=1e-5, atol=1e-6)
    # The four cases are four different weights: no list was ignored.
    final = [history[-1] for history in expected]
    gaps = [np.abs(x - y).max() for x, y in itertools.combinations(final, 2)]
    assert min(gaps) > 1e-4


def test_first_update_has_the_length_of_the_trust_coefficient_times_the_weight():
    weight, gradients = _problem()
    variable = tf.Variable(weight)
    _step(LARS(0.5, trust_coefficient=0.1), 1000 * gradients[0], variable)
    moved = np.linalg.norm(variable - weight)
    assert moved == pytest.approx(0.5 * 0.1 * np.linalg.norm(weight), rel=1e-5)


@pytest.mark.parametrize("nesterov, classic_momentum", VARIANTS)
def test_scaling_all_gradients_changes_nothing(nesterov, classic_momentum):
    weight, gradients = _problem()
    settings = {"nesterov": nesterov, "classic_momentum": classic_momentum}
    plain, scaled = tf.Variable(weight), tf.Variable(weight)
    optimizers = [LARS(1.0, trust_coefficient=0.1, **settings) for _ in range(2)]
    for gradient in gradients:
        _step(optimizers[0], gradient, plain)
        _step(optimizers[1], 64 * gradient, scaled)
    np.testing.assert_allclose(scaled, plain, rtol=1e-5)
    assert np.abs(plain - weight).max() > 0.01


def test_weight_decay_is_applied_once():
    variable = tf.Variable([2.0, -4.0])
    optimizer = LARS(0.5, momentum=0.0, weight_decay=0.1)
    optimizer.exclude_from_layer_adaptation(var_list=[variable])
    _step(optimizer, [0.0, 0.0], variable)
    np.testing.assert_allclose(variable, [2.0 * 0.95, -4.0 * 0.95], rtol=1e-6)


@pytest.mark.parametrize("weight, gradient", [([0.0, 0.0], [1.0, 2.0])])
def test_a_weight_of_zeros_has_a_trust_ratio_of_one(weight, gradient):
    variable = tf.Variable(weight)
    _step(LARS(0.5), gradient, variable)
    np.testing.assert_allclose(variable, [-0.5, -1.0])


def test_a_gradient_of_zeros_moves_nothing():
    variable = tf.Variable([1.0, 2.0])
    _step(LARS(0.5), [0.0, 0.0], variable)
    np.testing.assert_array_equal(variable, [1.0, 2.0])


def test_exclusion_from_decay_does_not_exclude_from_adaptation():
    variable = tf.Variable([3.0, 4.0])
    optimizer = LARS(1.0, weight_decay=0.1, trust_coefficient=0.1)
    optimizer.exclude_from_weight_decay(var_list=[variable])
    _step(optimizer, [0.0, 2.0], variable)
    np.testing.assert_allclose(variable, [3.0, 3.5], rtol=1e-6)


def test_exclusions_add_up():
    first, second = tf.Variable([1.0]), tf.Variable([1.0])
    optimizer = LARS(1.0, momentum=0.0, weight_decay=0.5)
    optimizer.exclude_from_layer_adaptation(var_list=[first, second])
    optimizer.exclude_from_weight_decay(var_list=[first])
    optimizer.exclude_from_weight_decay(var_list=[second])
    optimizer.apply_gradients([(tf.zeros([1]), first), (tf.zeros([1]), second)])
    assert first.numpy() == second.numpy() == [1.0]


@pytest.mark.parametrize(
    "exclude", ["exclude_from_weight_decay", "exclude_from_layer_adaptation"]
)
def test_an_exclusion_that_comes_too_late_is_refused(exclude):
    variable = tf.Variable([1.0])
    optimizer = LARS(1.0)
    optimizer.build([variable])
    with pytest.raises(ConfigError, match="before the optimizer's first step"):
        getattr(optimizer, exclude)(var_list=[variable])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_do_not_overflow_in_low_precision_variables(dtype):
    # The squares sum to 9e7, far above float16's 65504.
    variable = tf.Variable(tf.fill([100, 100], tf.constant(95.0, dtype)))
    _step(LARS(1.0, trust_coefficient=0.25), tf.cast(-variable, dtype), variable)
    assert variable.dtype == dtype
    np.testing.assert_allclose(tf.cast(variable, tf.float32), 95 * 1.25, rtol=0.01)


def test_sparse_gradients_equal_dense_ones():
    weight, gradients = _problem()
    dense, sparse = tf.Variable(weight), tf.Variable(weight)
    full = np.zeros_like(weight)
    full[1] = gradients[0][1]
    slices = tf.IndexedSlices(gradients[0][1:2], [1], dense_shape=weight.shape)
    _step(LARS(1.0, weight_decay=0.1), full, dense)
    LARS(1.0, weight_decay=0.1).apply_gradients([(slices, sparse)])
    np.testing.assert_allclose(sparse, dense, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"learning_rate": -1.0}, "`learning_rate` must be >= 0.*learning_rate=-1.0"),
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\).*momentum=1.0"),
        ({"momentum": -0.1}, r"`momentum` must be in \[0, 1\)"),
        ({"weight_decay": -1e-6}, "`weight_decay` must be >= 0"),
        ({"trust_coefficient": 0.0}, "`trust_coefficient` must be > 0"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LARS(**{"learning_rate": 0.1, **arguments})
