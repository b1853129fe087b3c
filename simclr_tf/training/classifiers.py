"""A fine-tuned classifier back from its file."""

import pathlib

from simclr_tf.errors import DataError
from simclr_tf.models import split_classifier
from simclr_tf.training.keras_files import load_keras_file

# What fine-tuning and distillation call the networks that they keep.
CLASSIFIER_FILE, STUDENT_FILE = "classifier.keras", "student.keras"


def load_classifier(path):
    """The classifier that fine-tuning or distillation has kept.

    Like every Keras file, it is read in safe mode and refused if it holds code.

    Args:
      path: a Keras file of the Keras 2 API, or the folder with classifier.keras or
        student.keras.

    Returns:
      keras.Model, float32 images `[N, H, W, C]` in [0, 1] to logits.

    Raises:
      DataError: no such file, or it holds something else than a classifier.
    """
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        raise DataError(f"There is no classifier at {path}: the path does not exist.")
    if path.is_dir():
        files = [path / name for name in (CLASSIFIER_FILE, STUDENT_FILE)]
        path, folder = next((file for file in files if file.is_file()), None), path
        if path is None:
            raise DataError(
                f"There is no classifier in {folder}: neither {CLASSIFIER_FILE} nor "
                f"{STUDENT_FILE}. Fine-tuning keeps one for each label budget, in "
                "classifiers/BUDGET."
            )
    return load_keras_file(path, _checked)


def _checked(network):
    split_classifier(network)  # Refuses everything else.
    return network
