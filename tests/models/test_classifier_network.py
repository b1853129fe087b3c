"""A classifier starts where the encoder and the head are, and freezes what it says."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import (
    LOGITS,
    ProjectionHead,
    SynchronizedBatchNormalization,
    classifier_network,
    depth_groups,
    freeze_until,
    resnet,
    split_classifier,
    vision_transformer,
)

IMAGES = np.random.default_rng(0).random((4, 16, 16, 3)).astype("float32")


@pytest.fixture(scope="module")
def encoder():
    encoder = resnet(10, width_multiplier=0.0625, stem="small", seed=0)
    rng = np.random.default_rng(1)  # Moving statistics of their own, as after training.
    encoder.set_weights([w + 0.1 * rng.random(w.shape) for w in encoder.get_weights()])
    return encoder


@pytest.fixture(scope="module")
def head(encoder):
    head = ProjectionHead(num_layers=3, out_features=8, seed=2)
    head(tf.zeros([1, encoder.output_shape[-1]]))
    rng = np.random.default_rng(3)
    head.set_weights([w + 0.1 * rng.random(w.shape) for w in head.get_weights()])
    return head


@pytest.mark.parametrize("head_layer", [0, 1, 3])
def test_the_linear_layer_reads_the_layer_of_the_head_that_was_named(
    encoder, head, head_layer
):
    network = classifier_network(
        encoder, 5, projection_head=head, head_layer=head_layer
    )
    before_logits = keras.Model(network.input, network.get_layer(LOGITS).input)
    expected = head.layer_outputs(encoder(IMAGES))[head_layer]
    np.testing.assert_allclose(before_logits(IMAGES), expected, atol=1e-6)
    assert network.output_shape == (None, 5)


def test_logits_start_at_zero_and_the_encoder_given_stays_as_it_is(encoder):
    network = classifier_network(encoder, 5)
    assert not np.any(network(IMAGES))
    before = encoder.get_weights()
    for variable in network.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_head_without_batch_norm_keeps_its_biases(encoder):
    head = ProjectionHead(num_layers=2, out_features=8, batch_norm=False, seed=2)
    head(tf.zeros([1, encoder.output_shape[-1]]))
    head.set_weights([w + 0.3 for w in head.get_weights()])
    network = classifier_network(encoder, 2, projection_head=head, head_layer=1)
    before_logits = keras.Model(network.input, network.get_layer(LOGITS).input)
    np.testing.assert_allclose(
        before_logits(IMAGES), head.layer_outputs(encoder(IMAGES))[1], atol=1e-5
    )


def test_synchronized_networks_compute_the_same(encoder, head):
    plain = classifier_network(encoder, 2, projection_head=head, head_layer=2)
    network = classifier_network(
        encoder, 2, projection_head=head, head_layer=2, synchronized=True
    )
    norms = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert all(isinstance(n, SynchronizedBatchNormalization) for n in norms)
    assert {"head_bn1", "head_bn2"} < {norm.name for norm in norms}
    for one in (plain, network):
        one.get_layer(LOGITS).kernel.assign(tf.ones_like(one.get_layer(LOGITS).kernel))
    np.testing.assert_allclose(network(IMAGES), plain(IMAGES), rtol=1e-5, atol=1e-5)


def test_what_is_frozen_reaches_the_endpoint_and_no_further(encoder):
    network = classifier_network(encoder, 2)
    frozen = freeze_until(network, "block_group2")
    assert frozen[-1] == "block_group2"
    trained = {v.name.split("/")[0] for v in network.trainable_variables}
    assert {name[:12] for name in trained} == {
        "block_group3",
        "block_group4",
        LOGITS[:12],
    }
    assert not trained & set(frozen)


def test_freezing_the_whole_encoder_leaves_head_and_logits(encoder, head):
    network = classifier_network(encoder, 2, projection_head=head, head_layer=1)
    freeze_until(network, "final_avg_pool")
    assert {v.name.split("/")[0] for v in network.trainable_variables} == {
        "head_dense1",
        "head_bn1",
        LOGITS,
    }


def test_frozen_batch_norm_ignores_training_and_keeps_its_statistics(encoder):
    network = classifier_network(encoder, 2)
    freeze_until(network, "final_avg_pool")
    features = keras.Model(network.input, network.get_layer(LOGITS).input)
    before = features.get_weights()
    np.testing.assert_array_equal(
        features(IMAGES, training=True), features(IMAGES, training=False)
    )
    for old, new in zip(before, features.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_depth_groups_hold_every_trained_variable_once_from_the_stem_up(encoder, head):
    network = classifier_network(encoder, 2, projection_head=head, head_layer=1)
    groups = depth_groups(network)
    ids = [id(v) for group in groups for v in group]
    assert sorted(ids) == sorted(id(v) for v in network.trainable_variables)
    assert [group[0].name.split("/")[0][:12] for group in groups] == [
        "initial_conv",
        "block_group1",
        "block_group2",
        "block_group3",
        "block_group4",
        "head_dense1",
    ]


def test_depth_groups_leave_frozen_parts_out(encoder):
    network = classifier_network(encoder, 2)
    freeze_until(network, "block_group3")
    assert len(depth_groups(network)) == 2


def test_an_encoder_of_another_kind_is_one_group_beside_the_logits():
    images = keras.Input((8, 8, 1))
    encoder = keras.Model(
        images, keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(images))
    )
    network = classifier_network(encoder, 2)
    assert [len(group) for group in depth_groups(network)] == [2, 2]
    with pytest.raises(ConfigError, match="Choices: none, final_avg_pool"):
        freeze_until(network, "block_group1")
    freeze_until(network, "final_avg_pool")
    assert [v.shape.rank for v in network.trainable_variables] == [2, 1]


def test_groups_and_endpoints_of_a_transformer_are_its_own():
    encoder = vision_transformer(8, 2, 2, patch_size=4, image_size_pixels=8)
    network = classifier_network(encoder, 2)
    # Patches and class token; two blocks of two norms and six dense layers, that of the
    # keys without bias; the last norm; the logits.
    assert [len(group) for group in depth_groups(network)] == [3, 15, 15, 2, 2]
    with pytest.raises(ConfigError, match="none, embedding, block1, block2, features"):
        freeze_until(network, "block3")
    frozen = freeze_until(network, "block1")
    assert "block1_mlp2" in frozen and "block2_query" not in frozen


@pytest.mark.parametrize("head_layer", [0, 2])
def test_a_saved_classifier_comes_apart_into_encoder_and_rest(
    encoder, head, head_layer, tmp_path
):
    network = classifier_network(
        encoder, 3, projection_head=head, head_layer=head_layer
    )
    network.get_layer(LOGITS).set_weights(
        [
            np.random.default_rng(5).normal(size=w.shape)
            for w in network.get_layer(LOGITS).get_weights()
        ]
    )
    network.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras", compile=False)
    split_classifier(loaded)  # It can be done again, with the same result.
    features, rest = split_classifier(loaded)
    np.testing.assert_allclose(features(IMAGES), encoder(IMAGES), atol=1e-6)
    np.testing.assert_allclose(rest(features(IMAGES)), network(IMAGES), atol=1e-5)


def test_another_network_is_not_taken_apart(encoder):
    with pytest.raises(ConfigError, match="must be a fine-tuned classifier"):
        split_classifier(encoder)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"num_classes": 0}, "`num_classes` must be a whole number >= 1"),
        ({"num_classes": 2, "head_layer": 1}, "from 0 to 0"),
        ({"num_classes": 2, "head_layer": -1}, "from 0 to 0"),
    ],
)
def test_refusals_name_the_range(encoder, arguments, words):
    with pytest.raises(ConfigError, match=words):
        classifier_network(encoder, **arguments)


def test_an_unknown_endpoint_is_answered_with_the_list(encoder):
    with pytest.raises(ConfigError, match="Did you mean block_group"):
        freeze_until(classifier_network(encoder, 2), "block_grup3")
