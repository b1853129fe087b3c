"""Names of classes in the file of a classifier: kept, matched with data, or refused."""

import zipfile

import numpy as np
import pytest

from simclr_tf.data import ArraySource
from simclr_tf.errors import DataError
from simclr_tf.training.classifier_records import (
    RECORD_MEMBER,
    ClassifierRecord,
    classifier_record,
    names_of_classes,
    number_labels_as,
)

KNOWN = ("cat", "dog", "owl")


def a_source(labels, classes):
    images = np.zeros((len(labels), 2, 2, 3), "uint8")
    return ArraySource("mine", images, np.array(labels), classes=classes)


def test_labels_are_numbered_by_name_and_the_unlabelled_stay_so():
    source = a_source([0, 1, -1, 1], ("owl", "cat"))
    number_labels_as(source, KNOWN)
    assert source.labels.tolist() == [2, 0, -1, 0]
    assert source.classes == KNOWN and source.num_classes == 3


def test_a_class_that_no_label_uses_may_be_unknown():
    source = a_source([0, 0], ("dog", "fish"))
    number_labels_as(source, KNOWN)
    assert source.labels.tolist() == [1, 1]


@pytest.mark.parametrize("labels", [[0, 1], [0, 2]])  # The third has no name at all.
def test_labels_of_unknown_names_are_refused_and_left_as_they_are(labels):
    source = a_source(labels, ("dog", "fish"))
    with pytest.raises(DataError, match=r"\(cat, dog, owl\). Received: '(fish|2)'"):
        number_labels_as(source, KNOWN)
    assert source.labels.tolist() == labels and source.classes == ("dog", "fish")


def test_the_names_are_those_of_the_first_set_that_names_every_class():
    few, all_of_them = a_source([0, 1], KNOWN[:2]), a_source([0, 2], KNOWN)
    assert names_of_classes(3, few, all_of_them) == KNOWN
    assert names_of_classes(3, few, a_source([0, 2], None)) is None


def test_a_file_without_a_record_has_no_names(tmp_path):
    for name, data in (("a.h5", b"\x89HDF"), ("b.keras", None)):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        else:
            zipfile.ZipFile(tmp_path / name, "w").close()
        assert classifier_record(tmp_path / name) == ClassifierRecord()


@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        "[]",
        '{"class_names": "cat", "image_size_pixels": 3}',
        '{"class_names": [1], "image_size_pixels": 3}',
        '{"class_names": null, "image_size_pixels": -1}',
        '{"class_names": null, "image_size_pixels": [1, 2, 3]}',
    ],
)
def test_a_damaged_record_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "classifier.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(RECORD_MEMBER, content)
    with pytest.raises(DataError, match="record of classes is damaged") as caught:
        classifier_record(path)
    assert "\n" not in str(caught.value)
