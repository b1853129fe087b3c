"""LAMB against loops, closed forms and properties."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.optim import LAMB, WarmupCosine, apply_exclusions
from tests.oracles.optim_lamb import lamb as oracle

STEPS = 5
SETTINGS = {"beta_1": 0.8, "beta_2": 0.999, "epsilon": 1e-4, "weight_decay": 0.3}


def _problem(shape=(3, 4), seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=shape).astype(np.float32)
    gradients = rng.normal(size=(STEPS, *shape)).astype(np.float32)
    return weight, gradients


def test_equals_the_loops_over_several_steps_with_every_exclusion():
    weight, gradients = _problem()
    schedule = WarmupCosine(0.1, warmup_steps=2, total_steps=STEPS)
    cases = list(itertools.product([True, False], [True, False]))  # decays, adapts
    variables = [tf.Variable(weight) for _ in cases]
    pairs = list(zip(variables, cases, strict=True))
    optimizer = LAMB(schedule, **SETTINGS)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v, (decays, _) in pairs if not decays]
    )
    optimizer.exclude_from_layer_adaptation(
        var_list=[v for v, (_, adapts) in pairs if not adapts]
    )
    rates = [float(schedule(step)) for step in range(STEPS)]
    expected = [
        oracle(weight, gradients, rates, decays=decays, adapts=adapts, **SETTINGS)
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


def test_without_adaptation_and_decay_it_is_adam():
    weight, gradients = _problem()
    ours, adams = tf.Variable(weight), tf.Variable(weight)
    lamb = LAMB(0.01, epsilon=1e-12)
    lamb.exclude_from_layer_adaptation(var_list=[ours])
    adam = keras.optimizers.Adam(0.01, epsilon=1e-12)
    for gradient in gradients:
        lamb.apply_gradients([(tf.constant(gradient), ours)])
        adam.apply_gradients([(tf.constant(gradient), adams)])
    np.testing.assert_allclose(ours, adams, rtol=1e-5, atol=1e-6)
    assert np.abs(ours - weight).max() > 0.01


def test_every_update_has_the_length_of_the_rate_times_the_weight():
    weight, gradients = _problem()
    variable, optimizer = tf.Variable(weight), LAMB(0.125, weight_decay=0.1)
    for gradient in gradients:
        before = variable.numpy()
        optimizer.apply_gradients([(tf.constant(1000 * gradient), variable)])
        moved = np.linalg.norm(variable - before)
        assert moved == pytest.approx(0.125 * np.linalg.norm(before), rel=1e-5)


def test_a_weight_of_zeros_moves_by_the_learning_rate():
    variable = tf.Variable([0.0, 0.0])
    LAMB(0.5).apply_gradients([(tf.constant([1.0, -2.0]), variable)])
    np.testing.assert_allclose(variable, [-0.5, 0.5], rtol=1e-5)


def test_sparse_gradients_equal_dense_ones():
    weight, gradients = _problem()
    dense, sparse = tf.Variable(weight), tf.Variable(weight)
    full = np.zeros_like(weight)
    full[1] = gradients[0][1]
    slices = tf.IndexedSlices(gradients[0][1:2], [1], dense_shape=weight.shape)
    LAMB(0.1, weight_decay=0.1).apply_gradients([(tf.constant(full), dense)])
    LAMB(0.1, weight_decay=0.1).apply_gradients([(slices, sparse)])
    np.testing.assert_allclose(sparse, dense, rtol=1e-6)


def test_spares_the_same_roles_as_lars():
    model = keras.Sequential(
        [keras.layers.Dense(4, input_shape=(3,)), keras.layers.BatchNormalization()]
    )
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable))
    optimizer = LAMB(0.1, weight_decay=0.5)
    roles = apply_exclusions(optimizer, model)
    optimizer.apply_gradients(
        [(tf.zeros_like(v), v) for v in model.trainable_variables]
    )
    for role in ("bias", "normalization"):
        for variable in roles[role]:
            np.testing.assert_array_equal(variable, tf.ones_like(variable))
    # With a gradient of zeros only the decay moves: by lr * trust * 0.5, trust = 2.
    np.testing.assert_allclose(roles["kernel"][0], tf.fill([3, 4], 0.9), rtol=1e-6)


def test_continues_from_its_config_and_its_checkpoint(tmp_path):
    weight, gradients = _problem()

    def continued(interrupted):
        variable, optimizer = tf.Variable(weight), LAMB(0.1, **SETTINGS)
        for step, gradient in enumerate(gradients):
            if interrupted and step == 2:
                saved = tf.train.Checkpoint(v=variable, o=optimizer)
                path = saved.write(str(tmp_path / "lamb"))
                variable = tf.Variable(tf.zeros_like(weight))
                optimizer = LAMB.from_config(optimizer.get_config())
                optimizer.build([variable])
                tf.train.Checkpoint(v=variable, o=optimizer).read(
                    path
                ).assert_consumed()
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        return variable.numpy()

    np.testing.assert_array_equal(continued(True), continued(False))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"learning_rate": -1.0}, "`learning_rate` must be >= 0.*learning_rate=-1.0"),
        ({"beta_1": 1.0}, r"`beta_1` must be in \[0, 1\).*beta_1=1.0"),
        ({"beta_2": -0.1}, r"`beta_2` must be in \[0, 1\).*beta_2=-0.1"),
        ({"epsilon": 0.0}, "`epsilon` must be > 0.*epsilon=0.0"),
        ({"weight_decay": -1e-6}, "`weight_decay` must be >= 0"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LAMB(**{"learning_rate": 0.1, **arguments})
