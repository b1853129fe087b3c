"""The student before its first step, its images, and its training on replicas."""

import dataclasses

import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.config.distill import DistillConfig
from simclr_tf.data import label_subset, open_source
from simclr_tf.data.label_budgets import hold_out
from simclr_tf.distribution import make_strategy
from simclr_tf.errors import ConfigError, DataError, NonFiniteError
from simclr_tf.evaluation import distill, distillation
from simclr_tf.evaluation.distillation import build_student
from simclr_tf.models import (
    LOGITS,
    ProjectionHead,
    classifier_network,
    split_classifier,
)
from simclr_tf.training import load_classifier
from simclr_tf.training.student_training import train_student

CLASSES, SIZE = 3, 8
CONFIG = DistillConfig(
    teacher="unused",
    data="unused",
    image_size_pixels=SIZE,
    batch_size=8,
    steps=3,
    optimizer="sgd",
    base_learning_rate=0.1,
    scaling="none",
    warmup_fraction=0.0,
    compile_views=False,
)


def a_teacher(seed=0, head=None):
    images = keras.Input((None, None, 1), name="images")
    x = keras.layers.Conv2D(4, 3, 2, name="initial_conv")(images)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="final_avg_pool")(x)
    if head is not None:
        head.layer_outputs(keras.backend.zeros([1, 4]))
    network = classifier_network(
        keras.Model(images, x, name="tiny"),
        CLASSES,
        projection_head=head,
        head_layer=0 if head is None else 1,
    )
    rng = np.random.default_rng(seed)
    network.set_weights([rng.uniform(0.1, 1.0, w.shape) for w in network.get_weights()])
    return network


def some_images(number=32, seed=0, labels=True):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (number, SIZE, SIZE, 1)).astype("uint8")
    return (images, np.arange(number) % CLASSES) if labels else images


def a_config(tmp_path, teacher=None, **changes):
    """A config whose teacher and images lie in files."""
    (teacher or a_teacher()).save(tmp_path / "classifier.keras")
    x, y = some_images()
    x_test, y_test = some_images(16, seed=1)
    np.savez(
        tmp_path / "images.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test
    )
    return dataclasses.replace(
        CONFIG, teacher=str(tmp_path), data=f"npz:{tmp_path}/images.npz", **changes
    )


def same_weights(one, other):
    return [
        np.array_equal(a, b)
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    ]


def test_the_same_network_starts_afresh_and_the_same_for_the_same_seed():
    teacher = a_teacher(head=ProjectionHead(num_layers=2, out_features=5))
    one, same, other = (
        build_student(dataclasses.replace(CONFIG, seed=seed), teacher)
        for seed in (1, 1, 2)
    )
    assert [layer.name for layer in one.layers] == [
        layer.name for layer in teacher.layers
    ]
    assert all(same_weights(one, same))
    kernels = [i for i, v in enumerate(one.weights) if "kernel" in v.name]
    assert len(kernels) == 3
    for stranger in (other, teacher):
        assert not any(same_weights(one, stranger)[i] for i in kernels)


def test_a_smaller_network_has_the_classes_and_channels_of_the_teacher():
    config = dataclasses.replace(
        CONFIG,
        architecture="other",
        student=dataclasses.replace(
            CONFIG.student, name="resnet10", width_multiplier=0.0625, stem="small"
        ),
    )
    student = build_student(config, a_teacher())
    assert student.input_shape[-1] == 1 and student.output_shape == (None, CLASSES)
    assert split_classifier(student)[0].output_shape == (None, 32)


def test_the_encoder_to_start_from_is_taken_and_the_linear_layer_is_not(tmp_path):
    other = a_teacher(seed=1)
    split_classifier(other)[0].save(tmp_path / "encoder.keras")
    config = dataclasses.replace(CONFIG, init_from=str(tmp_path / "encoder.keras"))
    student = build_student(config, a_teacher())
    assert all(same_weights(split_classifier(student)[0], split_classifier(other)[0]))
    assert not np.any(
        np.equal(student.get_layer(LOGITS).kernel, other.get_layer(LOGITS).kernel)
    )


def test_an_encoder_of_another_kind_to_start_from_is_refused(tmp_path):
    images = keras.Input((None, None, 1))
    keras.Model(
        images,
        keras.layers.GlobalAveragePooling2D()(
            keras.layers.Conv2D(2, 3, name="initial_conv")(images)
        ),
    ).save(tmp_path / "other.keras")
    config = dataclasses.replace(CONFIG, init_from=str(tmp_path / "other.keras"))
    with pytest.raises(DataError, match="do not belong to this network"):
        build_student(config, a_teacher())


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_only_the_labels_of_the_fraction_are_seen_and_with_alpha_1_none(
    alpha, tmp_path, monkeypatch
):
    seen = []

    def stop(student, teacher, source, **kwargs):
        seen.append(source.labels)
        raise NonFiniteError("Seen enough.")

    monkeypatch.setattr(distillation, "train_student", stop)
    with pytest.raises(NonFiniteError):
        distill(
            a_config(tmp_path, alpha=alpha, label_fraction=0.25, seed=3),
            say=lambda line: None,
        )
    if alpha == 1:
        assert seen == [None]
        return
    labels = some_images()[1]
    chosen = label_subset(labels, fraction=0.25, seed=3)
    assert 0 < len(chosen) < len(labels)
    np.testing.assert_array_equal(seen[0][chosen], labels[chosen])
    assert (np.delete(seen[0], chosen) == -1).all()


def test_without_a_test_split_the_student_does_not_learn_from_what_it_is_tested_on(
    tmp_path, monkeypatch, caplog
):
    (x, y), seen = some_images(), []
    (tmp_path / "other").mkdir()
    a_teacher().save(tmp_path / "classifier.keras")
    y[5] = -1  # It is learned from.
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y)
    np.savez(tmp_path / "other" / "images.npz", x_train=x[:20], y_train=y[:20])
    learn, held_out = hold_out(y)

    def measure(config, teacher, student, test, training):
        seen.append(test)
        raise NonFiniteError("Seen enough.")

    monkeypatch.setattr(distillation, "_measure", measure)
    monkeypatch.setattr(
        distillation,
        "train_student",
        lambda student, teacher, source, **kwargs: seen.append(source) or [{"step": 1}],
    )
    config = dataclasses.replace(
        CONFIG, teacher=str(tmp_path), data=f"npz:{tmp_path}/images.npz"
    )
    for changes in (
        {},
        {"alpha": 0.5},
        {"test_data": f"npz:{tmp_path}/other/images.npz"},
    ):
        with pytest.raises(NonFiniteError):
            distill(dataclasses.replace(config, **changes), say=lambda line: None)
    assert "held out from the student" in caplog.text
    with pytest.raises(DataError, match="test_split"):
        distill(dataclasses.replace(config, test_split="test"), say=lambda line: None)
    learned_from = seen[::2]
    images = [s.read_images(np.arange(s.num_examples)) for s in seen]
    for learned, tested in (images[:2], images[2:4]):
        np.testing.assert_array_equal(learned, np.delete(x, held_out, axis=0))
        np.testing.assert_array_equal(tested, x[held_out])
    assert learned_from[0].labels is None
    assert (learned_from[1].labels >= 0).sum() == len(learn)
    assert learned_from[2].num_examples == 32  # Another set is tested on.
    np.testing.assert_array_equal(images[5], x[hold_out(y[:20])[1]])


def test_a_broken_test_split_is_not_replaced_by_training_images(tmp_path, caplog):
    x, y = some_images()
    a_teacher().save(tmp_path / "classifier.keras")
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:5])
    config = dataclasses.replace(
        CONFIG, teacher=str(tmp_path), data=f"npz:{tmp_path}/images.npz"
    )
    with pytest.raises(DataError, match="--test_split .now test."):
        distill(config, say=lambda line: None)
    assert "held out" not in caplog.text


def test_two_replicas_train_the_student_of_one_device():
    students = []
    for strategy in (
        make_strategy("one_device"),
        make_strategy("mirrored", replicas=2),
    ):
        source = open_source(some_images())
        with strategy.scope():
            teacher = a_teacher()
        students.append(build_student(CONFIG, a_teacher()))
        start = students[-1].get_weights()
        history = train_student(
            students[-1], teacher, source, config=CONFIG, strategy=strategy
        )
        assert [epoch["step"] for epoch in history] == [3]
        assert not np.array_equal(start[0], students[-1].get_weights()[0])
    for one, two in zip(*(s.get_weights() for s in students), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)


def test_a_training_that_diverges_ends_in_plain_words():
    config = dataclasses.replace(CONFIG, base_learning_rate=1e30)
    with pytest.raises(NonFiniteError, match="smaller --base_learning_rate"):
        train_student(
            build_student(config, a_teacher()),
            a_teacher(),
            open_source(some_images()),
            config=config,
            strategy=make_strategy("one_device"),
        )


def test_an_encoder_is_no_teacher_and_a_folder_needs_a_classifier(tmp_path):
    with pytest.raises(DataError, match="neither classifier.keras nor"):
        load_classifier(tmp_path)
    split_classifier(a_teacher())[0].save(tmp_path / "classifier.keras")
    with pytest.raises(DataError, match="ends in the layer `classifier_logits`"):
        load_classifier(tmp_path)


def test_a_teacher_without_the_size_of_its_images_asks_for_it(tmp_path):
    config = a_config(tmp_path, image_size_pixels=None)
    with pytest.raises(ConfigError, match="--image_size_pixels is required"):
        distill(config, say=lambda line: None)


def test_images_to_test_on_need_labels(tmp_path):
    np.savez(tmp_path / "none.npz", x_train=some_images()[0], x_test=some_images()[0])
    config = a_config(tmp_path, test_data=f"npz:{tmp_path}/none.npz")
    with pytest.raises(DataError, match="choose some with --test_data"):
        distill(config, say=lambda line: None)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"alpha": 1.5}, "`alpha` must be in"),
        ({"temperature": 0.0}, "must be > 0"),
        ({"label_fraction": 0.0}, r"must be in \(0, 1\]"),
        ({"batch_size": 1}, "at least"),
        ({"teacher": ""}, "--teacher is required"),
        ({"warmup_fraction": 1.0}, "must be in"),
        ({"epochs": 0}, "`epochs` must be > 0"),
        ({"weight_decay": -1.0}, "must be >= 0"),
    ],
)
def test_the_config_refuses_what_no_distillation_could_use(changes, words):
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(CONFIG, **changes)
