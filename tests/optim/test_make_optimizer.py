"""The catalogue of optimizers."""

import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.optim import LAMB, LARS, AdamW, WarmupCosine, make_optimizer

EVERYTHING = {
    "weight_decay": 0.02,
    "momentum": 0.7,
    "nesterov": True,
    "trust_coefficient": 0.005,
    "classic_momentum": False,
}


@pytest.mark.parametrize(
    "name, kind, attributes",
    [
        ("lars", LARS, list(EVERYTHING)),
        ("lamb", LAMB, ["weight_decay"]),
        ("sgd", keras.optimizers.SGD, ["weight_decay", "momentum", "nesterov"]),
        ("adamw", AdamW, ["weight_decay"]),
    ],
)
def test_each_optimizer_gets_the_arguments_that_it_has(name, kind, attributes):
    optimizer = make_optimizer(name, 0.25, **EVERYTHING)
    assert type(optimizer) is kind
    assert float(optimizer.learning_rate) == 0.25
    for attribute in attributes:
        assert getattr(optimizer, attribute) == EVERYTHING[attribute]


@pytest.mark.parametrize("name", ["lars", "lamb", "sgd", "adamw"])
def test_defaults_and_a_schedule_make_a_working_optimizer(name):
    optimizer = make_optimizer(name, WarmupCosine(0.5, 0, 10))
    variable = tf.Variable([1.0, 2.0])
    optimizer.apply_gradients([(tf.constant([1.0, 1.0]), variable)])
    assert float(optimizer.learning_rate) == 0.5
    assert (variable.numpy() < [1.0, 2.0]).all()


def test_an_unknown_name_is_answered_with_the_list():
    with pytest.raises(ConfigError, match="Did you mean lars.*lamb, sgd, ada"):
        make_optimizer("lar", 0.1)
