"""Labels as people have them: numbers, names, one-hot rows; and what is refused."""

import logging

import numpy as np
import pytest

from simclr_tf.data import class_labels as module
from simclr_tf.data import open_source
from simclr_tf.data.class_labels import same_numbering
from simclr_tf.errors import DataError

IMAGES = np.zeros([6, 8, 8, 3], np.uint8)
DATES = np.array(["2020-01-01"] * 6, "datetime64[D]")


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        ([0, 4, 1, -1, 2, 2], [0, 4, 1, -1, 2, 2], None),
        (np.array([0, 1, 2, 2, 1, 255], np.uint8), [0, 1, 2, 2, 1, 255], None),
        ([1.0, 0.0, np.nan, 2.0, 2.0, -1.0], [1, 0, -1, 2, 2, -1], None),
        ([True, False, False, True, True, True], [1, 0, 0, 1, 1, 1], None),
        (["b", "a", "", "c", "a", "a"], [1, 0, -1, 2, 0, 0], ("a", "b", "c")),
        (
            [b"b", b"a", b"a", b"b", b"a", b"\xc3\xa9"],
            [1, 0, 0, 1, 0, 2],
            ("a", "b", "é"),
        ),
        (
            np.array(["b", None, "a", np.nan, "a", "a"], object),
            [1, -1, 0, -1, 0, 0],
            ("a", "b"),
        ),
        (np.array([3, None, 1, 1, 1, 0], object), [3, -1, 1, 1, 1, 0], None),
        (
            [9_000_000_000, 1, 3, 3, -1, 1],
            [2, 0, 1, 1, -1, 0],
            ("1", "3", "9000000000"),
        ),
        (
            np.array([2**64 - 1, 5, 5, 5, 5, 5], np.uint64),
            [0, 1, 1, 1, 1, 1],
            ("18446744073709551615", "5"),
        ),
        (np.eye(3)[[2, 0, 1, 1, 0, 0]], [2, 0, 1, 1, 0, 0], None),
        (np.eye(3, dtype=bool)[[2, 0, 1, 1, 0, 0]], [2, 0, 1, 1, 0, 0], None),
        ([[2], [0], [1], [1], [0], [0]], [2, 0, 1, 1, 0, 0], None),
    ],
)
def test_labels_with_one_meaning_are_taken(labels, numbers, names):
    source = open_source((IMAGES, labels))
    assert source.labels.tolist() == numbers and source.labels.dtype == np.int64
    assert source.classes == names


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros([6, 4], int), "6 of 6 images.*no 1.*labels.shape"),
        (np.ones([6, 4]), r"6 of 6 images.*several classes.*argmax\(axis=1\)"),
        (np.full([6, 2], 0.5), r"must be one-hot.*argmax\(axis=1\)"),
        (
            [0.5, 1, 2, 3, 4, 5],
            r"not quantities.*labels > np.median\(labels\).*label=0.5",
        ),
        ([np.inf, 1, 2, 3, 4, 5], "not quantities"),
        (np.array([1, "a", 1, 1, 1, 1], object), "all be numbers, or all be names"),
        (np.full([6, 2], "a"), r"shape=\(6, 2\)"),
        (np.zeros([6, 2, 2], int), r"shape=\(6, 2, 2\)"),
        (DATES, "dtype='datetime64"),
        ([-5, 1, 1, 1, 1, 1], r"np.unique\(labels, return_inverse=True\)"),
    ],
)
def test_other_labels_are_refused_in_one_line_and_left_out_if_asked(labels, words):
    with pytest.raises(DataError, match=words) as caught:
        open_source((IMAGES, labels))
    assert "\n" not in str(caught.value)


def test_what_a_refusal_advises_works(tmp_path):
    rows = np.array([[1, 1], [1, 0], [0, 0], [0, 1], [0, 1], [1, 0]])
    for labels in (
        rows.argmax(axis=1),
        rows[:, 0],
        np.where(rows.any(axis=1), rows.argmax(axis=1), -1),
        np.where(rows.any(axis=1), rows.argmax(axis=1), rows.shape[1]),
        np.array([0.5, 1, 2, 3, 4, 5]) > 2,
        np.unique([-5, 1, 1, 1, 1, 1], return_inverse=True)[1],
    ):
        assert open_source((IMAGES, labels)).has_labels
    first = np.moveaxis(np.zeros([6, 3, 8, 8], np.uint8), 1, -1)
    assert open_source(first).image_shape == (8, 8, 3)
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=rows)
    assert not open_source(f"npz:{tmp_path}/a.npz", labelled=False).has_labels
    assert not open_source(
        f"npz:{tmp_path}/a.npz", labelled=False, split="train[:50%]"
    ).has_labels


def test_a_class_for_each_of_very_many_images_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_CLASSES", 5)
    with pytest.raises(DataError, match="at most 5 classes.*numbers of the images"):
        open_source((IMAGES, np.arange(6)))


def test_labels_of_all_splits_of_a_file_are_numbered_together(tmp_path):
    np.savez(
        tmp_path / "ids.npz",
        x_train=IMAGES,
        y_train=[7, 7, 2_000_000, 5_000, 7, 7],
        x_test=IMAGES,
        y_test=[2_000_000, -1, 9_000, 7, 7, 7],
        y_pixels=np.zeros([3, 5]),  # Of no split.
    )
    train, test = (
        open_source(f"npz:{tmp_path}/ids.npz", split=split)
        for split in ("train", "test")
    )
    assert train.classes == test.classes == ("7", "5000", "9000", "2000000")
    assert train.labels.tolist() == [0, 0, 3, 1, 0, 0] and train.num_classes == 4
    assert test.labels.tolist() == [3, -1, 2, 0, 0, 0]
    np.savez(tmp_path / "o.npz", x_train=IMAGES, y_train=np.array(["a"] * 6, object))
    with pytest.raises(
        DataError, match=r"Python objects.*y_train=labels.astype\(str\)"
    ):
        open_source(f"npz:{tmp_path}/o.npz")


def test_minus_one_beside_one_alone_is_questioned(caplog):
    with caplog.at_level(logging.WARNING):
        open_source((IMAGES, [0, 1, -1, 1, 1, 1]))
        assert not caplog.records
        open_source((IMAGES, [-1, 1, -1, 1, 1, 1]))
    assert "-1 means unlabelled" in caplog.text


@pytest.mark.parametrize(
    ("one", "two", "classes", "labels"),
    [
        (["b", "a"], ["c", "b"], ("a", "b", "c"), [2, 1]),
        ([5000, 70], [5000, -1], ("70", "5000"), [1, -1]),
        ([0, 2], [1, 2], None, [1, 2]),
        ([5000, 3], [3, 3], ("3", "5000", "0", "1", "2"), [0, 0]),
        (["b", "a"], [1, 2], ("a", "b", "2"), [1, 2]),
        (["b", "a"], None, ("a", "b"), None),
    ],
)
def test_sources_are_numbered_alike_by_the_names_of_their_classes(
    one, two, classes, labels
):
    first, second = same_numbering(
        open_source((IMAGES[:2], one)), open_source((IMAGES[:2], two))
    )
    assert first.classes == classes
    assert second.labels is None if labels is None else second.labels.tolist() == labels
    if labels is not None:
        assert second.classes == classes
