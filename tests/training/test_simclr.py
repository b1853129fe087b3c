"""The model: one forward, the paper's loss, a probe that does not leak."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import crop_views, plan_views, two_views
from simclr_tf.losses import nt_xent
from simclr_tf.models import ProjectionHead, resnet
from simclr_tf.optim import make_optimizer
from simclr_tf.training import SimCLR, replicated_model
from simclr_tf.training.assembly import precision_policy


def an_encoder():
    """What the model sees of any encoder: convolutions, batch norm, features."""
    images = x = keras.Input((None, None, 3))
    for seed in (0, 1):
        x = keras.layers.Conv2D(
            6,
            3,
            2,
            use_bias=False,
            kernel_initializer=keras.initializers.GlorotUniform(seed),
        )(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(dtype="float32")(x))


def a_model(num_classes=None, policy="float32", **kwargs):
    with precision_policy(policy):
        encoder = an_encoder()
        head = ProjectionHead(num_layers=2, out_features=8, seed=1)
    model = SimCLR(
        encoder=encoder,
        projection_head=head,
        temperature=0.5,
        num_classes=num_classes,
        compile_views=False,
        **kwargs,
    )
    model.build_from_shape((16, 16, 3))
    return model


def a_batch(size=8, labels=False, seed=0):
    rng = np.random.default_rng(seed)
    batch = {
        "images": rng.integers(0, 256, (size, 16, 16, 3)).astype("uint8"),
        "seeds": rng.integers(-(2**31), 2**31, (size, 2)).astype("int32"),
    }
    if labels:
        batch["labels"] = rng.integers(0, 3, size).astype("int32")
    return batch


def weights_of(layer):
    return [w.numpy() for w in layer.weights]


def test_the_loss_is_nt_xent_of_the_two_views():
    model = a_model(recipe="cifar")
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    batch = a_batch()
    a, b = two_views(batch["images"], batch["seeds"], "cifar")
    projections = model.projection_head(
        model.encoder(tf.concat([a, b], 0), training=True), training=True
    )
    expected = tf.reduce_mean(nt_xent(*tf.split(projections, 2), temperature=0.5))
    logs = model.train_step(batch)
    np.testing.assert_allclose(logs["contrastive_loss"], expected, rtol=1e-5)


def test_a_step_runs_the_encoder_once_on_both_views():
    calls = []

    class Counting(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = an_encoder()

        def call(self, images, training=False):
            calls.append(tuple(images.shape))
            return self.inner(images, training=training)

    model = SimCLR(
        encoder=Counting(),
        projection_head=ProjectionHead(out_features=8),
        recipe="cifar",
        compile_views=False,
        num_classes=3,
    )
    model.build_from_shape((16, 16, 3))
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    calls.clear()
    model.train_step(a_batch(labels=True))
    assert calls == [(16, 16, 16, 3)]


@pytest.mark.parametrize("given", ["images", "views", "crops"])
def test_views_may_come_from_outside_or_be_made_inside(given):
    model = a_model(recipe="finetune")
    batch = a_batch()
    a, b = two_views(batch["images"], batch["seeds"], "finetune")
    if given == "views":
        batch = {"view_a": a, "view_b": b}
    elif given == "crops":
        crops = [
            crop_views(image, seed, plan_views("finetune", 16))
            for image, seed in zip(batch["images"], batch["seeds"], strict=True)
        ]
        crops_a, crops_b = zip(*crops, strict=True)
        batch = {
            "crops": (tf.stack(crops_a), tf.stack(crops_b)),
            "seeds": batch["seeds"],
        }
    made_a, made_b = model.views_of(batch)
    np.testing.assert_allclose(made_a, a, atol=1e-5)
    np.testing.assert_allclose(made_b, b, atol=1e-5)


def test_labels_never_reach_the_encoder():
    trained = []
    for labels in (False, True):
        keras.utils.set_random_seed(0)
        model = a_model(num_classes=3, recipe="cifar")
        model.compile(optimizer=keras.optimizers.SGD(0.1))
        model.train_step(a_batch(labels=labels))
        trained.append(weights_of(model.encoder) + weights_of(model.projection_head))
    for without, with_labels in zip(*trained, strict=True):
        np.testing.assert_array_equal(without, with_labels)
    assert np.abs(model.probe.kernel.numpy()).max() > 0  # It did learn.


def test_unlabelled_images_do_not_count_in_the_probe():
    model = a_model(num_classes=3, recipe="cifar")
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    batch = a_batch(labels=True)
    batch["labels"][:] = -1
    logs = {k: float(v) for k, v in model.train_step(batch).items()}
    assert logs["probe_loss"] == logs["probe_accuracy"] == 0.0
    batch["labels"][0] = 1  # One image of eight: the mean is over it alone.
    model.probe.bias.assign([0.0, 50.0, 0.0])
    logs = {k: float(v) for k, v in model.train_step(batch).items()}
    assert logs["probe_accuracy"] == 1.0
    assert np.isfinite(logs["loss"]) and logs["loss"] == logs["contrastive_loss"]


def test_a_separate_labelled_set_feeds_the_probe_in_inference_mode():
    model = a_model(num_classes=3, recipe="cifar")
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    batch = a_batch()
    rng = np.random.default_rng(1)
    statistics = {}
    for probe_images in (None, rng.random((5, 16, 16, 3), "float32")):
        fresh = a_model(num_classes=3, recipe="cifar")
        fresh.compile(optimizer=keras.optimizers.SGD(0.1))
        extra = (
            {}
            if probe_images is None
            else {
                "probe_images": probe_images,
                "probe_labels": np.array([0, 1, 2, 0, 1]),
            }
        )
        fresh.train_step({**batch, **extra})
        statistics[probe_images is None] = weights_of(fresh.encoder)
        assert (np.abs(fresh.probe.kernel.numpy()).max() > 0) == bool(extra)
    # Not even the moving statistics see the probe's images.
    for without, with_probe in zip(*statistics.values(), strict=True):
        np.testing.assert_array_equal(without, with_probe)


@pytest.mark.parametrize("eager", [False, True])
def test_fit_trains_with_ordinary_callbacks_eagerly_and_in_a_graph(eager):
    model = a_model(num_classes=3, recipe="cifar")
    model.compile(optimizer=keras.optimizers.Adam(1e-3), run_eagerly=eager)
    dataset = tf.data.Dataset.from_tensors(a_batch(labels=True)).repeat(4)
    seen = []
    history = model.fit(
        dataset,
        epochs=2,
        verbose=0,
        steps_per_epoch=2,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: seen.append(sorted(logs))
            )
        ],
    )
    assert seen[0] == sorted(
        [
            "loss",
            "contrastive_loss",
            "contrastive_accuracy",
            "contrastive_entropy",
            "feature_std",
            "gradient_norm",
            "probe_loss",
            "probe_accuracy",
        ]
    )
    assert history.history["loss"][1] < history.history["loss"][0]


def test_eager_and_graph_training_agree():
    losses = []
    for eager in (False, True):
        model = a_model(recipe="cifar")
        model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=eager)
        dataset = tf.data.Dataset.from_tensors(a_batch()).repeat(3)
        losses.append(model.fit(dataset, verbose=0).history["loss"][0])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_evaluate_changes_nothing():
    model = a_model(num_classes=3, recipe="cifar")
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    before = weights_of(model)
    result = model.evaluate(
        tf.data.Dataset.from_tensors(a_batch(labels=True)), verbose=0, return_dict=True
    )
    assert result["loss"] > 0
    assert "gradient_norm" not in result  # There is no gradient to measure.
    after = weights_of(model)
    metrics = len(model.metrics) * 2  # Their totals and counts are weights too.
    assert len(before) > metrics
    for layer in (model.encoder, model.projection_head, model.probe):
        assert layer.weights
    changed = [not np.array_equal(x, y) for x, y in zip(before, after, strict=True)]
    network = {
        id(w)
        for part in (model.encoder, model.projection_head, model.probe)
        for w in part.weights
    }
    assert not any(
        c for c, w in zip(changed, model.weights, strict=True) if id(w) in network
    )


def test_bfloat16_keeps_weights_and_loss_in_float32():
    model = a_model(num_classes=3, recipe="cifar", policy="bfloat16")
    assert keras.mixed_precision.global_policy().name == "float32"
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    assert {w.dtype for w in model.trainable_variables} == {tf.float32}
    assert model.probe.compute_dtype == "float32"
    batch = a_batch(labels=True)
    assert model.encoder(batch["images"][:1] / np.float32(255)).dtype == tf.float32
    logs = model.train_step(batch)
    assert all(v.dtype == tf.float32 and np.isfinite(v) for v in logs.values())


def test_a_users_own_regularizer_is_part_of_the_loss():
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(0.1))(images)
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    model = SimCLR(
        encoder=encoder,
        projection_head=ProjectionHead(out_features=4),
        recipe="cifar",
        compile_views=False,
    )
    model.build_from_shape((16, 16, 3))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    logs = model.train_step(a_batch())
    expected = 0.1 * np.sum(encoder.layers[1].kernel.numpy() ** 2)
    np.testing.assert_allclose(
        logs["loss"] - logs["contrastive_loss"], expected, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("jit_compile", "on_gpu", "micro_batch_size", "is_used"),
    [
        (None, False, None, True),
        (None, False, 2, True),
        (True, False, None, False),
        (None, True, None, False),
    ],
)
def test_a_step_computes_kernels_gradients_over_the_batch(
    jit_compile, on_gpu, micro_batch_size, is_used, monkeypatch
):
    monkeypatch.setattr(replicated_model, "on_gpu", lambda: on_gpu)
    model = SimCLR(
        resnet(10, width_multiplier=0.0625, stem="small"),
        ProjectionHead(num_layers=2, out_features=8),
        micro_batch_size=micro_batch_size,
    )
    model.build_from_shape((16, 16, 3), global_batch_size=4)
    model.compile(make_optimizer("sgd", 0.1), jit_compile=jit_compile)
    view = tf.TensorSpec([4, 16, 16, 3])
    step = tf.function(model.train_step)
    graph = step.get_concrete_function({"view_a": view, "view_b": view}).graph
    # The bodies of micro-batches' loops are functions beside the graph.
    nodes = graph.as_graph_def()
    parts = [nodes.node, *(f.node_def for f in nodes.library.function)]
    kinds = [node.op for part in parts for node in part]
    # Of 13 kernels, four of 3 x 3 have outputs of up to 2 x 2 pixels.
    assert kinds.count("Conv2DBackpropFilter") == (9 if is_used else 13)
