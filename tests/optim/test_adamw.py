"""Our AdamW is Keras's, to rounding."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.optim import AdamW, WarmupCosine

SHAPES = [(3, 3, 2, 4), (4,), ()]


def trained(kind, gradients, **options):
    weights = [tf.Variable(tf.ones(shape)) for shape in SHAPES]
    optimizer = kind(WarmupCosine(0.1, 3, 12), **{"weight_decay": 0.03, **options})
    optimizer.exclude_from_weight_decay(var_list=weights[1:])
    step = tf.function(
        lambda *given: optimizer.apply_gradients(zip(given, weights, strict=True))
    )
    for given in gradients:
        step(*given)
    return [*weights, *optimizer.variables]


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"epsilon": 0.1}])
def test_twelve_steps_are_those_of_keras(options):
    random = np.random.default_rng(0)
    gradients = [
        [tf.constant(random.normal(size=shape) * 1e-3, tf.float32) for shape in SHAPES]
        for _ in range(12)
    ]
    kinds = (AdamW, keras.optimizers.AdamW)
    ours, theirs = (trained(kind, gradients, **options) for kind in kinds)
    assert [variable.shape for variable in ours] == [v.shape for v in theirs]
    assert not np.allclose(ours[0], 1)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, 2e-5, 1e-7)


def test_rows_that_a_gradient_does_not_touch_follow_keras_too():
    table = [tf.Variable(tf.ones([4, 2])) for _ in range(2)]
    rows = tf.IndexedSlices(tf.ones([1, 2]), tf.constant([1]), tf.constant([4, 2]))
    for kind, weight in zip((AdamW, keras.optimizers.AdamW), table, strict=True):
        optimizer = kind(0.1, weight_decay=0.03)
        for _ in range(2):
            optimizer.apply_gradients([(rows, weight)])
    np.testing.assert_array_equal(table[0], table[1])


def test_its_config_makes_the_same_optimizer():
    ours = keras.optimizers.deserialize(
        keras.optimizers.serialize(AdamW(0.1, weight_decay=0.2, beta_2=0.9))
    )
    assert isinstance(ours, AdamW)
    assert (ours.weight_decay, ours.beta_2) == (0.2, 0.9)
