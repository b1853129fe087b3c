"""Micro-batches give the gradient, the figures and the weights of the whole batch."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError
from simclr_tf.models import ProjectionHead, SynchronizedBatchNormalization
from simclr_tf.objectives import Outputs
from simclr_tf.training import SimCLR

SIZE, CLASSES, BATCH, MICRO = 8, 3, 8, 2


def an_encoder(regularizer=None):
    images, start = keras.Input((SIZE, SIZE, 3)), keras.initializers.GlorotUniform
    x = keras.layers.Conv2D(
        4,
        3,
        2,
        use_bias=False,
        kernel_regularizer=regularizer,
        kernel_initializer=start(0),
    )(images)
    x = SynchronizedBatchNormalization(momentum=0.5)(x)
    x = keras.layers.Flatten()(keras.layers.Activation("swish")(x))
    return keras.Model(
        images,
        keras.layers.Dense(
            6,
            use_bias=False,
            activity_regularizer=regularizer,
            kernel_initializer=start(1),
        )(x),
    )


def a_model(micro=MICRO, norm="batch", *, encoder=None, **kwargs):
    model = SimCLR(
        encoder=encoder or an_encoder(),
        temperature=0.5,
        num_classes=CLASSES,
        projection_head=ProjectionHead(
            num_layers=1, out_features=5, synchronized=True, seed=3
        ),
        micro_batch_size=micro,
        micro_batch_norm=norm,
        **kwargs,
    )
    model.build_from_shape((SIZE, SIZE, 3))
    model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def a_batch(seed=0, rows=BATCH, nan_at_row=None):
    rng = np.random.default_rng(seed)
    shape = (rows, SIZE, SIZE, 3)
    batch = {name: rng.random(shape).astype("float32") for name in ("view_a", "view_b")}
    batch["labels"] = rng.integers(-1, CLASSES, rows).astype("int32")
    if nan_at_row is not None:
        batch["view_a"][nan_at_row] = np.nan
    return batch


def a_labelled_set():
    rng = np.random.default_rng(7)
    return {
        "probe_images": rng.random((5, SIZE, SIZE, 3)).astype("float32"),
        "probe_labels": np.array([0, 1, 2, -1, 1]),
    }


def state_of(model):
    """Weights and moving statistics, by name."""
    parts = (model.encoder, model.projection_head, model.probe)
    return [v.numpy() for part in parts for v in part.variables]


def written_out(model, batch, micro, training):
    """(gradients, figures) of all micro-batches under one tape: what must come out."""
    with tf.GradientTape() as tape:
        parts = [
            model.forward(
                [batch[name][first : first + micro] for name in ("view_a", "view_b")],
                training,
            )
            for first in range(0, len(batch["view_a"]), micro)
        ]
        features, projections = (
            tuple(tf.concat(rows, axis=0) for rows in zip(*views, strict=True))
            for views in ([part[which] for part in parts] for which in (0, 1))
        )
        regularizers = tf.add_n([part[2] for part in parts]) / len(parts)
        shares, scalars = model.figures(Outputs(features, projections), regularizers)
        model.add_probe_figures(batch, features, shares, scalars)
    gradients = tape.gradient(shares["loss"], model.trainable_variables)
    return gradients, {**shares, **scalars}


def assert_equal_gradients(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(other) > 1e-6
        assert np.linalg.norm(one - other) <= 1e-5 * np.linalg.norm(other)


@pytest.mark.parametrize("probe_set", [False, True])
@pytest.mark.parametrize(
    "norm, written_micro", [("inference", BATCH), ("batch", MICRO)]
)
def test_gradients_and_figures_are_those_of_all_projections(
    norm, written_micro, probe_set
):
    # In inference mode the reference is the whole batch at once; with batch statistics
    # it is the loss of all projections, each from the statistics of its micro-batch.
    regularizer = keras.regularizers.L2(0.1)
    batch = a_batch() | (a_labelled_set() if probe_set else {})
    model, reference = (
        a_model(norm=norm, encoder=an_encoder(regularizer)) for _ in range(2)
    )
    for each in (model, reference):  # Not the statistics of untrained layers.
        each.forward((batch["view_b"], batch["view_a"]), training=True)
    before = state_of(model)
    gradients, _, shares, scalars = model.gradients(batch)
    expected, figures = written_out(reference, batch, written_micro, norm == "batch")
    assert_equal_gradients(gradients, expected)
    assert {"probe_loss", "contrastive_entropy", "feature_std"} < set(figures)
    assert float(figures["loss"] - figures["probe_loss"]) > 1.01 * float(
        figures["contrastive_loss"]
    )  # There are regularizers.
    for name, value in {**shares, **scalars}.items():
        np.testing.assert_allclose(value, figures[name], rtol=1e-5, err_msg=name)
    # Moving statistics: once for each micro-batch, or never.
    after = state_of(model)
    for value, wanted in zip(after, state_of(reference), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-7)
    moved = [np.any(x != y) for x, y in zip(before, after, strict=True)]
    assert sum(moved) == (4 if norm == "batch" else 0)  # Two layers, two each.


def test_one_micro_batch_is_the_ordinary_step():
    whole, cached = a_model(micro=None), a_model(micro=BATCH)
    logs, cached_logs = whole.train_step(a_batch()), cached.train_step(a_batch())
    assert sorted(logs) == sorted(cached_logs)
    for name, value in logs.items():
        np.testing.assert_allclose(cached_logs[name], value, rtol=1e-5, err_msg=name)
    for value, wanted in zip(state_of(cached), state_of(whole), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


def test_evaluation_gives_the_figures_of_the_whole_batch():
    results = [a_model(micro=micro).test_step(a_batch()) for micro in (None, MICRO)]
    for name, value in results[0].items():
        np.testing.assert_allclose(results[1][name], value, rtol=1e-5, err_msg=name)


def size_of_graph(rows):
    """(nodes, numbers in the largest map of activations) of the graph of a gradient."""
    graph = (
        tf.function(a_model().gradients, autograph=False)
        .get_concrete_function(
            {
                name: tf.TensorSpec([rows, SIZE, SIZE, 3])
                for name in ("view_a", "view_b")
            }
        )
        .graph.as_graph_def(add_shapes=True)
    )
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    shapes = [
        [dim.size for dim in shape.dim]
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
    ]
    return len(nodes), max(
        math.prod(shape) for shape in shapes if len(shape) == 4 and shape[0] != rows
    )  # But the views.


def test_neither_the_graph_nor_the_activations_grow_with_the_micro_batches():
    few, many = size_of_graph(16), size_of_graph(64)
    assert few == many
    assert few[1] < math.prod([2 * 16, SIZE, SIZE, 3])


def test_a_step_is_one_xla_program_that_trains_as_the_eager_one_and_skips_a_nan():
    models = [a_model(on_nonfinite="skip") for _ in range(2)]
    steps = [
        tf.function(models[0].train_step, jit_compile=True, autograph=False),
        models[1].train_step,
    ]
    for seed in (0, 1):
        for step in steps:
            step({name: tf.constant(v) for name, v in a_batch(seed).items()})
    for value, wanted in zip(*map(state_of, models), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)
    before = state_of(models[0])
    logs = steps[0](
        {name: tf.constant(v) for name, v in a_batch(2, nan_at_row=5).items()}
    )
    assert logs["skipped_steps"] == 1
    for value, wanted in zip(state_of(models[0]), before, strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize("norm", ["batch", "inference"])
def test_two_replicas_train_as_one_device(norm):
    # Groups of another size in one process need other keys for their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = a_model(norm=norm)
    single = a_model(micro=2 * MICRO, norm=norm)
    run = tf.function(
        lambda batch: strategy.run(model.train_step, (batch,)), autograph=False
    )
    # Micro-batch k of one device: those of the two replicas.
    order = np.arange(BATCH).reshape(2, -1, MICRO).swapaxes(0, 1).ravel()
    for seed in (0, 1):
        batch = a_batch(seed)
        logs = run(
            {
                name: strategy.experimental_distribute_values_from_function(
                    lambda c, v=v: tf.constant(
                        np.split(v, 2)[c.replica_id_in_sync_group]
                    )
                )
                for name, v in batch.items()
            }
        )
        expected = single.train_step({name: v[order] for name, v in batch.items()})
        for name, value in expected.items():
            found = strategy.experimental_local_results(logs[name])[0]
            np.testing.assert_allclose(found, value, rtol=1e-5, err_msg=name)
    for value, wanted in zip(state_of(model), state_of(single), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_holds_nothing_more():
    assert [v.shape for v in a_model(MICRO).variables] == [
        v.shape for v in a_model(None).variables
    ]


def test_a_streamed_loss_is_what_the_step_reports():
    # 7 anchors at a time; 16 in all.
    logs = [a_model(None, chunk_size=rows).train_step(a_batch()) for rows in (None, 7)]
    for name, value in logs[0].items():
        np.testing.assert_allclose(logs[1][name], value, rtol=1e-5, err_msg=name)


def test_what_cannot_be_is_refused_in_one_line():
    pictures = keras.Input((SIZE, SIZE, 3))
    random = keras.Model(
        pictures,
        keras.layers.Flatten()(keras.layers.Dropout(0.1, name="forgetful")(pictures)),
    )
    unbuilt = SimCLR(an_encoder(), ProjectionHead(), micro_batch_size=MICRO)
    for refused, words in (
        (lambda: a_model(3).train_step(a_batch()), "divide.*=3.*batch_size=8"),
        (lambda: a_model(0), "must be >= 1"),
        (lambda: a_model(norm="bach"), "Did you mean batch"),
        (lambda: a_model(encoder=random), "layers are random.*forgetful"),
        (lambda: unbuilt.train_step(a_batch()), "build_from_shape"),
    ):
        with pytest.raises(ConfigError, match=words) as error:
            refused()
        assert "\n" not in str(error.value)
    assert a_model(norm="inference", encoder=random).train_step(a_batch())["loss"] > 0
