"""A student learns from a teacher that stays as it is: one step, replicas, refusals."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.augment import one_view
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization
from simclr_tf.training import Classifier, Distiller

SIZE, CLASSES, BATCH = 8, 3, 8
LABELS = [0, 1, 2, -1, 0, 1, -1, 2]


def a_network(seed, channels=1, classes=CLASSES, batch_norm=True):
    images = keras.Input((SIZE, SIZE, channels))
    x = keras.layers.Conv2D(
        4, 3, 2, kernel_initializer=keras.initializers.GlorotUniform(seed)
    )(images)
    if batch_norm:
        x = SynchronizedBatchNormalization()(x)
    x = keras.layers.Activation("swish")(x)
    logits = keras.layers.Dense(
        classes, kernel_initializer=keras.initializers.GlorotUniform(seed + 1)
    )(keras.layers.Flatten()(x))
    network = keras.Model(images, logits)
    rng = np.random.default_rng(seed)  # Moving statistics of their own.
    network.set_weights([w + 0.1 * rng.random(w.shape) for w in network.get_weights()])
    return network


def a_batch(labels=LABELS, seed=0):
    rng = np.random.default_rng(seed)
    batch = {
        "images": rng.integers(0, 256, (BATCH, SIZE, SIZE, 1)).astype("uint8"),
        "seeds": rng.integers(-(2**31), 2**31, (BATCH, 2)).astype("int32"),
    }
    return batch if labels is None else {**batch, "labels": np.int32(labels)}


def a_distiller(student, teacher, rate=0.1, **kwargs):
    model = Distiller(student, teacher, compile_views=False, **kwargs)
    model.compile(optimizer=keras.optimizers.SGD(rate))
    return model


def softmax(logits):
    powers = np.exp(np.float64(logits))
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_step_is_that_of_the_paper_in_numpy():
    """A linear student: W <- W - rate x^T (d loss / d logits) / N."""
    alpha, temperature, rate = 0.3, 2.0, 0.5
    images = keras.Input((SIZE, SIZE, 1))
    student = keras.Model(
        images,
        keras.layers.Dense(
            CLASSES, kernel_initializer=keras.initializers.GlorotUniform(0)
        )(keras.layers.Flatten()(images)),
    )
    teacher = a_network(5)
    kernel, bias = (np.float64(w) for w in student.get_weights())
    batch = a_batch()
    view = one_view(batch["images"], batch["seeds"], "finetune")
    x = np.float64(view).reshape(BATCH, -1)
    logits, said = x @ kernel + bias, np.float64(teacher(view, training=False))
    p, q = softmax(said / temperature), softmax(logits / temperature)
    labelled = batch["labels"] >= 0
    target = np.eye(CLASSES)[batch["labels"]]
    slope = alpha * (q - p) / temperature
    slope += (1 - alpha) * labelled[:, None] * (softmax(logits) - target)
    distillation = -(p * np.log(q)).sum(axis=1)
    supervised = -(target * np.log(softmax(logits))).sum(axis=1)[labelled]

    logs = a_distiller(
        student, teacher, rate, alpha=alpha, temperature=temperature
    ).train_step(batch)
    found = student.get_weights()
    np.testing.assert_allclose(found[0], kernel - rate * x.T @ slope / BATCH, atol=1e-5)
    np.testing.assert_allclose(found[1], bias - rate * slope.mean(axis=0), atol=1e-5)
    expected = {
        "loss": (alpha * distillation.sum() + (1 - alpha) * supervised.sum()) / BATCH,
        "distillation_loss": distillation.mean(),
        "agreement": (said.argmax(1) == logits.argmax(1)).mean(),
        "accuracy": (logits.argmax(1) == batch["labels"])[labelled].mean(),
    }
    assert set(logs) == {*expected, "gradient_norm"}
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-4, err_msg=name)


def test_a_student_that_is_like_its_teacher_gets_no_gradient():
    """So both see one view: of two views the predictions would differ."""
    teacher = a_network(5, batch_norm=False)
    student = keras.models.clone_model(teacher)
    student.set_weights(teacher.get_weights())
    model = a_distiller(student, teacher, rate=100.0, temperature=0.5)
    logs = model.train_step(a_batch(labels=None))
    for now, before in zip(student.get_weights(), teacher.get_weights(), strict=True):
        np.testing.assert_allclose(now, before, atol=1e-4)
    assert float(logs["agreement"]) == 1


def test_the_teacher_is_bit_identical_and_no_part_of_the_model():
    student, teacher = a_network(0), a_network(5)
    before = teacher.get_weights()
    model = a_distiller(student, teacher)
    data = tf.data.Dataset.from_tensors(a_batch(labels=None)).repeat()
    model.fit(data, steps_per_epoch=3, verbose=0)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    taught = {id(variable) for variable in teacher.variables}
    assert not taught & {id(v) for v in [*model.variables, *model.optimizer.variables]}
    checkpoint = tf.train.Checkpoint(model=model)
    saved = {id(node) for node in tf.train.TrackableView(checkpoint).descendants()}
    assert {id(variable) for variable in student.variables} <= saved
    assert not taught & saved


def test_only_the_student_uses_and_moves_the_statistics_of_the_batch():
    student, teacher, batch = a_network(0), a_network(5), a_batch(labels=None)
    view = one_view(batch["images"], batch["seeds"], "finetune")
    p = softmax(teacher(view, training=False))
    q = softmax(student(view, training=True))  # Moves the statistics, too.
    student = a_network(0)
    before = [v.numpy() for v in student.non_trainable_variables]
    loss = a_distiller(student, teacher).train_step(batch)["distillation_loss"]
    np.testing.assert_allclose(loss, -(p * np.log(q)).sum(axis=1).mean(), rtol=1e-5)
    assert all(
        np.any(v.numpy() != old)
        for v, old in zip(student.non_trainable_variables, before, strict=True)
    )


def test_with_labels_alone_the_step_is_that_of_a_classifier():
    batch = a_batch(labels=[0, 1, 2, 0, 0, 1, 1, 2])
    one, other = a_network(0), a_network(0)
    classifier = Classifier(one, compile_views=False)
    classifier.compile(optimizer=keras.optimizers.SGD(0.1))
    expected = classifier.train_step(batch)
    found = a_distiller(other, a_network(5), alpha=0.0).train_step(batch)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    for ours, theirs in zip(other.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_learning_from_the_teacher_alone_ignores_labels():
    ends = []
    for labels in (None, LABELS):
        student = a_network(0)
        logs = a_distiller(student, a_network(5)).train_step(a_batch(labels))
        assert ("accuracy" in logs) == (labels is not None)
        ends.append(student.get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_validation_takes_images_as_they_are_and_moves_nothing():
    student, teacher, batch = a_network(0), a_network(5), a_batch()
    before = student.get_weights()
    seen = {"images": batch["images"], "labels": batch["labels"]}
    logs = a_distiller(student, teacher).test_step(seen)
    images = batch["images"] / np.float32(255)
    same = np.argmax(student(images), 1) == np.argmax(teacher(images), 1)
    np.testing.assert_allclose(logs["agreement"], same.mean())
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_two_replicas_take_the_step_of_one_device():
    """Labels are missing unevenly: the sums are over the global batch."""
    batch = a_batch(labels=[0, -1, -1, -1, 1, 2, 0, 1])
    settings = {"alpha": 0.4, "temperature": 0.5}
    one = a_distiller(a_network(0), a_network(5), **settings)
    expected = one.train_step(batch)
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        several = a_distiller(a_network(0), a_network(5), **settings)
    rows = BATCH // 2
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
        several.student.variables, one.student.variables, strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "student, settings, words",
    [
        ({}, {"alpha": 1.5}, r"`alpha` must be in \[0, 1\]"),
        ({}, {"alpha": -0.1}, r"`alpha` must be in \[0, 1\]"),
        ({}, {"temperature": 0.0}, "`temperature` must be > 0"),
        ({}, {"alpha": 0.5}, "needs batches with labels"),
        ({"classes": 4}, {}, "the same classes. Received: student=4, teacher=3"),
        ({"channels": 3}, {}, "the same channels. Received: student=3, teacher=1"),
    ],
)
def test_refusals_say_what_is_wrong(student, settings, words):
    with pytest.raises(ConfigError, match=words):
        a_distiller(a_network(0, **student), a_network(5), **settings).train_step(
            a_batch(labels=None)
        )


def test_a_student_that_shares_variables_with_its_teacher_is_refused():
    teacher = a_network(5)
    student = keras.Model(teacher.input, teacher.layers[-1].output)
    with pytest.raises(ConfigError, match="must not share variables"):
        Distiller(student, teacher)
