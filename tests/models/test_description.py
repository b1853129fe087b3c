"""A network as data: rebuilt as the same function, for every network we make."""

import json

import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.errors import DataError
from simclr_tf.models import (
    describe_network,
    network_from_description,
    resnet,
    set_weights_by_name,
    weights_by_name,
)

NETWORKS = {
    "basic": {"depth": 10, "stem": "small"},
    "selective and gated": {
        "depth": 10,
        "sk_ratio": 0.0625,
        "se_ratio": 0.25,
        "stem": "imagenet",
    },
}


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_rebuilt_network_is_the_same_function(options):
    encoder = resnet(**options, width_multiplier=0.0625, seed=0)
    rng = np.random.default_rng(0)
    encoder.set_weights(
        [w + rng.uniform(0.01, 0.1, w.shape) for w in encoder.get_weights()]
    )
    text = json.dumps(describe_network(encoder))
    copy = network_from_description(json.loads(text))
    images = rng.uniform(size=(2, 19, 16, 3)).astype(np.float32)
    assert np.abs(copy(images) - encoder(images)).max() > 1e-3
    set_weights_by_name(copy, weights_by_name(encoder))
    np.testing.assert_array_equal(copy(images), encoder(images))
    assert len(copy.trainable_variables) == len(encoder.trainable_variables)


def test_names_of_weights_do_not_depend_on_the_scope_they_were_built_in():
    import tensorflow as tf

    with tf.name_scope("elsewhere"):
        encoder = resnet(10, width_multiplier=0.0625)
    assert list(weights_by_name(encoder)) == list(
        weights_by_name(resnet(10, width_multiplier=0.0625))
    )


def test_weights_of_layers_inside_a_layer_have_names_of_their_own():
    tokens = keras.Input((3, 4))
    attention = keras.layers.MultiHeadAttention(2, 2, name="attention")
    network = keras.Model(tokens, attention(tokens, tokens))
    assert list(weights_by_name(network))[:3] == [
        "attention/query/kernel",
        "attention/query/bias",
        "attention/key/kernel",
    ]
    copy = network_from_description(json.loads(json.dumps(describe_network(network))))
    set_weights_by_name(copy, weights_by_name(network))
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(copy(values), network(values))


@pytest.mark.parametrize(
    "entry",
    [
        {"class_name": "ClassToken", "registered_name": "simclr_tf>Attention"},
        {"class_name": "ProjectionHead", "registered_name": "simclr_tf>ProjectionHead"},
        {"class_name": "ClassToken", "module": "simclr_tf.models.tokens"},
    ],
)
def test_layers_of_this_package_outside_the_list_are_refused(entry):
    layer = {"name": "a", "config": {"name": "a"}, "inbound_nodes": [], **entry}
    with pytest.raises(DataError, match="not on the list"):
        network_from_description(
            {"kind": "keras_functional/1", "config": {"layers": [layer]}}
        )


def test_networks_that_are_programs_have_no_description():
    images = keras.Input((None, None, 3))
    doubled = keras.layers.Lambda(lambda x: 2 * x)(images)
    assert describe_network(keras.Model(images, doubled)) is None
    inner = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    assert describe_network(keras.Model(images, inner(images))) is None
    assert describe_network(inner)["config"]["layers"]


def test_missing_and_surplus_weights_are_named_and_nothing_is_set():
    encoder = resnet(10, width_multiplier=0.0625)
    weights = weights_by_name(encoder)
    before = encoder.get_weights()
    changed = {name: array + 1 for name, array in weights.items()}
    changed["extra/kernel"] = changed.pop("initial_conv/kernel")
    with pytest.raises(
        DataError,
        match="missing: initial_conv/kernel and 0 more; "
        "surplus: extra/kernel and 0 more",
    ):
        set_weights_by_name(encoder, changed)
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
