"""Chosen variables keep the peak learning rate, with every optimizer and everywhere."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.objectives import SimSiam
from simclr_tf.optim import WarmupCosine, keep_rate_constant, make_optimizer
from tests.objectives.small_models import a_batch, a_model, mirrored, stepper, values

PEAK, STEPS = 0.1, 6


def trained(name, rate, chosen=(), strategy=None):
    """Values of two variables after some steps; those at `chosen` have the peak."""
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        variables = [tf.Variable([0.5, -1.0, 2.0]), tf.Variable([0.5, -1.0, 2.0])]
        optimizer = make_optimizer(name, rate, momentum=0.5)
        optimizer.build(variables)

    @tf.function
    def step():
        def update():
            keep_rate_constant(optimizer, [variables[i] for i in chosen])
            optimizer.apply_gradients(
                [(0.1 + 0.3 * v, v) for v in variables],
                skip_gradients_aggregation=True,
            )

        strategy.run(update)

    for _ in range(STEPS):
        step()
    assert optimizer._learning_rate is rate or rate == PEAK
    return [strategy.experimental_local_results(v) for v in variables]


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("name", ["lars", "lamb", "sgd", "adamw"])
def test_the_chosen_have_the_peak_and_the_others_the_schedule(name, replicas):
    strategy = mirrored(replicas) if replicas > 1 else None
    schedule = WarmupCosine(PEAK, 2, 2 * STEPS)
    mixed = trained(name, schedule, [1], strategy)
    expected = (trained(name, schedule)[0], trained(name, PEAK)[1])
    for own, alone in zip(mixed, expected, strict=True):
        for copy in own:
            np.testing.assert_allclose(copy, alone[0], rtol=1e-6)
    assert np.abs(mixed[0][0] - mixed[1][0]).max() > 1e-4
    # A number is constant already.
    np.testing.assert_array_equal(trained(name, PEAK, [0])[0][0], expected[1][0])


@pytest.mark.parametrize("is_constant", [True, False])
def test_the_predictor_of_simsiam_moves_while_the_warm_up_is_at_zero(is_constant):
    objective = SimSiam(predictor_features=4, constant_predictor_rate=is_constant)
    model = a_model(objective, learning_rate=WarmupCosine(0.5, 4, 8))
    predictor = model.objective.predictor.trainable_variables
    before = values(model.trainable_variables), values(predictor)
    stepper(model)(a_batch(0))
    moved = [np.any(v != old) for v, old in zip(predictor, before[1], strict=True)]
    assert any(moved) == is_constant
    for variable, old in zip(model.trainable_variables, before[0], strict=True):
        if not any(variable is own for own in predictor):
            np.testing.assert_array_equal(variable, old)
