"""Slices such as `train[:80%]`: a fixed share of each class, and none in common."""

import logging

import numpy as np
import pytest

from simclr_tf.commands.labelled_data import labelled_data
from simclr_tf.config import DataConfig, from_dict
from simclr_tf.config.moved import with_present_names
from simclr_tf.data import open_source
from simclr_tf.data.label_budgets import mixed_order
from simclr_tf.errors import DataError


@pytest.fixture
def by_class():
    """Images `[90, 2, 2, 1]` whose first pixel is their number, sorted by class."""
    images = np.zeros([90, 2, 2, 1], np.uint8)
    images[:, 0, 0, 0] = np.arange(90)
    return images, np.repeat([0, 1, -1, 2], [40, 30, 10, 10])


def numbers(source):
    return source.read_images(np.arange(source.num_examples))[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("cut", ["80%", "10%", "33", "-7", "89"])
def test_the_two_sides_of_a_cut_share_no_image_and_are_everything(by_class, cut):
    first, rest = (
        numbers(open_source(by_class, split=f"train[{side}]", memory_limit_bytes=0))
        for side in ((f":{cut}", f"{cut}:") if cut != "89" else (":88", "88:"))
    )
    assert sorted(first + rest) == list(range(90))
    assert first == sorted(first) and rest == sorted(rest)


def test_each_class_has_its_share_of_a_slice(by_class):
    part = open_source(by_class, split="train[:80%]")
    assert np.unique(part.labels, return_counts=True)[1].tolist() == [8, 32, 24, 8]
    middle = open_source(by_class, split="train[30%:60%]")
    assert np.unique(middle.labels, return_counts=True)[1].tolist() == [3, 12, 9, 3]


def test_shares_are_right_within_two_images_for_many_small_classes(rng):
    labels = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    order = mixed_order(labels)
    total = np.bincount(labels)
    for end in range(len(labels)):
        counts = np.bincount(labels[order[:end]], minlength=60)
        assert abs(counts - total * end / len(labels)).max() < 2


def test_a_slice_holds_the_same_images_with_labels_and_without(
    by_class, tmp_path, save_photos
):
    np.savez(tmp_path / "a.npz", x_train=by_class[0], y_train=by_class[1])
    save_photos(tmp_path / "d", *(f"{c}/{i}.png" for c in "ab" for i in range(9)))
    for data in (by_class, f"npz:{tmp_path / 'a.npz'}", f"folder:{tmp_path / 'd'}"):
        with_labels, without = (
            open_source(data, split="train[:50%]", labelled=labelled, channels=1)
            for labelled in ("auto", False)
        )
        assert without.labels is None and with_labels.labels is not None
        names = [
            [source.example_name(i) for i in range(source.num_examples)]
            for source in (with_labels, without)
        ]
        assert names[0] == names[1]


def test_a_slice_without_labels_is_spread_over_all_images():
    images = np.zeros([90, 2, 2, 1], np.uint8)
    images[:, 0, 0, 0] = np.arange(90)
    part = numbers(open_source(images, split="train[:50%]"))
    assert 15 < sum(number < 45 for number in part) < 30


def test_slices_in_order_are_those_of_version_0_1_0(by_class):
    part = open_source(by_class, split="train[10:20]", slices="in_order")
    assert numbers(part) == list(range(10, 20))
    assert part.slice_rule == "images in their own order, not by class"


def test_what_a_slice_holds_can_be_told_on_the_screen(tmp_path, save_photos, by_class):
    save_photos(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(9)))
    folder = open_source(f"folder:{tmp_path}", split="train[:50%]")  # In memory.
    assert folder.slice_rule == "a fixed random sample with its share of each class"
    without = open_source(by_class[0], split="train[:50%]")
    assert without.slice_rule == "a fixed random sample"
    assert open_source(by_class).slice_rule == ""


def test_the_record_of_an_old_run_keeps_the_meaning_of_its_slices():
    old = {
        "source": "folder:photos",
        "split": "train[:80%]",
        "test_split": "train[80%:]",
        "labels": "auto",
        "max_corrupt_fraction": 0.01,
    }
    assert from_dict({"data": old}).data.slices == "in_order"
    kept = {**old, "slices": "stratified"}
    assert with_present_names({"data": kept})["data"] == kept
    assert from_dict({"data": {"split": "train[:80%]"}}).data.slices == "stratified"


def two_sets(tmp_path, train_labels, test_labels):
    arrays = {}
    for name, labels in (("train", train_labels), ("test", test_labels)):
        arrays[f"x_{name}"] = np.zeros([len(labels), 4, 4, 3], np.uint8)
        arrays[f"y_{name}"] = np.array(labels)
    np.savez(tmp_path / "a.npz", classes=["cat", "dog", "elk"], **arrays)
    return DataConfig(source=f"npz:{tmp_path / 'a.npz'}")


def test_classes_that_only_one_set_has_are_named_before_anything_is_measured(
    tmp_path, caplog
):
    options = two_sets(tmp_path, [0, 0, 1, 1], [0, 2, 2])
    with caplog.at_level(logging.WARNING):
        labelled_data(options, {}, channels=3)
    assert "1 of the 2 classes have no test image" in caplog.text
    assert "measured: dog." in caplog.text
    assert "no training image (elk): 2 test images" in caplog.text


def test_sets_without_a_class_in_common_are_refused(tmp_path):
    options = two_sets(tmp_path, [0, 0, 1, 1], [2, 2])
    with pytest.raises(DataError, match="no class of the training images.*elk"):
        labelled_data(options, {}, channels=3)


def test_a_test_split_without_a_label_is_no_test_split(tmp_path, caplog):
    options = two_sets(tmp_path, [0, 1] * 5, [-1, -1])
    with caplog.at_level(logging.WARNING):
        train, test, _ = labelled_data(options, {}, channels=3, may_hold_out=True)
    assert (train.num_examples, test.num_examples) == (8, 2)
    assert "no labels in its split 'test'" in caplog.text
    with pytest.raises(DataError, match="no labels in its split 'test'"):
        labelled_data(options, {}, channels=3, may_hold_out=False)
