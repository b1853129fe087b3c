"""One labelled view through the network: loss, groups of optimizers, replicas."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import one_view
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization
from simclr_tf.training.classifier_model import Classifier

SIZE, CLASSES, BATCH = 8, 3, 8


def a_network(regularizer=None):
    images = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Conv2D(
        4,
        3,
        2,
        kernel_regularizer=regularizer,
        kernel_initializer=keras.initializers.GlorotUniform(0),
    )(images)
    x = keras.layers.Activation("swish")(SynchronizedBatchNormalization()(x))
    logits = keras.layers.Dense(
        CLASSES, kernel_initializer=keras.initializers.GlorotUniform(1)
    )(keras.layers.Flatten()(x))
    return keras.Model(images, logits)


def a_batch(labels=None, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, CLASSES, BATCH)
    return {
        "images": rng.integers(0, 256, (BATCH, SIZE, SIZE, 1)).astype("uint8"),
        "seeds": rng.integers(-(2**31), 2**31, (BATCH, 2)).astype("int32"),
        "labels": np.asarray(drawn if labels is None else labels, np.int32),
    }


def cross_entropy(logits, labels):
    """Mean over labelled rows, in NumPy."""
    logits = np.float64(logits)
    rows = [
        np.log(np.exp(row).sum()) - row[label]
        for row, label in zip(logits, labels, strict=True)
        if label >= 0
    ]
    return np.mean(rows)


def a_classifier(network, **kwargs):
    optimizer = kwargs.pop("optimizer", None) or keras.optimizers.SGD(0.1)
    model = Classifier(network, compile_views=False, **kwargs)
    model.compile(optimizer=optimizer)
    return model


def test_the_loss_is_the_mean_cross_entropy_of_one_view():
    network, batch = a_network(), a_batch(labels=[0, 1, 2, -1, 0, 1, -1, 2])
    view = one_view(batch["images"], batch["seeds"], "finetune")
    logits = network(view, training=True)
    logs = a_classifier(network).train_step(batch)
    np.testing.assert_allclose(
        logs["loss"], cross_entropy(logits, batch["labels"]), rtol=1e-5
    )
    labelled = batch["labels"] >= 0
    hits = (np.argmax(logits, 1) == batch["labels"])[labelled]
    np.testing.assert_allclose(logs["accuracy"], hits.mean())


def test_regularizers_of_the_network_count_in_the_loss():
    batch = a_batch()
    plain = a_classifier(a_network()).train_step(batch)["loss"]
    network = a_network(keras.regularizers.L2(0.5))
    kernel = network.layers[1].kernel.numpy()
    loss = a_classifier(network).train_step(batch)["loss"]
    np.testing.assert_allclose(loss - plain, 0.5 * (kernel**2).sum(), rtol=1e-4)


def test_each_group_moves_at_the_rate_of_its_own_optimizer():
    ends = []
    for rates in ((0.1, 0.1), (0.1, 0.02)):
        network = a_network()
        variables = network.trainable_variables
        groups = [variables[:2], variables[2:]]
        model = a_classifier(
            network,
            groups=groups,
            optimizer=[keras.optimizers.SGD(rate) for rate in rates],
        )
        model.train_step(a_batch())
        ends.append([v.numpy() for v in network.trainable_variables])
    start = a_network().trainable_variables
    fast, slow = ([end - old for end, old in zip(e, start, strict=True)] for e in ends)
    for index, (one, other) in enumerate(zip(fast, slow, strict=True)):
        factor = 1.0 if index < 2 else 0.2
        np.testing.assert_allclose(other, factor * one, rtol=1e-3, atol=1e-6)


def test_as_many_optimizers_as_groups_are_needed():
    network = a_network()
    model = a_classifier(network, groups=[network.trainable_variables])
    model.compile(optimizer=[keras.optimizers.SGD(0.1)] * 2)
    with pytest.raises(ConfigError, match="one optimizer for each group of variables"):
        model.train_step(a_batch())


def test_averages_are_those_of_the_weights_after_each_step():
    network = a_network()
    network.layers[1].trainable = False
    start = [value.astype("float64") for value in network.get_weights()]
    model = a_classifier(network, average_decay=0.15)
    averages = start
    for step in range(1, 4):
        model.train_step(a_batch(seed=step))
        decay = min(0.15, (1 + step) / (10 + step))
        averages = [
            decay * average + (1 - decay) * weight
            for average, weight in zip(averages, network.get_weights(), strict=True)
        ]
    assert not np.allclose(averages[-2], start[-2], atol=1e-3)
    for found, expected in zip(model.result(), averages, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for found, frozen in zip(model.result()[:2], network.get_weights(), strict=False):
        np.testing.assert_array_equal(found, frozen)
    model.start_from(network.get_weights())
    for found, weight in zip(model.result(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(found, weight)


def test_fit_learns_and_validates_on_images_as_they_are():
    batch = a_batch(labels=[0, 1, 2, 0, 1, 2, 0, 1])
    batch["images"] = (
        batch["images"] // 4 + 80 * batch["labels"][:, None, None, None]
    ).astype("uint8")
    data = tf.data.Dataset.from_tensors(batch).repeat()
    seen = tf.data.Dataset.from_tensors(
        {"images": batch["images"], "labels": batch["labels"]}
    )
    network = a_network()
    model = a_classifier(network, optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(
        data, steps_per_epoch=20, epochs=3, verbose=0, validation_data=seen
    ).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    logits = network(batch["images"] / np.float32(255))
    np.testing.assert_allclose(
        history["val_loss"][-1], cross_entropy(logits, batch["labels"]), rtol=1e-4
    )


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_take_the_step_of_one_device(replicas):
    """Labels are missing unevenly: the mean is over the global batch's labels."""
    batch = a_batch(labels=[0, -1, -1, -1, 1, 2, 0, 1])
    one = a_classifier(a_network(), recipe="evaluate", average_decay=0.9)
    expected = one.train_step(batch)
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    with strategy.scope():
        several = a_classifier(a_network(), recipe="evaluate", average_decay=0.9)
    rows = BATCH // replicas
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: {
            name: tf.constant(value[context.replica_id_in_sync_group * rows :][:rows])
            for name, value in batch.items()
        }
    )

    @tf.function
    def step(parts):
        return strategy.run(several.train_step, args=(parts,))

    found = step(parts)
    for name, value in expected.items():
        for replica in strategy.experimental_local_results(found[name]):
            np.testing.assert_allclose(replica, value, rtol=1e-5, err_msg=name)
    for ours, theirs in zip(
        several.network.variables, one.network.variables, strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(several.result(), one.result(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
