"""Roles of variables, whatever the layers and variables are called."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.optim import LARS, apply_exclusions, variables_by_role


def _counts(roles):
    return {role: len(variables) for role, variables in roles.items()}


def _encoder():
    """A functional network like those of keras.applications, with misleading names."""
    images = keras.Input([8, 8, 3])
    x = keras.layers.Conv2D(4, 3, name="bias_free_stem", use_bias=False)(images)
    x = keras.layers.BatchNormalization(name="conv_kernel")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(4, 3, name="batch_normalization_like")(x)
    x = keras.layers.DepthwiseConv2D(3)(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


class _Wrapper(keras.Model):
    """Layers in a list, a dict and a wrapper, beside a nested model and a metric."""

    def __init__(self):
        super().__init__()
        self.encoder = _encoder()
        self.head = [keras.layers.Dense(4, use_bias=False)]
        self.more = {"norm": keras.layers.BatchNormalization(center=False)}
        self.every = keras.layers.TimeDistributed(keras.layers.Dense(3))
        self.probe = keras.layers.Dense(2)
        self.loss_metric = keras.metrics.Mean()

    def call(self, images):
        features = self.encoder(images)
        projections = self.more["norm"](self.head[0](features))
        self.every(projections[:, tf.newaxis])
        return self.probe(tf.stop_gradient(features))


def _wrapper():
    model = _Wrapper()
    model(tf.zeros([2, 8, 8, 3]))
    return model


def test_roles_of_a_functional_network_do_not_depend_on_names():
    encoder = _encoder()
    roles = variables_by_role(encoder)
    assert _counts(roles) == {"kernel": 3, "normalization": 2, "bias": 2, "probe": 0}
    norm = encoder.get_layer("conv_kernel")
    assert [id(v) for v in roles["normalization"]] == [id(norm.gamma), id(norm.beta)]
    kernel = encoder.get_layer("bias_free_stem").kernel
    assert id(roles["kernel"][0]) == id(kernel)


def test_layers_are_found_in_nested_models_lists_dicts_and_wrappers():
    model = _wrapper()
    roles = variables_by_role(model, probe=model.probe)
    # Kernels: 3 of the encoder, head, every. Norm: encoder's two, gamma of `more`.
    assert _counts(roles) == {"kernel": 5, "normalization": 3, "bias": 3, "probe": 2}
    assert [id(v) for v in roles["probe"]] == [id(v) for v in model.probe.weights]


def test_every_trainable_variable_has_exactly_one_role():
    model = _wrapper()
    roles = variables_by_role(model, probe=[model.probe])
    found = [id(v) for variables in roles.values() for v in variables]
    assert sorted(found) == sorted(id(v) for v in model.trainable_variables)


@pytest.mark.parametrize(
    "layer, shape, expected",
    [
        (keras.layers.LayerNormalization(), [2, 4], (0, 2, 0)),
        (keras.layers.GroupNormalization(2), [2, 4, 4, 4], (0, 2, 0)),
        (keras.layers.experimental.SyncBatchNormalization(), [2, 4], (0, 2, 0)),
        (keras.layers.SeparableConv2D(3, 2), [2, 4, 4, 4], (2, 0, 1)),
        # The GRU's bias has two axes, attention's biases too.
        (keras.layers.GRU(3), [2, 5, 4], (2, 0, 1)),
        (keras.layers.PReLU(), [2, 4], (0, 0, 1)),
    ],
)
def test_roles_in_other_layers(layer, shape, expected):
    layer(tf.zeros(shape))
    counts = _counts(variables_by_role(layer))
    assert (counts["kernel"], counts["normalization"], counts["bias"]) == expected


def test_attention_biases_with_two_axes_are_biases():
    layer = keras.layers.MultiHeadAttention(2, 3)
    layer(tf.zeros([1, 4, 6]), tf.zeros([1, 4, 6]))
    assert _counts(variables_by_role(layer))["bias"] == 4


def test_frozen_layers_keep_their_roles():
    encoder = _encoder()
    before = _counts(variables_by_role(encoder))
    encoder.trainable = False
    assert _counts(variables_by_role(encoder)) == before


def test_several_models_can_be_given_and_the_probe_need_not_be_in_them():
    head, probe = keras.Sequential([keras.layers.Dense(2)]), keras.layers.Dense(3)
    head.build([None, 4])
    probe.build([None, 4])
    counts = _counts(variables_by_role([_encoder(), head], probe=probe))
    assert counts == {"kernel": 4, "normalization": 2, "bias": 3, "probe": 2}


def test_layers_that_were_never_called_are_refused():
    with pytest.raises(ConfigError, match="call the model on one batch first.*dense"):
        variables_by_role(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ConfigError, match="call the model on one batch first"):
        variables_by_role(_Wrapper())
    with pytest.raises(ConfigError, match="call the model on one batch first"):
        variables_by_role(_encoder(), probe=keras.layers.Dense(2))
    with pytest.raises(ConfigError, match="no variables"):
        variables_by_role(keras.layers.ReLU())


def _decayed(model, optimizer):
    """Ids of the variables that shrink without any gradient."""
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(tf.ones_like(variable))
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    return {id(v) for v in variables if np.abs(v - 1).max() > 0}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: LARS(0.1, weight_decay=0.1, trust_coefficient=1.0),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1),
        lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    ],
    ids=["lars", "sgd", "adamw"],
)
def test_only_kernels_decay(make, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = _wrapper()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    optimizer = make()
    roles = apply_exclusions(optimizer, model, probe=model.probe)
    assert _decayed(model, optimizer) == {id(v) for v in roles["kernel"]}


def test_only_kernels_adapt():
    model = _wrapper()
    optimizer = LARS(1.0, momentum=0.0, trust_coefficient=0.001)
    roles = apply_exclusions(optimizer, model, probe=model.probe)
    kernels = {id(v) for v in roles["kernel"]}
    before = [tf.identity(v) for v in model.trainable_variables]
    gradients = [tf.ones_like(v) for v in model.trainable_variables]
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    for variable, old in zip(model.trainable_variables, before, strict=True):
        unscaled = np.allclose(old - variable, 1.0, atol=1e-6)
        assert unscaled == (id(variable) not in kernels)


def test_the_optimizer_within_a_loss_scaling_one_is_found():
    model, inner = _wrapper(), LARS(0.1, weight_decay=0.1, trust_coefficient=1.0)
    optimizer = keras.mixed_precision.LossScaleOptimizer(inner)
    roles = apply_exclusions(optimizer, model, probe=model.probe)
    assert _decayed(model, inner) == {id(v) for v in roles["kernel"]}


@pytest.mark.parametrize("make", [LARS, keras.optimizers.SGD])
def test_exclusions_after_the_first_step_are_refused(make):
    model, optimizer = _wrapper(), make(0.1)
    optimizer.build(model.trainable_variables)
    with pytest.raises(ConfigError, match="before the optimizer's first step"):
        apply_exclusions(optimizer, model)


def test_what_is_not_an_optimizer_is_refused():
    with pytest.raises(ConfigError, match="keras.optimizers.Optimizer.*'str'"):
        apply_exclusions("sgd", _encoder())
