"""Loading of Keras files: layers and numbers are read, and nothing else.

Keras imports modules that a file names, calls functions by name, and calls layers while
it puts a network together, in its safe mode too. So Keras never reads a file of anyone:
it reads a copy that holds a config of closed lists (`simclr_tf.models.checked_config`)
and the weights, whose sizes were compared with the file's bytes
(`simclr_tf.limits`). What is refused is refused before a layer is made.

Files of Keras 3 are refused; when they are read one day, the same lists apply to them.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import tempfile
import zipfile

import h5py

from simclr_tf._keras import keras
from simclr_tf.array_types import Model, StrPath
from simclr_tf.errors import ConfigError, DataError, WorkdirError
from simclr_tf.files import plain_reason, write_atomically
from simclr_tf.limits import LARGEST_JSON, parse_json, read_json, unpacked_limit
from simclr_tf.models import check_encoder, split_classifier
from simclr_tf.models.checked_config import checked_network
from simclr_tf.models.closed_lists import variables_at_most
from simclr_tf.models.keras3_network import Keras3Network, check_rebuilt, network_of
from simclr_tf.training.hdf5_trial import require_end
from simclr_tf.training.workdir import NETWORK_FILE

# What fine-tuning and distillation call the networks that they keep.
CLASSIFIER_FILE, STUDENT_FILE = "classifier.keras", "student.keras"
ENCODER_FILE = "encoder.keras"
SUFFIXES = (".keras", ".h5", ".hdf5")
_KIND = "keras3_network/1"
_CONFIG, _METADATA, _STORED = "config.json", "metadata.json", "model.weights.h5"
_WEIGHTS = "model_weights"  # The group in an HDF5 file.


def encoder_of_keras_file(path):
    """Load an encoder from a `.keras` or HDF5 file of the Keras 2 API.

    Args:
      path: pathlib.Path.

    Returns:
      keras.Model, float32 images to features `[N, F]`.

    Raises:
      DataError: as `load_keras_file`.
    """
    return load_keras_file(path, check_encoder)


def load_keras_file(path, check):
    """Load a network from a `.keras` or HDF5 file of the Keras 2 API.

    Args:
      path: pathlib.Path.
      check: function of the network that returns it, or raises a ValueError.

    Returns:
      keras.Model, not compiled.

    Raises:
      DataError: refused by `check`, no such file, a damaged one, or one that holds
        something else than layers of the closed lists and classes registered in this
        process, or claims more than it has.
    """
    with _checked_copy(path) as (copy, values):
        try:
            with variables_at_most(values):
                network = keras.models.load_model(copy, compile=False, safe_mode=True)
        except DataError as error:
            raise DataError(f"{path} is refused: {error}.") from error
        except Exception as error:  # Whatever Keras does with a damaged network.
            raise _unreadable(path, error) from error
    try:
        return check(network)
    except ValueError as error:
        raise _unreadable(path, error) from error


def keep_network(folder, encoder, say):
    """Write the config of a run's Keras 3 network beside its weights.

    With it, the run is continued, evaluated and exported without the user's code.

    Args:
      folder: pathlib.Path of the run.
      encoder: keras.Model, the encoder of the run; nothing is written for a network of
        the Keras 2 API.
      say: function that prints a line (str), why the config could not be kept.
    """
    layer = network_of(encoder)
    if layer is None or (folder / NETWORK_FILE).exists():
        return
    try:
        record = {"kind": _KIND, **layer.get_config()}
        check_rebuilt(layer)
    except ConfigError as error:
        say(f"Network     its config is not kept, pass it again in Python: {error}")
        return
    write_atomically(folder / NETWORK_FILE, json.dumps(record))


def kept_network(workdir):
    """Build the Keras 3 network whose config a run has kept; None if it has none.

    Args:
      workdir: Workdir.

    Returns:
      keras.Model of Keras 3, with new weights, or None.

    Raises:
      WorkdirError: the file is damaged, or holds more than layers and data.
    """
    path = workdir.path / NETWORK_FILE
    if not path.is_file():
        return None
    try:
        record = read_json(path)
        if not isinstance(record, dict) or record.pop("kind", None) != _KIND:
            raise DataError("it is of another kind")
        size = sum(file.stat().st_size for file in workdir.path.glob("checkpoints/*/*"))
        with variables_at_most(size) if size else contextlib.nullcontext():
            return Keras3Network.from_config({**record, "synchronized": False}).network
    except (OSError, ValueError, TypeError) as error:
        raise WorkdirError(
            f"The network in {path} is refused: {plain_reason(error)}. Pass the "
            "network in Python, or use another --workdir."
        ) from error


def load_classifier(path: StrPath) -> Model:
    """Load the classifier that fine-tuning or distillation has kept.

    Like every Keras file, it is refused if it holds more than layers and numbers.

    Args:
      path: a Keras file of the Keras 2 API, or the folder with classifier.keras or
        student.keras.

    Returns:
      keras.Model, float32 images `[N, H, W, C]` in [0, 1] to logits.

    Raises:
      DataError: no such file, or it holds something else than a classifier.
    """
    return load_keras_file(classifier_file(path), _checked)


def classifier_file(path: StrPath) -> pathlib.Path:
    """Find the Keras file of a classifier.

    Args:
      path: as for `load_classifier`.

    Returns:
      pathlib.Path of the file.

    Raises:
      DataError: no such file, or a folder without one.
    """
    file = pathlib.Path(path).expanduser()
    if not file.exists():
        raise DataError(f"There is no classifier at {file}: the path does not exist.")
    if not file.is_dir():
        return file
    for name in (CLASSIFIER_FILE, STUDENT_FILE):
        if (file / name).is_file():
            return file / name
    raise DataError(
        f"There is no classifier in {file}: neither {CLASSIFIER_FILE} nor "
        f"{STUDENT_FILE}. Fine-tuning keeps one for each label budget, in "
        "classifiers/BUDGET."
    )


def _checked(network):
    split_classifier(network)  # Refuses everything else.
    return network


@contextlib.contextmanager
def _checked_copy(path):
    """Write what Keras may read to a temporary file.

    Args:
      path: pathlib.Path of anyone's file.

    Yields:
      (str, the copy's path; int, how many numbers its weights are).

    Raises:
      DataError: refused, damaged, or no Keras file.
    """
    with tempfile.TemporaryDirectory(prefix="simclr_tf-") as folder:
        try:
            is_zip = str(path).endswith(".keras") and zipfile.is_zipfile(path)
            copied = _copy_zip if is_zip else _copy_hdf5
            copy, values = copied(path, pathlib.Path(folder))
        except _OfKeras3 as error:
            raise DataError(str(error)) from error
        except DataError as error:
            raise DataError(f"{path} is refused: {error}.") from error
        except Exception as error:  # Whatever h5py and zipfile do with damage.
            raise _unreadable(
                path, error, " It is damaged, or no Keras file."
            ) from error
        yield str(copy), values


class _OfKeras3(DataError):
    """A file of Keras 3."""


def _copy_zip(path, folder):
    """Copy the config and the weights of a `.keras` file."""
    copy, weights = folder / "model.keras", folder / _STORED
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if len(set(names)) < len(names):
            raise DataError("it has two members of one name")
        if any(name.startswith("assets/") for name in names):
            raise DataError("it has assets, files of layers that are not only data")
        if sum(member.file_size for member in members) > unpacked_limit(
            path.stat().st_size
        ):
            raise DataError("it unpacks to far more bytes than it has")
        metadata = parse_json(_member(archive, _METADATA))
        version = metadata.get("keras_version") if isinstance(metadata, dict) else None
        if str(version).startswith("3"):
            raise _OfKeras3(
                f"{path} was written by Keras 3, which loads it with `import keras`. "
                "Here, give the folder of its export."
            )
        config = checked_network(parse_json(_member(archive, _CONFIG)))
        with archive.open(_STORED) as source, weights.open("wb") as target:
            shutil.copyfileobj(source, target)
    require_end(weights)
    with h5py.File(weights, "r") as file:
        values = _count_values(file, weights.stat().st_size)
    with zipfile.ZipFile(copy, "w") as archive:
        archive.writestr(_METADATA, json.dumps({"keras_version": str(version)[:20]}))
        archive.writestr(_CONFIG, json.dumps(config))
        archive.write(weights, _STORED)
    return copy, values


def _member(archive, name):
    with archive.open(name) as file:
        return file.read(LARGEST_JSON + 1)


def _copy_hdf5(path, folder):
    """Copy the config and the weights of an HDF5 file."""
    copy = folder / "model.h5"
    require_end(path)
    with h5py.File(path, "r") as file:
        config = checked_network(parse_json(file.attrs["model_config"]))
        values = _count_values(file, path.stat().st_size, only=_WEIGHTS)
        with h5py.File(copy, "w") as new:
            file.copy(_WEIGHTS, new)
            new.attrs["model_config"] = json.dumps(config)
            for name in ("keras_version", "backend"):
                if name in file.attrs:
                    new.attrs[name] = str(file.attrs[name])
    return copy, values


def _count_values(file, packed, only=None):
    """Count the numbers in an HDF5 file, without reading them.

    Args:
      file: h5py.File.
      packed: int, bytes of the file.
      only: str, the group that counts, or None.

    Returns:
      int.

    Raises:
      DataError: more bytes than `unpacked_limit`, or content outside the file.
    """
    values = size = 0
    pending, seen = [(file, name) for name in ([only] if only else file)], set()
    while pending:
        group, name = pending.pop()
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError("its weights are links to elsewhere")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        if isinstance(item, h5py.Group):
            pending += [(item, inner) for inner in item]
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual or item.dtype.kind not in "biufV":
                raise DataError("its weights are not numbers in the file itself")
            values += item.size
            size += item.size * item.dtype.itemsize
            if size > unpacked_limit(packed):
                raise DataError(f"its weights claim {size} bytes, and it has {packed}")
    return values


def _unreadable(path, error, advice=""):
    reason = plain_reason(error)
    return DataError(f"Cannot load a Keras model from {path}: {reason}.{advice}")
