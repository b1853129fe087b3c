"""A trained encoder back from where it lies: a workdir, an export, a Keras file."""

import dataclasses
import pathlib

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import DataError, WorkdirError
from simclr_tf.models import check_encoder
from simclr_tf.training.assembly import build_encoder, fitting_encoder
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, Workdir

SAVED_MODEL = "saved_model"


def load_encoder(path, *, encoder=None):
    """The encoder of a run, of an export, or of a Keras file.

    It computes in float32, whatever the precision it was trained in. A SavedModel and a
    Keras file are programs: load only what you trust.

    Args:
      path: workdir of a run (its newest whole checkpoint), folder of an export, or a
        `.keras` / `.h5` file.
      encoder: keras.Model that was handed to `pretrain`, for such a workdir.

    Returns:
      keras.Model, float32 images `[N, H, W, C]` in [0, 1] to features `[N, F]`.

    Raises:
      WorkdirError: nothing loadable there, or no checkpoint yet.
      DataError: the path does not exist.
    """
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        raise DataError(f"There is no encoder at {path}: the path does not exist.")
    if path.is_file():
        return _from_keras_file(path)
    for folder in (path / SAVED_MODEL, path):
        if (folder / "saved_model.pb").is_file():
            return ExportedEncoder(folder)
    if (path / CONFIG_FILE).is_file():
        return _from_workdir(Workdir(path), encoder)
    raise WorkdirError(
        f"{path} is neither a workdir (no {CONFIG_FILE}) nor an export (no "
        "saved_model.pb).")


def untrained_encoder(workdir):
    """The encoder of a run as it was before its first step (same seed), in float32.

    Args:
      workdir: Workdir.

    Returns:
      keras.Model.
    """
    config = dataclasses.replace(workdir.config(), precision="float32")
    return build_encoder(config, workdir.read()["data"]["channels"])


def _from_workdir(workdir, encoder):
    checkpoint = CheckpointStore(workdir.path / CHECKPOINTS).latest()
    if checkpoint is None:
        raise WorkdirError(
            f"{workdir.path} holds no whole checkpoint yet: let `simclr-tf pretrain "
            f"--workdir={workdir.path}` reach the end of an epoch.")
    record, config = workdir.read(), workdir.config()
    size = config.data.image_size_pixels
    encoder = fitting_encoder(
        encoder or untrained_encoder(workdir), (size, size, record["data"]["channels"]))
    checkpoint.restore(model=tf.train.Checkpoint(encoder=encoder))
    return encoder


def _from_keras_file(path):
    try:
        return check_encoder(keras.models.load_model(path, compile=False))
    except (OSError, ValueError, ImportError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error) else repr(error)
        raise DataError(
            f"Cannot load a Keras model from {path}: {first[:200]} (Files are read "
            "with the Keras 2 API; save a model of Keras 3 as `.h5`.)"
        ) from error


class ExportedEncoder(keras.Model):
    """An exported SavedModel as a Keras model.

    Args:
      folder: path with saved_model.pb.
    """

    def __init__(self, folder):
        super().__init__(name="exported_encoder")
        try:
            self.loaded = tf.saved_model.load(str(folder))
        except (OSError, tf.errors.OpError) as error:
            raise WorkdirError(
                f"Cannot load the SavedModel in {folder}: "
                f"{str(error).splitlines()[0]}") from error

    @property
    def num_channels(self):
        """Channels of the images it takes."""
        signature = self.loaded.signatures["serving_default"]
        return signature.structured_input_signature[1]["images"].shape[-1]

    def call(self, images, training=False):
        return self.loaded(images, training=bool(training))
