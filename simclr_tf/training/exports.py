"""Reading of exports: the network from its description, the weights by their names."""

import contextlib
import pathlib
import tarfile
import tempfile
import zlib

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.encoder_zoo import RECORD, undamaged_export_record
from simclr_tf.errors import DataError, WorkdirError
from simclr_tf.files import plain_path, plain_reason, sha256_of
from simclr_tf.limits import read_json, unpacked_limit
from simclr_tf.models import network_from_description, set_weights_by_name
from simclr_tf.training.classifier_records import ClassifierRecord, checked_record
from simclr_tf.training.safetensors_file import SafetensorsFile
from simclr_tf.training.stored_variables import VALUE, StoredVariables

SAVED_MODEL = "saved_model"
WEIGHTS = "weights.safetensors"
# TensorFlow ignores files in this folder of a SavedModel.
DESCRIPTION = "assets.extra/simclr_tf.json"
# The filter of Python 3.10.12 and 3.11.4; it ignores owners and permissions.
_TAR_OPTIONS = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def find_saved_model(path):
    """Find the folder of the SavedModel in an export; None without one.

    Args:
      path: pathlib.Path of an export, of a SavedModel, or of a folder of numbered
        versions (TF Serving), of which the newest is taken.

    Returns:
      pathlib.Path with saved_model.pb, or None.
    """
    for folder in (path / SAVED_MODEL, path):
        if (folder / "saved_model.pb").is_file():
            return folder
        versions = numbered_versions(folder)
        if versions:
            return versions[max(versions)]
    return None


def numbered_versions(folder):
    """Find the versions of a SavedModel, in the layout of TF Serving.

    Args:
      folder: pathlib.Path; need not exist.

    Returns:
      dict of int to pathlib.Path with saved_model.pb.
    """
    return {
        int(file.parent.name): file.parent
        for file in folder.glob("*/saved_model.pb")
        if file.parent.name.isdecimal()
    }


def record_of_saved_model(folder):
    """Read the record of an export in its SavedModel, or else in the folder around it.

    Args:
      folder: pathlib.Path with saved_model.pb.

    Returns:
      dict, the content of config.json; None for a SavedModel of another origin.

    Raises:
      DataError: the record is damaged.
    """
    if (folder / DESCRIPTION).is_file():
        return _read_json(folder / DESCRIPTION)
    above = folder.parent.parent if folder.name.isdecimal() else folder.parent
    return undamaged_export_record(above)


def recorded_images(record, path):
    """Return what the record of an export has about its images and classes.

    Args:
      record: dict, the content of config.json.
      path: path of its file, for the message.

    Returns:
      ClassifierRecord: the names of the classes, the size of the images, and the
      background.

    Raises:
      DataError: the record is damaged.
    """
    card = record.get("card")
    size = card.get("image_size_pixels") if isinstance(card, dict) else None
    found = {
        "class_names": record.get("class_names"),
        "image_size_pixels": size,
        "background": background_of(record),
    }
    return checked_record(found, path)


def is_archive(path):
    """Tell whether a file is an archive, by its name.

    Example:
      >>> is_archive(pathlib.Path("encoder.tar.gz"))
      True
    """
    return path.name.lower().endswith((".tar.gz", ".tgz", ".tar"))


@contextlib.contextmanager
def unpacked(path):
    """Unpack a tar archive into a temporary folder, for a `with` block.

    All members are checked before the first is written: an archive with an absolute
    path, a `..`, a link or a device is refused as a whole.

    Args:
      path: pathlib.Path of a `.tar.gz`, `.tgz` or `.tar` file.

    Yields:
      pathlib.Path of the folder.

    Raises:
      DataError: a damaged archive, or a member that must not be unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="simclr_tf-") as folder:
        try:
            with tarfile.open(path) as archive:
                unpacked_bytes, limit = 0, unpacked_limit(path.stat().st_size)
                for member in archive:
                    _check_member(member, path)
                    unpacked_bytes += member.size
                    if unpacked_bytes > limit:
                        raise DataError(
                            f"{path} is refused and nothing was unpacked: it would "
                            f"unpack to more than {limit} bytes."
                        )
                archive.extractall(folder, **_TAR_OPTIONS)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"Cannot unpack {path}: {plain_reason(error)}. The archive is "
                "damaged, or not a tar archive."
            ) from error
        yield pathlib.Path(folder)


def _check_member(member, path):
    """Refuse links too, which tarfile's own filter allows within the folder."""
    if "\0" in member.name or member.size < 0:
        raise DataError(f"{path} is refused and nothing was unpacked: it is damaged.")
    name = pathlib.PurePosixPath(member.name)
    outside = name.is_absolute() or ".." in name.parts or "\\" in member.name
    if outside or not (member.isfile() or member.isdir()):
        what = "a path outside the archive" if outside else "a link or a device"
        raise DataError(
            f"{path} is refused and nothing was unpacked: its member "
            f"{member.name!r} is {what}, which an export never has."
        )


def encoder_of_weights(path):
    """Load an encoder from safetensors and the config.json beside it; run no code.

    Args:
      path: pathlib.Path of weights.safetensors.

    Returns:
      keras.Model, trainable.

    Raises:
      DataError: a file is missing or damaged, or the two do not belong together.
    """
    record = _read_json(path.with_name(RECORD))
    if record.get("network") is None:
        raise DataError(
            f"{path.with_name(RECORD)} does not describe a network, so "
            f"{path.name} is only numbers."
        )
    file = SafetensorsFile(path)
    weights = {name: file.read(name) for name in file.shapes}
    _check_intact(path, record.get("sha256"), path.name)
    encoder = network_from_description(
        record["network"],
        path.with_name(RECORD),
        values=sum(array.size for array in weights.values()),
    )
    set_weights_by_name(encoder, weights, str(path))
    return encoder


def encoder_of_saved_model(folder):
    """Load an encoder from a SavedModel: rebuild it if possible, else wrap it.

    A SavedModel of this package contains a description of its layers; its variables are
    read as numbers, and its program is not run. Any other SavedModel is loaded as a
    program.

    Args:
      folder: pathlib.Path with saved_model.pb.

    Returns:
      keras.Model: a trainable graph of layers, or an `ExportedEncoder`.

    Raises:
      DataError: a damaged description, or damaged variables.
      WorkdirError: a SavedModel of another kind that cannot be loaded.
    """
    description = folder / DESCRIPTION
    if not description.is_file():
        return ExportedEncoder(folder)
    record = _read_json(description)
    names = record.get("weights")
    if record.get("network") is None or not isinstance(names, list):
        return ExportedEncoder(folder)
    weights = _variables(folder, names)
    values = sum(array.size for array in weights.values())
    encoder = network_from_description(record["network"], description, values=values)
    set_weights_by_name(encoder, weights, str(folder / "variables"))
    return encoder


class ExportedEncoder(keras.Model):
    """An exported SavedModel as a Keras model, trainable as in `hub.KerasLayer`.

    Its `variables`, `trainable_variables` and `regularization_losses`, if it has them,
    are the model's. With `trainable = False` batch norm keeps its statistics too.

    Args:
      folder: path with saved_model.pb.

    Attributes:
      loaded: the result of `tf.saved_model.load`.

    Raises:
      WorkdirError: it cannot be loaded, or is not callable on images.
    """

    def __init__(self, folder):
        super().__init__(name="exported_encoder")
        self.loaded = _loaded(folder, WorkdirError)
        if not callable(self.loaded) or "serving_default" not in self.loaded.signatures:
            raise WorkdirError(
                f"The SavedModel in {folder} is no encoder: it needs a call from "
                "images to features and the signature serving_default."
            )
        # Keras tracks variables in its own attributes only.
        self.exported_variables = list(getattr(self.loaded, "variables", ()))
        for penalty in getattr(self.loaded, "regularization_losses", ()):
            self.add_loss(penalty)

    @property
    def num_channels(self):
        """Channels of the input images."""
        signature = self.loaded.signatures["serving_default"]
        return signature.structured_input_signature[1]["images"].shape[-1]

    def call(self, images, training=False):
        return self.loaded(images, training=bool(training) and self.trainable)


class ExportedClassifier(keras.Model):
    """The export of a classifier as a Keras model: images to logits, for inference.

    Args:
      folder: path with saved_model.pb.

    Raises:
      DataError: the SavedModel cannot be loaded, or has no output `logits`.
    """

    def __init__(self, folder):
        super().__init__(name="exported_classifier")
        self.loaded = _loaded(folder, DataError)
        self.serve = self.loaded.signatures.get("serving_default")
        outputs = {} if self.serve is None else self.serve.structured_outputs
        if "logits" not in outputs:
            raise DataError(
                f"The SavedModel in {folder} is no classifier: its signature "
                "serving_default has no output `logits`. `simclr-tf export "
                "--classifier=WORKDIR/classifiers/BUDGET` writes one."
            )
        (images,) = self.serve.structured_input_signature[1].values()
        self.input_spec = keras.layers.InputSpec(shape=images.shape)
        self.num_classes = outputs["logits"].shape[-1]

    @property
    def input_shape(self):
        return tuple(self.input_spec.shape)

    @property
    def output_shape(self):
        return None, self.num_classes

    def call(self, images, training=False):
        return self.serve(images=images)["logits"]


def exported_classifier(folder):
    """Load the export of a classifier, which is run as a program.

    Args:
      folder: pathlib.Path with saved_model.pb.

    Returns:
      (ExportedClassifier, ClassifierRecord).

    Raises:
      DataError: no classifier, or a damaged record.
    """
    network, record = ExportedClassifier(folder), record_of_saved_model(folder)
    if record is None:
        return network, ClassifierRecord()
    return network, recorded_images(record, folder)


def background_of(record):
    """Return the colour behind transparent images in an export's config.json.

    Args:
      record: dict; older exports have only `data.background` of their run.

    Returns:
      str.
    """
    if "background" in record:
        return record["background"]
    for name in ("config", "config", "data"):
        record = record.get(name)
        if not isinstance(record, dict):
            return "white"
    return record.get("background", "white")


def _variables(folder, names):
    """Read the numbers in a SavedModel, by the names in its description."""
    stored = StoredVariables(folder / "variables" / "variables")
    return {name: stored.read(f"variables/{i}/{VALUE}") for i, name in enumerate(names)}


def _read_json(path):
    try:
        record = read_json(path, finite=False)
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {path}: {plain_reason(error)}.") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} is not the record of an export.")
    return record


def _check_intact(path, checksums, name):
    expected = checksums.get(name) if isinstance(checksums, dict) else None
    if expected is not None and sha256_of(path) != expected:
        raise DataError(
            f"{path} is not the file that was exported: it differs from "
            f"its checksum in {RECORD}."
        )


def _loaded(folder, error_class):
    """Load a SavedModel, from folders of any name; refuse in one line."""
    try:
        with plain_path(folder) as readable:
            return tf.saved_model.load(str(readable))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise error_class(
            f"Cannot load the SavedModel in {folder}: {plain_reason(error)}."
        ) from error
