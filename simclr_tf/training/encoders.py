"""A trained encoder back from where it lies: a workdir, an export, a file."""

import dataclasses

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.encoder_zoo import encoder_path
from simclr_tf.errors import DataError, WorkdirError, require
from simclr_tf.models import fitting_encoder, with_endpoints
from simclr_tf.training.archives import is_archive, unpacked
from simclr_tf.training.assembly import (
    build_encoder,
    build_projection_head,
)
from simclr_tf.training.checkpoints import CheckpointStore
from simclr_tf.training.exports import (
    WEIGHTS,
    ExportedEncoder,
    check_not_an_export,
    encoder_of_saved_model,
    encoder_of_weights,
    find_saved_model,
)
from simclr_tf.training.keras_files import SUFFIXES, encoder_of_keras_file
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, Workdir

ENCODER_FILE = "encoder.keras"
_PROBE_KERNEL = "model/probe/kernel/.ATTRIBUTES/VARIABLE_VALUE"


def load_encoder(path, *, encoder=None, endpoints=False):
    """The encoder of a run, of an export, or of a file, ready for fine-tuning.

    It is a graph of Keras layers that computes in float32, whatever the precision it
    was trained in; with `endpoints` it returns what is inside too.

    Trust: `weights.safetensors` with its config.json is data, and the format for
    strangers' encoders. A SavedModel, a hub archive, a `.keras` and an `.h5` file
    can hold programs. Of our own exports only numbers and a list of layers are read;
    a SavedModel without our description is loaded as the program that it is, so do
    that only with what you trust. Keras files are read in safe mode: those with Python
    code, or with classes that are neither Keras's nor registered, are refused; so are
    archives with links or paths that lead out of them.

    Args:
      path: workdir of a run (its newest whole checkpoint); folder of an export or of
        a SavedModel (wrapped as a trainable model without a graph of layers, where it
        was not written by this package or has layers of its own), or of a
        distillation;
        `weights.safetensors` beside its config.json; the archive of an export; a
        `.keras` / `.h5` file of the Keras 2 API; or `zoo:NAME`, an encoder of
        `simclr_tf.zoo()`.
      encoder: keras.Model that was handed to `pretrain`, for such a workdir.
      endpoints: bool, as of `simclr_tf.models.with_endpoints`: the model returns a
        dict with the output of each block; the last one are the features.

    Returns:
      keras.Model, float32 images `[N, H, W, C]` in [0, 1] to features `[N, F]`, or to
      the dict of endpoints.

    Raises:
      WorkdirError: nothing loadable there, or no checkpoint yet.
      DataError: the path does not exist, or a file is damaged or refused.
      ConfigError: the zoo has no such name, or endpoints of a SavedModel that is not
        described by its layers.
    """
    path = encoder_path(path)
    model = _load(path, encoder)
    if not endpoints:
        return model
    require(
        not isinstance(model, ExportedEncoder),
        "Endpoints are places in a graph of layers, which this SavedModel does not "
        "describe; its signatures are in `load_encoder(path).loaded.signatures`.",
        path=str(path),
    )
    return with_endpoints(model)


def _load(path, encoder):
    if not path.exists():
        raise DataError(f"There is no encoder at {path}: the path does not exist.")
    if path.is_file():
        return _from_file(path)
    if (path / WEIGHTS).is_file():
        return encoder_of_weights(path / WEIGHTS)
    saved_model = find_saved_model(path)
    if saved_model is not None:
        return encoder_of_saved_model(saved_model)
    if (path / CONFIG_FILE).is_file():
        check_not_an_export(path)
        if (path / ENCODER_FILE).is_file():
            return _from_file(path / ENCODER_FILE)
        return _from_workdir(Workdir(path), encoder)
    raise WorkdirError(
        f"{path} is neither a workdir (no {CONFIG_FILE}) nor an export (no "
        f"saved_model.pb, no {WEIGHTS})."
    )


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
        dataclasses.replace(workdir.config(), precision="float32")
    )
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
        str(checkpoint.path / "ckpt")
    ).get_variable_to_shape_map()
    if _PROBE_KERNEL not in shapes:
        raise WorkdirError(
            f"The run in {workdir.path} has no online probe: it had no labels, or "
            "--probe.online=false."
        )
    probe = keras.layers.Dense(
        shapes[_PROBE_KERNEL][1], dtype="float32", name="linear_probe"
    )
    probe(tf.zeros([1, encoder.output_shape[-1]]))
    checkpoint.restore(model=tf.train.Checkpoint(probe=probe))
    return probe


def _from_workdir(workdir, encoder):
    checkpoint = _newest(workdir)
    record, config = workdir.read(), workdir.config()
    if encoder is None:
        encoder = untrained_encoder(workdir)
    else:
        size = config.data.image_size_pixels
        encoder = fitting_encoder(encoder, (size, size, record["data"]["channels"]))
    checkpoint.restore(model=tf.train.Checkpoint(encoder=encoder))
    return encoder


def _newest(workdir):
    """The newest whole checkpoint of a run."""
    checkpoint = CheckpointStore(workdir.path / CHECKPOINTS).latest()
    if checkpoint is None:
        raise WorkdirError(
            f"{workdir.path} holds no whole checkpoint yet: let `simclr-tf pretrain "
            f"--workdir={workdir.path}` reach the end of an epoch."
        )
    return checkpoint


def _from_file(path):
    if path.suffix == ".safetensors":
        return encoder_of_weights(path)
    if path.suffix in SUFFIXES:
        return encoder_of_keras_file(path)
    if not is_archive(path):
        raise DataError(
            f"{path} is no file that an encoder is read from: those are .safetensors, "
            f"the archive of an export, {', '.join(SUFFIXES)}. Of an export, give the "
            "folder."
        )
    with unpacked(path) as folder:
        saved_model = find_saved_model(folder)
        if saved_model is None:
            raise WorkdirError(f"{path} is not an export: no saved_model.pb in it.")
        return encoder_of_saved_model(saved_model)
