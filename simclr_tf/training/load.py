"""Loading of a trained encoder from a workdir, an export or a weights file."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from simclr_tf.array_types import Model, StrPath
from simclr_tf.errors import WorkdirError, require
from simclr_tf.models import family_of, fitting_encoder, with_endpoints
from simclr_tf.models.image_range import with_checked_images
from simclr_tf.training.assembly import build_encoder
from simclr_tf.training.checkpoints import DeletedCheckpointError
from simclr_tf.training.exports import (
    ExportedEncoder,
    encoder_of_saved_model,
    encoder_of_weights,
    find_saved_model,
    unpacked,
)
from simclr_tf.training.keras_files import encoder_of_keras_file, kept_network
from simclr_tf.training.path_contents import inspect_path, is_checkpoint_at
from simclr_tf.training.workdir import CONFIG_FILE, Workdir

_ATTEMPTS = 5  # To read a newest checkpoint before its run deletes it.


def load_encoder(
    path: StrPath, *, encoder: Model | None = None, endpoints: bool = False
) -> Model:
    """Load the encoder of a run, of an export, or of a file, ready for fine-tuning.

    The encoder is a graph of Keras layers that computes in float32, also if it was
    trained in another precision; with `endpoints` it returns the output of each block.

    Trust: `weights.safetensors` with its config.json is data, and the format for
    strangers' encoders. Of our own exports and of Keras files only numbers and layers
    of closed lists are read, and classes that were registered in this process; what
    holds anything else is refused before anything is built. A SavedModel without our
    description, a hub archive too, is loaded as the program that it is, so do that
    only with what you trust. Archives with links or paths that lead out of them are
    refused. `simclr_tf.limits` states what a file may claim.

    Args:
      path: workdir of a run (its newest complete checkpoint), or one of its
        checkpoints; folder of an export, of a SavedModel, or of a distillation (a
        SavedModel of another package, or with custom layers, becomes a trainable model
        without a graph of layers);
        `weights.safetensors` beside its config.json; the archive of an export; a
        `.keras` / `.h5` file of the Keras 2 API; or `zoo:NAME`, an encoder of
        `simclr_tf.zoo()`.
      encoder: keras.Model that was passed to `pretrain`, for the workdir of such a run.
      endpoints: bool, as in `simclr_tf.models.with_endpoints`: the model returns a
        dict with the output of each block; the last one are the features.

    Returns:
      keras.Model, float32 images `[N, H, W, C]` in [0, 1] to features `[N, F]`, or to
      the dict of endpoints. Called on uint8 images or, outside of `tf.function`, on
      values far above 1, it raises `DataError` instead of returning features that mean
      nothing.

    Raises:
      WorkdirError: nothing at the path can be loaded, or there is no checkpoint yet.
      DataError: the path does not exist, or a file is damaged or refused.
      ConfigError: an unknown name of the zoo, or endpoints of a SavedModel without a
        description of its layers.
    """
    place = inspect_path(path)
    model = encoder_at(place, encoder)
    if not endpoints:
        # A model of the user's own stays as it is.
        return with_checked_images(model) if encoder is None else model
    require(
        not isinstance(model, ExportedEncoder),
        "Endpoints need a graph of layers, and this SavedModel has no description of "
        "its layers; its signatures are in `load_encoder(path).loaded.signatures`.",
        path=str(place.path),
    )
    return with_checked_images(with_endpoints(model))


def encoder_at(place, encoder=None):
    """Load the encoder at a PathContents, as `load_encoder` returns it.

    Args:
      place: PathContents.
      encoder: keras.Model that was passed to `pretrain`, for the workdir of such a run.

    Returns:
      keras.Model.
    """
    return encoder_and_checkpoint(place, encoder)[0]


def encoder_and_checkpoint(place, encoder=None):
    """Load the encoder at a PathContents, with the checkpoint of its weights.

    Where a run in progress deletes its newest checkpoint while it is read, which takes
    two newer ones, the newest of those is read. A checkpoint that was chosen is not
    replaced by another.

    Args:
      place, encoder: as for `encoder_at`.

    Returns:
      (keras.Model, Checkpoint or None): None for other encoders than those of runs.

    Raises:
      DeletedCheckpointError: the run deletes checkpoints faster than they are read, or
        it deleted the chosen one.
    """
    if not place.is_of_checkpoints:
        return _encoder_of_file(place), None
    chosen = place.checkpoints is not None and is_checkpoint_at(place.checkpoints)
    attempts = 1 if chosen else _ATTEMPTS
    while True:
        place = dataclasses.replace(place)  # Looks for the newest checkpoint again.
        try:
            return _encoder_of_run(place, encoder), place.checkpoint
        except DeletedCheckpointError:
            attempts -= 1
            if not attempts:
                raise


def _encoder_of_file(place):
    if place.weights is not None:
        return encoder_of_weights(place.weights)
    if place.saved_model is not None:
        return encoder_of_saved_model(place.saved_model)
    if place.keras_file is not None:
        return encoder_of_keras_file(place.keras_file)
    with unpacked(place.archive) as folder:
        saved_model = find_saved_model(folder)
        if saved_model is None:
            raise WorkdirError(
                f"{place.path} is not an export: no saved_model.pb in it."
            )
        return encoder_of_saved_model(saved_model)


def untrained_encoder(workdir: Workdir) -> Model:
    """Build the encoder of a run as it was before its first step, in float32.

    Args:
      workdir: Workdir.

    Returns:
      keras.Model.
    """
    return _built(workdir, workdir.config().encoder)


def _built(workdir, options):
    """Build the encoder of a run from its options, in float32."""
    config = dataclasses.replace(workdir.config(), precision="float32", encoder=options)
    return build_encoder(config, workdir.read()["data"]["channels"])


def _encoder_of_run(place, encoder):
    if place.workdir is None:
        raise WorkdirError(
            f"{place.path} holds checkpoints without the {CONFIG_FILE} of their run, "
            "which describes their network. Give the workdir of the run."
        )
    checkpoint = place.checkpoint
    record, config = place.workdir.read(), place.workdir.config()
    if encoder is None:
        encoder = kept_network(place.workdir)
    if encoder is None:
        options = config.encoder
        encoder = _built(place.workdir, family_of(options).without_download(options))
    else:
        shape = config.data.image_shape(record["data"]["channels"])
        encoder = fitting_encoder(encoder, shape)
    checkpoint.restore(model=tf.train.Checkpoint(encoder=encoder))
    return encoder
