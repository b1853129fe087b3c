"""The kNN monitor: its images, its figure, and that it changes nothing."""

import json

import numpy as np
import pytest

import simclr_tf
from simclr_tf._keras import keras
from simclr_tf.data import ArraySource
from simclr_tf.errors import ConfigError
from simclr_tf.training import knn_monitor
from simclr_tf.training.knn_monitor import KnnMonitor
from tests.objectives import toy_runs
from tests.oracles import metrics_knn as oracle
from tests.training.small_networks import small_encoder


def flattening(size=2):
    images = keras.Input((size, size, 1))
    return keras.Model(images, keras.layers.Flatten()(images))


def a_source(number=40, labels=None):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (number, 2, 2, 1), "uint8")
    return ArraySource("made", images, labels=labels)


def test_queries_are_set_aside_and_the_accuracy_is_the_oracles(monkeypatch):
    labels = np.random.default_rng(2).integers(-1, 3, 40).astype("int32")
    source = a_source(40, labels)
    monitor = KnnMonitor(
        flattening(), source, every_epochs=1, epochs=1, image_size_pixels=2
    )
    known = np.flatnonzero(labels >= 0)
    order = np.random.default_rng(0).permutation(known)
    queries, others = np.sort(order[: len(order) // 5]), order[len(order) // 5 :]
    others = np.sort(others)
    rows = source.images.reshape(40, -1) / np.float32(255)
    found = [
        oracle.knn_predict(rows[others], labels[others], q, min(20, len(others)), 0.07)
        for q in rows[queries]
    ]
    assert monitor.measure() == pytest.approx(np.mean(found == labels[queries]))
    # Few of many: both limits hold, and no image is on both sides.
    monkeypatch.setattr(knn_monitor, "MOST_QUERIES", 3)
    monkeypatch.setattr(knn_monitor, "MOST_REFERENCES", 10)
    few = KnnMonitor(
        flattening(), source, every_epochs=2, epochs=1, image_size_pixels=2
    )
    assert "3 labelled training images, classified by 10 others every 2" in few.line()
    assert few.line().endswith("(k 10, temperature 0.07)")


def test_it_measures_every_nth_epoch_and_the_last_and_changes_no_weight(tmp_path):
    options = {**toy_runs.OPTIONS, "objective": "nt_xent", "deterministic": False}
    ends = {}
    for every in (None, 2):
        folder = tmp_path / str(every)
        result = simclr_tf.pretrain(
            toy_runs.images(),
            folder,
            encoder=small_encoder(),
            say=lambda line: None,
            **{**options, "steps": 9, "probe.knn_every_epochs": every},
        )
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        ends[every] = result.encoder.get_weights()
        measured = ["knn_accuracy" in json.loads(line) for line in lines]
    assert measured[1] and measured[-1] and not measured[0]
    for with_monitor, without in zip(ends[2], ends[None], strict=True):
        np.testing.assert_array_equal(with_monitor, without)
    assert "kNN accuracy" in (tmp_path / "2" / "SUMMARY.md").read_text()


@pytest.mark.parametrize(
    "labels, words",
    [
        (None, "has none. Name a labelled set with --probe.data"),
        (np.array([0, 1, 0, 1] + [-1] * 36, "int32"), "five labelled images or more"),
    ],
)
def test_images_without_labels_are_refused_with_the_way_out(labels, words):
    with pytest.raises(ConfigError, match=words):
        KnnMonitor(
            flattening(),
            a_source(40, labels),
            every_epochs=1,
            epochs=1,
            image_size_pixels=2,
        )
