"""Loading of Keras files, checked for code before Keras reads them.

Keras's safe mode does not cover HDF5, whatever the file is called, and imports any
module that a `.keras` file names.
"""

from __future__ import annotations

import json
import pathlib
import zipfile

import h5py

from simclr_tf._keras import KERAS_PACKAGES, keras
from simclr_tf.array_types import Model, StrPath
from simclr_tf.errors import DataError
from simclr_tf.files import plain_reason
from simclr_tf.models import check_encoder, split_classifier

# What fine-tuning and distillation call the networks that they keep.
CLASSIFIER_FILE, STUDENT_FILE = "classifier.keras", "student.keras"
ENCODER_FILE = "encoder.keras"
SUFFIXES = (".keras", ".h5", ".hdf5")
_KNOWN = (*KERAS_PACKAGES, "builtins")


def encoder_of_keras_file(path):
    """Load an encoder from a `.keras` or HDF5 file of the Keras 2 API, in safe mode.

    Args:
      path: pathlib.Path.

    Returns:
      keras.Model, float32 images to features `[N, F]`.

    Raises:
      DataError: as `load_keras_file`.
    """
    return load_keras_file(path, check_encoder)


def load_keras_file(path, check):
    """Load a network from a `.keras` or HDF5 file of the Keras 2 API, in safe mode.

    Args:
      path: pathlib.Path.
      check: function of the network that returns it, or raises a ValueError.

    Returns:
      keras.Model, not compiled.

    Raises:
      DataError: refused by `check`, no such file, a damaged one, or one that holds
        Python code or names classes that are neither Keras's nor registered.
    """
    _check_program(_config_of(path), path)
    try:
        return check(keras.models.load_model(path, compile=False, safe_mode=True))
    except (OSError, ValueError, ImportError, TypeError, KeyError) as error:
        raise DataError(
            f"Cannot load a Keras model from {path}: {plain_reason(error)}."
        ) from error


def load_classifier(path: StrPath) -> Model:
    """Load the classifier that fine-tuning or distillation has kept.

    Like every Keras file, it is read in safe mode and refused if it holds code.

    Args:
      path: a Keras file of the Keras 2 API, or the folder with classifier.keras or
        student.keras.

    Returns:
      keras.Model, float32 images `[N, H, W, C]` in [0, 1] to logits.

    Raises:
      DataError: no such file, or it holds something else than a classifier.
    """
    file = pathlib.Path(path).expanduser()
    if not file.exists():
        raise DataError(f"There is no classifier at {file}: the path does not exist.")
    if file.is_dir():
        folder = file
        names = [n for n in (CLASSIFIER_FILE, STUDENT_FILE) if (folder / n).is_file()]
        if not names:
            raise DataError(
                f"There is no classifier in {folder}: neither {CLASSIFIER_FILE} nor "
                f"{STUDENT_FILE}. Fine-tuning keeps one for each label budget, in "
                "classifiers/BUDGET."
            )
        file = folder / names[0]
    return load_keras_file(file, _checked)


def _checked(network):
    split_classifier(network)  # Refuses everything else.
    return network


def _config_of(path):
    """Read the list of layers from where Keras will read it."""
    try:
        if str(path).endswith(".keras") and zipfile.is_zipfile(path):
            return _config_in_zip(path)
        with h5py.File(path, "r") as file:
            return json.loads(file.attrs["model_config"])
    except DataError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(
            f"Cannot load a Keras model from {path}: {plain_reason(error)}. It is "
            "damaged, or no Keras file."
        ) from error


def _config_in_zip(path):
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
        if str(metadata.get("keras_version")).startswith("3"):
            raise DataError(
                f"{path} was written by Keras 3, which loads it with `import keras`. "
                "Here, give the folder of its export, or save the model as `.h5`."
            )
        return json.loads(archive.read("config.json"))


def _check_program(config, path):
    """Raise DataError if a list of layers holds code, or asks for foreign modules."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
            _check_entry(value, path)


def _check_entry(entry, path):
    is_code = entry.get("class_name") == "__lambda__" or any(
        key.endswith("_type") and value == "lambda" for key, value in entry.items()
    )
    if is_code:
        raise DataError(
            f"{path} is refused: it holds Python code, of a Lambda layer, which would "
            "run. Only its maker can save it without one."
        )
    module, name = entry.get("module"), entry.get("registered_name")
    if "class_name" not in entry or not module:
        return
    known = str(module).split(".")[0] in _KNOWN
    if not known and keras.utils.get_registered_object(name) is None:
        raise DataError(
            f"{path} is refused: its class {module}.{entry['class_name']} is neither "
            "Keras's nor registered. If it is yours, import it before, with "
            "`@keras.utils.register_keras_serializable()`."
        )
