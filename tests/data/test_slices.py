"""Slices such as `train[:80%]`: a fixed share of each class, and none in common."""

import logging
import os

import numpy as np
import pytest

from simclr_tf.commands.labelled_data import has_labels_to_test_on, labelled_data
from simclr_tf.config import DataConfig, from_dict
from simclr_tf.config.moved import with_present_names
from simclr_tf.data import open_source
from simclr_tf.data.label_budgets import mixed_order
from simclr_tf.errors import DataError
from simclr_tf.training.image_list import read_image_list, write_image_list


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


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (("test/a/cut.png", "test/b/1.png"), "2 images .* cannot be read: a/cut.png"),
        (("test/a/in/1.png", "test/b/1.png"), "no labels in its split 'test'.*a/in/1"),
        (("test/a/1.txt",), "no images for split `test`"),
    ],
)
def test_a_broken_test_split_is_refused_not_replaced(
    tmp_path, save_photos, test, words
):
    save_photos(tmp_path, *(f"train/{c}/{i}.png" for c in "ab" for i in range(5)))
    for path in map(tmp_path.joinpath, test):
        path.parent.mkdir(parents=True, exist_ok=True)
        broken = path.suffix == ".txt" or path.stem == "cut"
        path.write_bytes(b"") if broken else save_photos(tmp_path, path)
    options = DataConfig(source=f"folder:{tmp_path}")
    with pytest.raises(DataError, match=words):
        labelled_data(options, {}, channels=3)
    assert not has_labels_to_test_on(options, {})


def test_a_folder_of_test_images_that_cannot_be_listed_is_refused(
    tmp_path, save_photos, monkeypatch
):
    save_photos(tmp_path, *(f"{s}/{c}/1.png" for s in ("train", "test") for c in "ab"))
    real = os.scandir

    def forbidden(path):
        if str(path).endswith("test/b"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", forbidden)  # Root may list everything.
    with pytest.raises(DataError, match="cannot be listed .Permission denied.*test/b"):
        labelled_data(DataConfig(source=f"folder:{tmp_path}"), {}, channels=3)


@pytest.mark.parametrize("test", [(), ("test/1.png", "test/2.png"), ("test/x/1.png",)])
def test_images_are_held_out_where_there_are_no_labelled_ones_to_test_on(
    tmp_path, save_photos, caplog, test
):
    save_photos(
        tmp_path, *(f"train/{c}/{i}.png" for c in "ab" for i in range(5)), *test
    )
    options = DataConfig(source=f"folder:{tmp_path}")
    train, held_out, _ = labelled_data(options, {}, channels=3)
    assert (train.num_examples, held_out.num_examples) == (8, 2)
    assert "held out" in caplog.text
    assert has_labels_to_test_on(options, {})


def test_a_test_split_with_one_of_the_training_classes_is_tested_on(
    tmp_path, save_photos, caplog
):
    save_photos(tmp_path, *(f"train/{c}/1.png" for c in "ab"), "test/b/1.png")
    _, test, _ = labelled_data(DataConfig(f"folder:{tmp_path}"), {}, channels=3)
    assert test.labels.tolist() == [1]
    assert "1 of the 2 classes have no test image" in caplog.text


def test_test_images_of_a_slice_that_the_run_was_trained_on_are_named(
    tmp_path, save_photos, caplog
):
    photos, run = tmp_path / "photos", tmp_path / "run"
    save_photos(photos, *(f"{c}/{i}.png" for c in "ab" for i in range(10)))
    options = DataConfig(
        f"folder:{photos}", split="train[:80%]", test_split="train[80%:]"
    )
    run.mkdir()
    write_image_list(run, open_source(options.source, split=options.split).files)

    def tested():
        caplog.clear()
        _, test, _ = labelled_data(options, {}, channels=3, workdir=run)
        return {file[0] for file in test.files()}

    trained = {file[0] for file in read_image_list(run)}
    assert not tested() & trained and caplog.text == ""
    save_photos(photos, "a/00.png", "b/00.png")
    both = sorted(tested() & trained)
    assert len(both) == 3
    assert "3 of the 4 test images of `train[80%:]`" in caplog.text
    assert f"{run} was pretrained on ({', '.join(both)})" in caplog.text
