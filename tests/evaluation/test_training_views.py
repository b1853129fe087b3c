"""Views for a linear layer: new ones each epoch, their own labels, frozen encoder."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simclr_tf._keras import keras
from simclr_tf.data import evaluation_batches, open_source
from simclr_tf.errors import ConfigError
from simclr_tf.evaluation import (
    PROTOCOLS,
    EvaluateConfig,
    FewConfig,
    KNNConfig,
    LinearConfig,
    TrainingViews,
    evaluate_encoder,
)
from simclr_tf.evaluation.features import pixel_function
from simclr_tf.evaluation.training_views import EncodedViews

CONFIG = EvaluateConfig(
    knn=KNNConfig(k=3),
    linear=LinearConfig(base_learning_rates=[1.0], epochs=2, batch_size=8),
    few=FewConfig(labels_per_class=2, draws=2),
)


def a_source(num_images=20, seed=0):
    """Noise, darker or lighter; the first two images are unlabelled."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % 2
    images = rng.integers(0, 156, (num_images, 9, 9, 1)) + 99 * labels.reshape(
        -1, 1, 1, 1
    )
    labels[:2] = -1
    return open_source((images.astype(np.uint8), labels))


@pytest.fixture(scope="module")
def encoder():
    model = keras.Sequential(
        [
            keras.Input((9, 9, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    # Moving statistics far from the batches': one step of training would show.
    model.set_weights([w + 0.3 for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def train_views():
    """Shared, because tracing the crops takes longer than everything else here."""
    return TrainingViews(a_source(), 9)


def probed(model, views, protocols):
    """Measurements of a model that learns on the source of the views."""
    return evaluate_encoder(
        model,
        evaluation_batches(views.source, 8, 9),
        evaluation_batches(a_source(30, seed=1), 8, 9),
        dataclasses.replace(CONFIG, protocols=tuple(protocols)),
        train_views=views,
    )


def epochs_of(views, ids, **settings):
    """(images, labels) of each batch of all ids."""
    batches = views.batches(ids, batch_size=len(ids), seed=3, **settings)
    return [(b["images"].numpy(), b["labels"].numpy()) for b in batches]


def test_every_epoch_crops_anew_and_every_run_alike(train_views):
    first, again = (
        epochs_of(train_views, np.arange(2, 10), total_steps=2) for _ in "ab"
    )
    for (images, labels), (other, _) in zip(first, again, strict=True):
        assert images.shape == (8, 9, 9, 1) and sorted(labels) == [0] * 4 + [1] * 4
        np.testing.assert_array_equal(images, other)
    sums = [np.sort(images.sum(axis=(1, 2, 3))) for images, _ in first]
    assert np.abs(sums[0] - sums[1]).max() > 0.1
    for images, labels in first:  # Each view kept the label of its image.
        means = images.mean(axis=(1, 2, 3))
        assert means[labels == 1].min() > means[labels == 0].max()


def test_rows_are_views_of_the_images_behind_them():
    source, ids = a_source(), np.arange(2, 20)  # Row r is the image r + 2.
    views = EncodedViews(TrainingViews(source, 9, "evaluate"), pixel_function(), ids)
    rows = np.array([0, 3, 17])
    ((features, labels),) = views.batches(rows, batch_size=3, total_steps=1, seed=0)
    pixels = source.read_images(rows + 2).reshape(3, -1) / 255
    seen = []
    for feature, label in zip(features.numpy(), labels.numpy(), strict=True):
        (same,) = np.flatnonzero(np.abs(pixels - feature).max(axis=1) < 1e-6)
        assert source.labels[rows[same] + 2] == label
        seen.append(same)
    assert sorted(seen) == [0, 1, 2]


def test_files_are_cropped_where_they_are_decoded(tmp_path):
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (12 + i, 16), (level, level, level)).save(
                tmp_path / name / f"{i}.png"
            )
    source = open_source(f"folder:{tmp_path}")
    views = TrainingViews(source, 8)
    ((images, labels),) = epochs_of(views, np.arange(6), total_steps=1)
    assert images.shape == (6, 8, 8, 3)
    np.testing.assert_allclose(
        images.mean(axis=(1, 2, 3)), np.where(labels == 0, 40, 200) / 255, atol=1e-3
    )


def test_unknown_recipe_lists_the_choices():
    with pytest.raises(ConfigError, match="finetune"):
        TrainingViews(a_source(), 6, "finetuning")


@pytest.mark.parametrize("raw", [False, True])
def test_a_layer_on_views_that_are_the_images_is_that_on_cached_features(raw, encoder):
    cached, on_views = probed(
        None if raw else encoder,
        TrainingViews(a_source(), 9, "evaluate"),
        protocols=["linear_sgd", "linear_sgd_views"],
    )
    assert on_views.value == cached.value
    for name in ("learning_rate_sweep", "num_held_out", "batch_size"):
        assert on_views.settings[name] == cached.settings[name]
    assert cached.settings["images"] == "as they are"
    assert on_views.settings["images"] == "augmented views (evaluate)"
    assert (cached.num_train_labels, cached.num_test) == (18, 28)


def test_no_protocol_changes_a_bit_of_the_encoder_or_of_its_statistics(
    encoder, train_views
):
    before, was_trainable = encoder.get_weights(), len(encoder.trainable_weights)
    found = probed(encoder, train_views, protocols=PROTOCOLS)
    assert [m.protocol for m in found] == list(PROTOCOLS.values())
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(encoder.trainable_weights) == was_trainable == 4


def test_views_are_encoded_in_inference_mode_and_traced_once(train_views):
    traces = []

    def mean(images, training=None):
        traces.append(training)
        return tf.reduce_mean(images, [1, 2])

    probed(mean, train_views, protocols=["linear_lars_views"])
    assert traces == [False] * 3  # The training set, the test set, the views.
