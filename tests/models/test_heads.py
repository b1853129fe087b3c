"""Projection heads: the reference's sizes, NumPy loops, all kinds, saving."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import (
    ProjectionHead,
    SynchronizedBatchNormalization,
    count_parameters,
)
from tests.oracles import models_networks as oracle

HEADS = [
    {"num_layers": 1},
    {"num_layers": 2},
    {"num_layers": 3, "hidden_features": 5},
    {"num_layers": 3, "batch_norm": False},
    {"num_layers": 2, "final_batch_norm": False},
    {"kind": "linear"},
    {"kind": "linear", "batch_norm": False},
    {"kind": "none"},
]


@pytest.fixture
def features():
    rng = np.random.default_rng(2)
    return rng.normal(size=(9, 6)).astype(np.float32)


def randomized(head, features):
    """The head, built, with random weights and moving statistics."""
    head(features)
    rng = np.random.default_rng(3)
    weights = [rng.uniform(0.3, 1.2, weight.shape) for weight in head.get_weights()]
    head.set_weights(weights)
    return head


@pytest.mark.parametrize(
    ("features", "parameters"), [(2048, 8_659_072), (4096, 34_095_232)]
)
def test_three_layer_head_has_the_reference_number_of_parameters(features, parameters):
    with tf.Graph().as_default():
        head = ProjectionHead(num_layers=3, out_features=128)
        head.build((None, features))
        assert count_parameters(head)[0] == parameters


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_head_equals_the_loops(num_layers, training, features):
    head = ProjectionHead(num_layers=num_layers, hidden_features=5, out_features=4)
    randomized(head, features)
    kernels, norms = [], []
    for dense, norm in zip(head.dense_layers, head.norm_layers, strict=True):
        kernels.append(dense.kernel.numpy())
        beta = None if norm.beta is None else norm.beta.numpy()
        statistics = norm.moving_mean.numpy(), norm.moving_variance.numpy()
        norms.append((norm.gamma.numpy(), beta, *statistics))
    expected = oracle.projection_head(features, kernels, norms, training)
    outputs = head.layer_outputs(features, training=training)
    for output, values in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arguments", HEADS)
def test_layer_outputs_run_from_the_features_to_the_projections(arguments, features):
    head = ProjectionHead(out_features=4, **arguments)
    outputs = head.layer_outputs(features)
    np.testing.assert_array_equal(outputs[0], features)
    np.testing.assert_array_equal(outputs[-1], head(features))
    lengths = {"linear": 2, "none": 1}
    expected = lengths.get(head.kind, head.num_layers + 1)
    assert len(outputs) == expected
    assert all(np.all(output >= 0) for output in outputs[1:-1])
    assert all(output.dtype == tf.float32 for output in outputs)
    assert head.compute_output_shape((None, 6))[-1] == outputs[-1].shape[-1]


def test_hidden_layers_are_as_wide_as_the_features_or_as_asked(features):
    widths = []
    for hidden in (None, 5):
        head = ProjectionHead(num_layers=3, hidden_features=hidden, out_features=4)
        widths.append([output.shape[-1] for output in head.layer_outputs(features)])
    assert widths == [[6, 6, 6, 4], [6, 5, 5, 4]]


def test_only_the_last_batch_norm_has_no_offset(features):
    head = ProjectionHead(num_layers=3)
    head(features)
    assert [norm.center for norm in head.norm_layers] == [True, True, False]
    assert all(norm.scale for norm in head.norm_layers)
    assert not any(dense.use_bias for dense in head.dense_layers)


def test_without_batch_norm_the_dense_layers_have_biases(features):
    head = ProjectionHead(num_layers=2, out_features=4, batch_norm=False)
    head(features)
    assert count_parameters(head) == (6 * 6 + 6 + 6 * 4 + 4, 0)
    kernels = [dense.kernel.numpy() for dense in head.dense_layers]
    expected = np.maximum(features @ kernels[0], 0) @ kernels[1]
    np.testing.assert_allclose(head(features), expected, rtol=1e-4, atol=1e-7)


def test_final_batch_norm_alone_can_be_left_out(features):
    head = ProjectionHead(num_layers=2, out_features=4, final_batch_norm=False)
    randomized(head, features)
    assert count_parameters(head) == (6 * 6 + 2 * 6 + 6 * 4 + 4, 2 * 6)
    hidden, projections = head.layer_outputs(features, training=True)[1:]
    last = head.dense_layers[1]
    expected = hidden @ last.kernel + last.bias
    np.testing.assert_allclose(projections, expected, rtol=1e-5)


def test_linear_head_is_one_layer_whatever_num_layers_says(features):
    head = ProjectionHead(kind="linear", num_layers=3, out_features=4)
    head(features)
    assert count_parameters(head) == (6 * 4 + 4, 2 * 4)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_no_head_is_the_identity(policy, features):
    head = ProjectionHead(kind="none", dtype=keras.mixed_precision.Policy(policy))
    np.testing.assert_array_equal(head(features, training=True), features)
    assert head.weights == []


def test_projections_are_float32_numbers_under_mixed_bfloat16(mixed_bfloat16, features):
    head = ProjectionHead(num_layers=2, out_features=4)
    hidden, projections = head.layer_outputs(features, training=True)[1:]
    assert projections.dtype == head(features).dtype == tf.float32
    on_grid = [
        np.all(tf.cast(tf.cast(x, tf.bfloat16), tf.float32) == x)
        for x in (hidden, projections)
    ]
    # The hidden layer was computed in bfloat16, the last one was not.
    assert on_grid == [True, False]
    assert all(weight.dtype == tf.float32 for weight in head.weights)


def test_sixteen_bit_features_are_taken(features):
    head = ProjectionHead(num_layers=2, out_features=4)
    assert head(tf.cast(features, tf.bfloat16)).dtype == tf.float32


def test_kernels_start_with_a_standard_deviation_of_a_hundredth():
    head = ProjectionHead(num_layers=2, out_features=100, seed=0)
    head.build((None, 200))
    for dense in head.dense_layers:
        assert dense.kernel.numpy().std() == pytest.approx(0.01, rel=0.02)


def test_same_seed_same_kernels_and_no_two_alike(features):
    kernels = []
    for seed in (1, 1, 2):
        head = ProjectionHead(num_layers=3, out_features=6, seed=seed)
        head(features)
        kernels.append([dense.kernel.numpy() for dense in head.dense_layers])
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.any(kernels[0][0] == kernels[2][0])
    assert not np.any(kernels[0][0] == kernels[0][1])


@pytest.mark.parametrize("arguments", HEADS)
def test_training_reaches_every_weight(arguments, features):
    head = ProjectionHead(out_features=4, **arguments)
    # A square would not do: batch norm keeps the mean square constant.
    target = np.random.default_rng(4).normal(size=head(features).shape)
    with tf.GradientTape() as tape:
        z = head(features, training=True)
        loss = tf.reduce_sum(z * tf.cast(target, tf.float32))
    gradients = tape.gradient(loss, head.trainable_weights)
    assert all(gradient is not None for gradient in gradients)
    assert all(np.any(gradient) for gradient in gradients)


def test_moving_statistics_move_in_training_only(features):
    head = ProjectionHead(num_layers=2)
    head(features, training=False)
    before = [weight.numpy() for weight in head.non_trainable_weights]
    head.layer_outputs(features)
    head(features)
    after = [weight.numpy() for weight in head.non_trainable_weights]
    np.testing.assert_array_equal(np.concatenate(before), np.concatenate(after))
    head(features, training=True)
    for weight, old in zip(head.non_trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.name


def test_batch_norm_takes_the_callers_constants(features):
    head = ProjectionHead(
        synchronized=True, batch_norm_momentum=0.5, batch_norm_epsilon=1e-3
    )
    head(features)
    constants = {(n.momentum, n.epsilon, type(n)) for n in head.norm_layers}
    assert constants == {(0.5, 1e-3, SynchronizedBatchNormalization)}


@pytest.mark.parametrize("arguments", HEADS)
def test_config_round_trip_gives_the_same_head(arguments, features):
    head = randomized(ProjectionHead(out_features=4, seed=3, **arguments), features)
    config = keras.layers.serialize(head)
    assert config["registered_name"] == "simclr_tf>ProjectionHead"
    twin = keras.layers.deserialize(config)
    assert twin.get_config() == head.get_config()
    twin(features)
    twin.set_weights(head.get_weights())
    np.testing.assert_array_equal(twin(features), head(features))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_saved_head_gives_the_same_projections(suffix, features, tmp_path):
    head = randomized(ProjectionHead(num_layers=2, out_features=4), features)
    model = keras.Sequential([keras.Input((6,)), head])
    model.save(str(tmp_path / f"head{suffix}"))
    loaded = keras.models.load_model(str(tmp_path / f"head{suffix}"), compile=False)
    np.testing.assert_allclose(loaded(features), head(features), rtol=1e-6)


@pytest.mark.parametrize("built_before", [False, True])
def test_checkpoint_restores_a_head_before_or_after_it_is_built(
    built_before, features, tmp_path
):
    head = randomized(ProjectionHead(num_layers=2, out_features=4), features)
    path = tf.train.Checkpoint(head=head).write(str(tmp_path / "head"))
    twin = ProjectionHead(num_layers=2, out_features=4)
    if built_before:
        twin(features)
    status = tf.train.Checkpoint(head=twin).read(path)
    np.testing.assert_array_equal(twin(features), head(features))
    status.assert_consumed()


def test_weights_have_readable_names(features):
    head = ProjectionHead(num_layers=2)
    head(features)
    assert [weight.name for weight in head.trainable_weights] == [
        "projection_head/dense1/kernel:0",
        "projection_head/dense2/kernel:0",
        "projection_head/bn1/gamma:0",
        "projection_head/bn1/beta:0",
        "projection_head/bn2/gamma:0",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "nonlinaer"}, "Did you mean nonlinear"),
        ({"num_layers": 0}, "`num_layers` must be a whole number >= 1.*=0"),
        ({"num_layers": 2.5}, "`num_layers` must"),
        ({"out_features": 0}, "`out_features` must"),
        ({"hidden_features": -3}, "`hidden_features` must.*=-3"),
        ({"batch_norm_momentum": 1.0}, "`batch_norm_momentum` must"),
        ({"batch_norm_epsilon": 0.0}, "`batch_norm_epsilon` must"),
    ],
)
def test_bad_arguments_of_a_head_are_named(arguments, words):
    with pytest.raises(ConfigError, match=words):
        ProjectionHead(**arguments)


def test_feature_maps_are_refused():
    with pytest.raises(ConfigError, match=r"features of shape \[N, F\]"):
        ProjectionHead()(tf.zeros([2, 4, 4, 8]))
