"""The comparison of an encoder with its untrained self and with raw pixels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, DataError
from simclr_tf.evaluation import (
    EvaluateConfig,
    FewConfig,
    KNNConfig,
    LinearConfig,
    compare,
    evaluate_encoder,
    evaluate_features,
)
from simclr_tf.evaluation.logistic import L2_VALUES
from simclr_tf.evaluation.protocols import measurable

CONFIG = EvaluateConfig(knn=KNNConfig(k=5), few=FewConfig(labels_per_class=3, draws=2))


def batches(num_images, seed, labelled=True):
    """Bright and dark images with a bright dot somewhere: an easy set."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % 2
    images = rng.uniform(0, 0.3, size=(num_images, 4, 4, 1)) + labels.reshape(
        -1, 1, 1, 1
    ) * rng.uniform(0.2, 0.7, size=(num_images, 1, 1, 1))
    parts = {"images": images.astype(np.float32), "ids": np.arange(num_images)}
    if labelled:
        parts["labels"] = labels
    return tf.data.Dataset.from_tensor_slices(parts).batch(8)


@pytest.fixture(scope="module")
def encoder():
    images = keras.Input((4, 4, 1))
    x = keras.layers.BatchNormalization()(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Concatenate()([x, -x]))


def test_three_protocols_measure_three_representations(encoder):
    seen = []
    results = compare(
        encoder,
        keras.models.clone_model(encoder),
        batches(40, 0),
        batches(20, 1),
        CONFIG,
        data="toy",
        encoder_name="mean",
        command="make it so",
        on_measured=seen.append,
    )
    assert seen == list(results.measurements)
    rows = [(m.representation, m.protocol) for m in results.measurements]
    assert rows == [
        (representation, protocol)
        for representation in ("this encoder", "untrained encoder", "raw pixels")
        for protocol in ("weighted_knn", "linear_probe", "few_label_ridge")
    ]
    assert results.versions["tensorflow"] == tf.__version__
    assert (results.data, results.command) == ("toy", "make it so")
    assert results.wall_seconds > 0
    features = {m.representation: m.num_features for m in results.measurements}
    assert features["this encoder"] == 2 and features["raw pixels"] == 16


def test_measurements_carry_sizes_settings_and_uncertainty(encoder):
    found = evaluate_encoder(encoder, batches(40, 0), batches(20, 1), CONFIG)
    knn, linear, few = found
    assert {m.num_test for m in found} == {20}
    assert [m.num_train_labels for m in found] == [40, 40, 6]
    assert knn.settings == {"k": 5, "temperature": 0.07}
    assert linear.settings["l2"] in L2_VALUES
    tried = [entry["l2"] for entry in linear.settings["l2_sweep"]]
    assert tried == sorted(L2_VALUES, reverse=True)
    assert linear.settings["num_held_out"] == 8
    assert linear.low_95 < linear.value <= linear.high_95 and linear.std is None
    assert few.low_95 is None and few.std is not None
    assert np.mean(few.settings["accuracies_percent"]) == pytest.approx(few.value)
    assert linear.value > 80


def test_probing_leaves_the_encoder_bit_identical(encoder):
    before = encoder.get_weights()
    evaluate_encoder(encoder, batches(40, 0), batches(20, 1), CONFIG)
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_few_label_probe_can_be_left_out():
    config = dataclasses.replace(CONFIG, few=FewConfig(labels_per_class=0))
    found = evaluate_encoder(None, batches(20, 0), batches(8, 1), config)
    assert [m.protocol for m in found] == ["weighted_knn", "linear_probe"]


@pytest.mark.parametrize("missing", ["training", "test"])
def test_missing_labels_are_said_before_any_feature_is_computed(missing):
    def never(*args, **kwargs):
        raise AssertionError("the encoder was called")

    with pytest.raises(DataError, match=f"{missing} set has no labels"):
        compare(
            never,
            None,
            batches(8, 0, missing != "training"),
            batches(8, 1, missing != "test"),
            data="toy",
            encoder_name="x",
        )


def test_generators_are_refused_because_they_are_read_several_times(encoder):
    with pytest.raises(ConfigError, match="several times"):
        compare(
            encoder,
            None,
            iter(batches(8, 0)),
            batches(8, 1),
            data="toy",
            encoder_name="x",
        )


def test_protocols_run_once_each_in_the_order_they_are_named(encoder):
    found = evaluate_encoder(
        encoder,
        batches(40, 0),
        batches(20, 1),
        dataclasses.replace(CONFIG, protocols=("ridge", "knn", "ridge")),
    )
    assert [m.protocol for m in found] == ["ridge", "weighted_knn"]
    ridge = found[0]
    assert (ridge.num_train_labels, ridge.num_test) == (40, 20)
    assert ridge.low_95 < ridge.value and ridge.value > 80
    errors = {
        entry["alpha"]: entry["leave_one_out_error"]
        for entry in ridge.settings["alpha_sweep"]
    }
    assert len(errors) == 15 and ridge.settings["alpha"] == min(errors, key=errors.get)
    assert ridge.settings["alpha_is_at_edge"] == (
        ridge.settings["alpha"] in (min(errors), max(errors))
    )


@pytest.mark.parametrize(
    "protocols, words",
    [
        (["knn", "lineal"], "Did you mean linear.*few, ridge, linear_s"),
        (["linear_sgd_views"], "pass `train_views`"),
        ([], "needs at least one of knn"),
        (["few"], "Nothing is left to measure"),
    ],
)
def test_protocols_that_cannot_run_are_refused_before_any_feature(protocols, words):
    def never(*args, **kwargs):
        raise AssertionError("the encoder was called")

    with pytest.raises(ConfigError, match=words):
        compare(
            never,
            None,
            batches(8, 0),
            batches(8, 1),
            EvaluateConfig(protocols=protocols, few=FewConfig(labels_per_class=0)),
            data="toy",
            encoder_name="x",
        )


def test_the_paper_tries_45_penalties_against_the_summed_loss():
    config = EvaluateConfig(
        protocols=("linear",), linear=LinearConfig(l2_values="paper")
    )
    (linear,) = evaluate_encoder(None, batches(40, 0), batches(20, 1), config)
    tried = sorted(entry["l2"] for entry in linear.settings["l2_sweep"])
    assert len(tried) == 45
    # l2 / 2 against the mean over 40 images is 20 l2 against their sum.
    assert 20 * tried[0] == pytest.approx(1e-6)
    assert 20 * tried[-1] == pytest.approx(1e5)
    np.testing.assert_allclose(np.diff(np.log10(tried)), 11 / 44)


def test_unknown_names_of_penalties_list_the_choices():
    with pytest.raises(ConfigError, match="Choices: fast, paper"):
        LinearConfig(l2_values="papper")


def test_a_class_that_only_the_test_set_has_counts_as_missed():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(30, 4)), np.arange(30) % 3
    test = rng.normal(size=(20, 4)), np.full(20, 7)
    config = dataclasses.replace(
        CONFIG,
        protocols=("knn", "linear", "few", "ridge", "linear_sgd"),
        linear=LinearConfig(epochs=1),
    )
    found = evaluate_features("toy", train, test, config)
    assert [measurement.value for measurement in found] == [0.0] * 5


def test_labels_are_judged_without_features():
    labels = np.repeat([0, 1], 8)
    assert measurable(CONFIG, labels, labels) == (CONFIG, {})
    for protocol, train, words in (
        ("knn", labels[:3], "`k` must be between 1 and"),
        ("few", [0, 0, 1, 1], "`labels_per_class` must be at most 2"),
        ("linear", [0, 1], "enough images to hold some out"),
        ("ridge", labels[:8], "at least two classes"),
        ("ridge", [-1, -1], "training set has no labels"),
    ):
        config = dataclasses.replace(CONFIG, protocols=(protocol,))
        with pytest.raises((ConfigError, DataError), match=words):
            measurable(config, np.array(train), labels)


def test_default_protocols_with_too_few_labels_are_left_out_with_the_reason():
    labels = np.repeat([0, 1], [8, 3])
    left, reasons = measurable(EvaluateConfig(), labels, labels)
    assert left.protocols == ("linear",)
    assert "number of training images (11)" in reasons["knn"]
    assert "must be at most 8" in reasons["few"]
    ten_and_three = np.repeat([0, 1], [10, 3])
    assert measurable(EvaluateConfig(), ten_and_three, labels)[0].protocols == (
        "linear",
        "few",
    )


def test_a_class_with_few_labels_gives_all_of_them():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [9, 9, 2])
    x = rng.normal(size=(20, 4)) + 9 * np.eye(4)[labels]
    config = dataclasses.replace(
        CONFIG, protocols=("few",), few=FewConfig(labels_per_class=5, draws=2)
    )
    (few,) = evaluate_features("toy", (x, labels), (x, labels), config)
    assert few.num_train_labels == 5 + 5 + 2
    assert few.settings["classes_with_fewer"] == 1
