"""The record of a classifier inside its Keras file: names of classes, size of images.

A Keras file is a zip archive, and Keras ignores members that it does not know; the
record is such a member, so it stays with the file wherever that is copied.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simclr_tf.array_types import StrPath
from simclr_tf.config.data import rgb_of
from simclr_tf.config.image_size import short_size
from simclr_tf.errors import DataError
from simclr_tf.files import plain_reason
from simclr_tf.limits import LARGEST_JSON, parse_json
from simclr_tf.models.precision_copy import POLICIES

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source

RECORD_MEMBER = "simclr_tf.json"
_SHOWN = 10  # Names of classes in a message.


@dataclasses.dataclass(frozen=True)
class ClassifierRecord:
    """What a classifier was trained on, as far as its use needs it.

    Attributes:
      class_names: tuple of str, the class of each logit; None if the labels had no
        names.
      image_size_pixels: the option `image_size_pixels` of the training; None if not
        known.
      background: str, `data.background` of the training.
      precision: str, of the training's arithmetic; the weights are float32.
      training: str, which of the trainings of `finetune` made it; None if not known.
    """

    class_names: tuple[str, ...] | None = None
    image_size_pixels: Any = None
    background: str = "white"
    precision: str = "float32"
    training: str | None = None


def names_of_classes(num_classes: int, *sources: Source) -> tuple[str, ...] | None:
    """Return the names of the classes that a classifier is trained on.

    Args:
      num_classes: int, logits of the classifier.
      *sources: Sources with labels; the first one that names all classes counts.

    Returns:
      tuple of str, or None.
    """
    for source in sources:
        if source.classes is not None and len(source.classes) == num_classes:
            return tuple(source.classes)
    return None


def number_labels_as(source: Source, class_names: Sequence[str]) -> None:
    """Number the labels of a source as a classifier numbers its classes, by name.

    Args:
      source: Source; it is changed if it has labels and names of classes.
      class_names: the name of each logit, in order.

    Raises:
      DataError: a label has a name that the classifier does not know; nothing is
        changed.
    """
    labels, classes = source.labels, source.classes
    if labels is None or classes is None:
        return
    used = np.unique(labels[labels >= 0])
    number = max(len(classes), int(labels.max()) + 1)
    names = [source.class_name(label) for label in range(number)]
    numbers = {name: number for number, name in enumerate(class_names)}
    unknown = [names[old] for old in used if names[old] not in numbers]
    if unknown:
        known = ", ".join(
            [*class_names[:_SHOWN], *["..."][: len(class_names) - _SHOWN]]
        )
        raise DataError(
            f"The classes of {source.name} must be the classifier's ({known}). "
            f"Received: {', '.join(map(repr, unknown[:_SHOWN]))}."
        )
    new = np.array([numbers.get(name, -1) for name in names], np.int64)
    source.labels = np.where(labels < 0, -1, new[labels])
    source.classes = tuple(class_names)


def add_record(path: StrPath, record: ClassifierRecord) -> None:
    """Write a record into a `.keras` file that holds none.

    Args:
      path: path of the file.
      record: ClassifierRecord.

    Raises:
      OSError: the file cannot be written.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(RECORD_MEMBER, json.dumps(dataclasses.asdict(record)))


def classifier_record(path: StrPath) -> ClassifierRecord:
    """Read the record in a Keras file; an empty one if the file has none.

    Args:
      path: path of a file that `load_classifier` takes.

    Returns:
      ClassifierRecord.

    Raises:
      DataError: the record is damaged.

    Example:
      >>> import tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "classifier.keras"
      >>> add_record(path, ClassifierRecord(("cat", "dog"), 64))
      >>> classifier_record(path).class_names
      ('cat', 'dog')
    """
    path = pathlib.Path(path)
    if not zipfile.is_zipfile(path):  # HDF5.
        return ClassifierRecord()
    try:
        with zipfile.ZipFile(path) as archive:
            if RECORD_MEMBER not in archive.namelist():
                return ClassifierRecord()
            with archive.open(RECORD_MEMBER) as file:
                found = parse_json(file.read(LARGEST_JSON + 1))
    except Exception as error:  # Whatever zipfile does with damage.
        raise _damaged(path, error) from error
    return checked_record(found, path)


def checked_record(found: Any, path: StrPath) -> ClassifierRecord:
    """Return what a file has about a classifier.

    Args:
      found: dict of JSON with the attributes of ClassifierRecord.
      path: path of the file, for the message.

    Raises:
      DataError: the record is damaged.
    """
    try:
        names, size = found["class_names"], found["image_size_pixels"]
        if names is not None and not (
            isinstance(names, list) and all(isinstance(name, str) for name in names)
        ):
            raise ValueError("the names of the classes are no list of texts")
        if size is not None:
            size = short_size("image_size_pixels", size)
        background = found.get("background", "white")
        rgb_of(background)
        precision = found.get("precision", "float32")
        if precision not in POLICIES:
            raise ValueError("its precision is unknown")
        training = found.get("training")
        if not isinstance(training, str | None):
            raise ValueError("what trained it is no text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    names = None if names is None else tuple(names)
    return ClassifierRecord(names, size, background, precision, training)


def _damaged(path, error):
    return DataError(
        f"{path}: its record of classes is damaged: {plain_reason(error)}."
    )
