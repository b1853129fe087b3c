"""A trained encoder back from where it lies: a workdir, an export, a file."""

import dataclasses

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.encoder_zoo import encoder_path
from simclr_tf.errors import DataError, WorkdirError
from simclr_tf.models import check_encoder
from simclr_tf.training.archives import is_archive, unpacked
from simclr_tf.training.assembly import (
    build_encoder,
    build_projection_head,
    fitting_encoder,
)
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.exports import (
    WEIGHTS,
    encoder_of_saved_model,
    encoder_of_weights,
    find_saved_model,
)
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, Workdir

ENCODER_FILE = "encoder.keras"
_PROBE_KERNEL = "model/probe/kernel/.ATTRIBUTES/VARIABLE_VALUE"


def load_encoder(path, *, encoder=None):
    """The encoder of a run, of an export, or of a file, ready for fine-tuning.

    It is a graph of Keras layers that computes in float32, whatever the precision it
    was trained in; `simclr_tf.models.with_endpoints` names its block groups.

    Trust: `weights.safetensors` with its config.json is data, and the format for
    strangers' encoders. A SavedModel, a hub archive, a `.keras` and an `.h5` file
    can hold programs. Of our own exports only numbers and a list of layers are read;
    a SavedModel without our description is loaded as the program that it is, so do
    that only with what you trust. `.keras` files are read in safe mode; archives
    with links or paths that lead out of them are refused.

    Args:
      path: workdir of a run (its newest whole checkpoint); folder of an export or of
        a SavedModel (wrapped, for inference only, where it was not written by this
        package or has layers of its own), or of a distillation;
        `weights.safetensors` beside its config.json; the archive of an export; a
        `.keras` / `.h5` file of the Keras 2 API; or `zoo:NAME`, an encoder of
        `simclr_tf.zoo()`.
      encoder: keras.Model that was handed to `pretrain`, for such a workdir.

    Returns:
      keras.Model, float32 images `[N, H, W, C]` in [0, 1] to features `[N, F]`.

    Raises:
      WorkdirError: nothing loadable there, or no checkpoint yet.
      DataError: the path does not exist, or a file is damaged or refused.
      ConfigError: the zoo has no such name.
    """
    path = encoder_path(path)
    if not path.exists():
        raise DataError(f"There is no encoder at {path}: the path does not exist.")
    if path.is_file():
        return _from_file(path)
    if (path / WEIGHTS).is_file():
        return encoder_of_weights(path / WEIGHTS)
    saved_model = find_saved_model(path)
    if saved_model is not None:
        return encoder_of_saved_model(saved_model)
    if (path / ENCODER_FILE).is_file():
        return _from_file(path / ENCODER_FILE)
    if (path / CONFIG_FILE).is_file():
        return _from_workdir(Workdir(path), encoder)
    raise WorkdirError(
        f"{path} is neither a workdir (no {CONFIG_FILE}) nor an export (no "
        f"saved_model.pb, no {WEIGHTS}).")


def untrained_encoder(workdir):
    """The encoder of a run as it was before its first step (same seed), in float32.

    Args:
      workdir: Workdir.

    Returns:
      keras.Model.
    """
    config = dataclasses.replace(workdir.config(), precision="float32")
    return build_encoder(config, workdir.read()["data"]["channels"])


def load_projection_head(workdir, encoder):
    """The trained projection head of a run, in float32.

    Args:
      workdir: Workdir.
      encoder: keras.Model of the same run, for the number of features.

    Returns:
      simclr_tf.models.ProjectionHead, built.

    Raises:
      WorkdirError: no checkpoint, or one that holds another head.
    """
    checkpoint = _newest(workdir)
    head = build_projection_head(
        dataclasses.replace(workdir.config(), precision="float32"))
    head(tf.zeros([1, encoder.output_shape[-1]]))
    checkpoint.restore(model=tf.train.Checkpoint(projection_head=head))
    return head


def load_probe(workdir, encoder):
    """The online probe of a run: features to the logits of its classes.

    Args:
      workdir: Workdir.
      encoder: keras.Model of the same run, for the number of features.

    Returns:
      keras.layers.Dense, built.

    Raises:
      WorkdirError: no checkpoint, or the run had no online probe.
    """
    checkpoint = _newest(workdir)
    shapes = tf.train.load_checkpoint(
        str(checkpoint.path / "ckpt")).get_variable_to_shape_map()
    if _PROBE_KERNEL not in shapes:
        raise WorkdirError(
            f"The run in {workdir.path} has no online probe: it had no labels, or "
            "--probe.online=false.")
    probe = keras.layers.Dense(
        shapes[_PROBE_KERNEL][1], dtype="float32", name="linear_probe")
    probe(tf.zeros([1, encoder.output_shape[-1]]))
    checkpoint.restore(model=tf.train.Checkpoint(probe=probe))
    return probe


def _from_workdir(workdir, encoder):
    checkpoint = _newest(workdir)
    record, config = workdir.read(), workdir.config()
    size = config.data.image_size_pixels
    encoder = fitting_encoder(
        encoder or untrained_encoder(workdir), (size, size, record["data"]["channels"]))
    checkpoint.restore(model=tf.train.Checkpoint(encoder=encoder))
    return encoder


def _newest(workdir):
    """The newest whole checkpoint of a run."""
    checkpoint = CheckpointStore(workdir.path / CHECKPOINTS).latest()
    if checkpoint is None:
        raise WorkdirError(
            f"{workdir.path} holds no whole checkpoint yet: let `simclr-tf pretrain "
            f"--workdir={workdir.path}` reach the end of an epoch.")
    return checkpoint


def _from_file(path):
    if path.suffix == ".safetensors":
        return encoder_of_weights(path)
    if not is_archive(path):
        return load_keras_file(path, check_encoder)
    with unpacked(path) as folder:
        saved_model = find_saved_model(folder)
        if saved_model is None:
            raise WorkdirError(f"{path} is not an export: no saved_model.pb in it.")
        return encoder_of_saved_model(saved_model)


def load_keras_file(path, check):
    """A model of the Keras 2 API from a `.keras` or `.h5` file, in safe mode.

    Args:
      path: pathlib.Path.
      check: function of the model that returns it, or raises a ValueError.

    Returns:
      keras.Model, not compiled.

    Raises:
      DataError: it is not such a file, or refused by `check`.
    """
    try:
        return check(keras.models.load_model(path, compile=False, safe_mode=True))
    except (OSError, ValueError, ImportError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error) else repr(error)
        raise DataError(
            f"Cannot load a Keras model from {path}: {first[:200]} (Files are read "
            "with the Keras 2 API; save a model of Keras 3 as `.h5`. Of an export, "
            "give the folder.)"
        ) from error
