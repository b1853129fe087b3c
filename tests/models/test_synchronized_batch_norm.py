"""N replicas normalize as one device does that sees the whole batch."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.distribution import messages
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization

GLOBAL_BATCH_SIZE, CHANNELS = 8, 5
SHAPES = {"images": (4, 3, CHANNELS), "features": (CHANNELS,)}


def global_batch(kind, mean=0.0):
    rng = np.random.default_rng(0)
    shape = (GLOBAL_BATCH_SIZE, *SHAPES[kind])
    spread = np.linspace(0.5, 2, GLOBAL_BATCH_SIZE)  # The replicas' parts differ.
    spread = spread.reshape([-1] + [1] * (len(shape) - 1))
    x = mean + spread * rng.normal(size=shape) + np.arange(CHANNELS)
    return x.astype("float32"), rng.normal(size=shape).astype("float32")


def mirrored(num_replicas):
    # Groups of another size in one process need other keys for their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])


def parts(strategy, value):
    rows = GLOBAL_BATCH_SIZE // strategy.num_replicas_in_sync
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(
            value[context.replica_id_in_sync_group * rows :][:rows]
        )
    )


def a_layer(kind, cls, **kwargs):
    layer = cls(momentum=0.9, epsilon=1e-5, **kwargs)
    layer.build((None, *SHAPES[kind]))
    for weight, value in (
        (layer.gamma, np.linspace(0.5, 2, CHANNELS)),
        (layer.beta, np.linspace(-1, 1, CHANNELS)),
        (layer.moving_mean, np.linspace(-2, 3, CHANNELS)),
        (layer.moving_variance, np.linspace(0.1, 4, CHANNELS)),
    ):
        if weight is not None:
            weight.assign(value)
    return layer


def step_of(layer, training=True):
    """(x, weight) -> outputs and the gradients of sum(outputs * weight)."""

    def step(x, weight):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=training)
            loss = tf.reduce_sum(tf.cast(outputs, weight.dtype) * weight)
        parameters = layer.trainable_variables
        return outputs, *tape.gradient(loss, [x, *parameters])

    return step


def one_device(layer, x, weight, training=True):
    outputs, d_x, *d_parameters = step_of(layer, training)(
        tf.constant(x), tf.constant(weight)
    )
    return [outputs, d_x, *d_parameters, layer.moving_mean, layer.moving_variance]


def several(num_replicas, kind, x, weight, training=True, **kwargs):
    strategy = mirrored(num_replicas)
    with strategy.scope():
        layer = a_layer(kind, SynchronizedBatchNormalization, **kwargs)
    run = tf.function(
        lambda *args: strategy.run(step_of(layer, training), args), autograph=False
    )
    outputs, d_x, *d_parameters = run(parts(strategy, x), parts(strategy, weight))
    rows = [
        tf.concat(strategy.experimental_local_results(v), 0) for v in (outputs, d_x)
    ]
    for moving in (layer.moving_mean, layer.moving_variance):
        copies = [v.numpy() for v in strategy.experimental_local_results(moving)]
        assert len(copies) == num_replicas
        for copy in copies:
            np.testing.assert_array_equal(copy, copies[0])
    return [
        *rows,
        *(strategy.reduce("SUM", d, axis=None) for d in d_parameters),
        layer.moving_mean,
        layer.moving_variance,
    ]


NAMES = ("outputs", "d_inputs", "d_gamma", "d_beta", "moving_mean", "moving_variance")


def relative_errors(found, expected):
    found, expected = (
        [np.asarray(tf.cast(v, tf.float64)) for v in values]
        for values in (found, expected)
    )
    return {
        name: np.linalg.norm(a - b) / np.linalg.norm(b)
        for name, a, b in zip(NAMES, found, expected, strict=True)
    }


@pytest.fixture(params=["few", "many"])
def few_or_many(request, monkeypatch):
    """How moments are exchanged: stacked, as up to 8 replicas do, or summed."""
    if request.param == "many":
        monkeypatch.setattr(messages, "STACKED_REPLICAS", 1)


@pytest.mark.usefixtures("few_or_many")
@pytest.mark.parametrize("num_replicas", [2, 4])
@pytest.mark.parametrize("kind", list(SHAPES))
def test_replicas_equal_one_device_on_the_whole_batch(num_replicas, kind):
    x, weight = global_batch(kind)
    single = a_layer(kind, keras.layers.BatchNormalization)
    expected = one_device(single, x, weight)
    assert single.fused == (kind == "images")  # The oracle is the kernel for images.
    errors = relative_errors(several(num_replicas, kind, x, weight), expected)
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("num_replicas", [2, 4])
def test_bfloat16_inputs_get_float32_statistics(num_replicas):
    x, weight = global_batch("images")
    x = tf.cast(x, tf.bfloat16).numpy()
    layer = a_layer("images", keras.layers.BatchNormalization, dtype="mixed_bfloat16")
    moving = 0.9 * layer.moving_mean + 0.1 * x.astype("float64").mean((0, 1, 2))
    expected = one_device(layer, x, weight)
    np.testing.assert_allclose(expected[4], moving, rtol=1e-6)  # One device's too.
    found = several(num_replicas, "images", x, weight, dtype="mixed_bfloat16")
    assert [v.dtype for v in found[:2]] == [tf.bfloat16] * 2
    errors = relative_errors(found, expected)
    # Numbers that are handed on in bfloat16 may round to the other neighbour, 2^-8
    # apart, at the few places where the float32 values differ in the last digit.
    assert max(errors.pop("outputs"), errors.pop("d_inputs")) < 1e-3
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.usefixtures("few_or_many")
def test_a_badly_centred_input_costs_no_digits():
    x, weight = global_batch("images", mean=1000.0)
    exact = x.astype("float64")
    mean, variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    squares = np.mean(x**2, (0, 1, 2), dtype="float32")
    textbook = squares - np.mean(x, (0, 1, 2), dtype="float32") ** 2
    assert np.abs(textbook / variance - 1).max() > 0.01  # What E[x^2] - E[x]^2 gives.
    n = x.size // CHANNELS
    found = several(2, "images", x, weight)
    layer = a_layer("images", keras.layers.BatchNormalization)
    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    expected = gamma * (exact - mean) / np.sqrt(variance + 1e-5) + beta
    # A float32 near 1000 is known to 3e-5, so are the replicas' means: an offset of
    # the outputs, and of what the distance of the means (here about 0.1) adds to the
    # variance.
    np.testing.assert_allclose(found[0], expected, atol=3e-4)
    variance *= n / (n - 1)
    np.testing.assert_allclose(
        found[5], 0.9 * layer.moving_variance + 0.1 * variance, rtol=1e-5
    )
    np.testing.assert_allclose(
        found[4], 0.9 * layer.moving_mean + 0.1 * mean, rtol=1e-6
    )


def collectives_in(graph):
    """Collectives of a traced step, those in called functions included."""
    nodes = list(graph.as_graph_def().node)
    nodes += [n for f in graph.as_graph_def().library.function for n in f.node_def]
    return [node.op for node in nodes if node.op.startswith("Collective")]


def traced(training, with_gradient, num_replicas=2):
    strategy = mirrored(num_replicas)
    with strategy.scope():
        layer = a_layer("images", SynchronizedBatchNormalization)
    x, weight = (parts(strategy, v) for v in global_batch("images"))
    step = (
        step_of(layer, training)
        if with_gradient
        else (lambda x, _: layer(x, training=training))
    )
    run = tf.function(lambda *args: strategy.run(step, args), autograph=False)
    return layer, run.get_concrete_function(x, weight).graph


@pytest.mark.usefixtures("few_or_many")
@pytest.mark.parametrize("num_replicas", [2, 4])
def test_a_layer_costs_one_collective_forward_and_one_backward(num_replicas):
    """Less cannot be: mean and variance of all replicas go into every output, and the
    sums over all outputs' gradients, known only later, into every input's gradient."""
    each = ["CollectiveReduceV2"] * num_replicas  # Of a replica's part of the graph.
    assert collectives_in(traced(True, False, num_replicas)[1]) == each
    assert collectives_in(traced(True, True, num_replicas)[1]) == each * 2


@pytest.mark.parametrize(
    "kwargs", [{"training": False}, {"training": True, "trainable": False}]
)
def test_inference_and_frozen_layers_use_moving_statistics(kwargs):
    x, weight = global_batch("images")
    layer = a_layer("images", keras.layers.BatchNormalization)
    expected = one_device(layer, x, weight, training=False)
    found = several(2, "images", x, weight, **kwargs)
    for index in (0, 1, -2, -1):  # Outputs, d_inputs, moving statistics.
        np.testing.assert_allclose(found[index], expected[index], rtol=1e-5, atol=1e-6)


def test_inference_takes_no_collective():
    assert collectives_in(traced(False, True)[1]) == []


def test_moving_statistics_are_read_without_a_collective():
    layer, _ = traced(True, False)
    for moving in (layer.moving_mean, layer.moving_variance):
        assert moving.aggregation == tf.VariableAggregation.ONLY_FIRST_REPLICA


def test_without_scale_and_offset_only_the_inputs_have_a_gradient():
    x, weight = global_batch("images")
    options = {"scale": False, "center": False}
    expected = one_device(
        a_layer("images", keras.layers.BatchNormalization, **options), x, weight
    )
    found = several(2, "images", x, weight, **options)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_channels_may_come_first():
    x, weight = (np.moveaxis(v, -1, 1) for v in global_batch("images"))
    strategy = mirrored(2)
    with strategy.scope():
        layer = SynchronizedBatchNormalization(axis=1, fused=False)
        layer.build(x.shape)
    run = tf.function(
        lambda x: strategy.run(layer, (x,), {"training": True}), autograph=False
    )
    found = tf.concat(strategy.experimental_local_results(run(parts(strategy, x))), 0)
    expected = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(
        x.var((0, 2, 3), keepdims=True) + 1e-3
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_it_cannot_synchronize_is_refused():
    strategy = mirrored(2)
    with strategy.scope():
        layer = a_layer("images", SynchronizedBatchNormalization)
    x, mask = (parts(strategy, v) for v in global_batch("images"))
    with pytest.raises(ConfigError, match="no mask"):
        strategy.run(layer, (x,), {"training": True, "mask": mask})


@pytest.mark.parametrize("save_format", ["keras", "h5", "tf"])
def test_it_survives_every_format(save_format, tmp_path):
    inputs = keras.Input(SHAPES["images"])
    model = keras.Model(inputs, SynchronizedBatchNormalization(name="bn")(inputs))
    x, _ = global_batch("images")
    model(x, training=True)
    path = str(tmp_path / f"model.{save_format}")
    model.save(path, save_format=save_format)
    loaded = keras.models.load_model(path, compile=False)
    assert type(loaded.get_layer("bn")) is SynchronizedBatchNormalization
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6)


def test_groups_are_normalized_apart_whatever_their_order():
    rng = np.random.default_rng(0)
    images = rng.normal(size=[6, 3, 3, 4]).astype("float32")
    split, whole = (SynchronizedBatchNormalization(momentum=0.5) for _ in range(2))
    split.groups = 3
    outputs = split(images, training=True).numpy()
    for group in range(3):
        expected = whole(images[group::3], training=True)
        np.testing.assert_allclose(outputs[group::3], expected, rtol=1e-4, atol=1e-5)
    means = images.reshape([2, 3, 9, 4]).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(split.moving_mean, 0.5 * means, rtol=1e-4, atol=1e-6)


def test_groups_that_do_not_divide_the_images_are_refused():
    split = SynchronizedBatchNormalization()
    split.groups = 4
    with pytest.raises(ConfigError, match="must divide the images"):
        split(np.zeros([6, 2], "float32"), training=True)
