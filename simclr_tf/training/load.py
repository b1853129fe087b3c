"""Loading of a trained encoder from a workdir, an export or a weights file.

`inspect_path` finds out what is at a path: for `load_encoder`, `stored_weights.py`,
`run_heads.py` and the tools.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import tensorflow as tf

from simclr_tf.array_types import Model, StrPath
from simclr_tf.config import from_dict
from simclr_tf.encoder_zoo import (
    encoder_path,
    read_export_record,
    undamaged_export_record,
)
from simclr_tf.errors import (
    ConfigError,
    DataError,
    WorkdirError,
    received_text,
    require,
)
from simclr_tf.models import family_of, fitting_encoder, with_endpoints
from simclr_tf.models.image_range import with_checked_images
from simclr_tf.training.assembly import build_encoder
from simclr_tf.training.checkpoints import (
    MANIFEST,
    CheckpointStore,
    DeletedCheckpointError,
    open_checkpoint,
)
from simclr_tf.training.exports import (
    SAVED_MODEL,
    WEIGHTS,
    ExportedEncoder,
    encoder_of_saved_model,
    encoder_of_weights,
    find_saved_model,
    is_archive,
    unpacked,
)
from simclr_tf.training.keras_files import (
    ENCODER_FILE,
    SUFFIXES,
    encoder_of_keras_file,
    kept_network,
)
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, Workdir

_ATTEMPTS = 5  # To read a newest checkpoint before its run deletes it.


@dataclasses.dataclass(frozen=True)
class PathContents:
    """The files that `inspect_path` found at a path; missing ones are None.

    Attributes:
      path: pathlib.Path that was inspected.
      workdir: Workdir, of a run or of the run that a checkpoint belongs to.
      checkpoints: pathlib.Path of one checkpoint, or of the folder of all.
      saved_model: pathlib.Path of the folder with saved_model.pb.
      weights: pathlib.Path of weights.safetensors.
      keras_file: pathlib.Path of a `.keras` or HDF5 file.
      archive: pathlib.Path of the archive of an export.
    """

    path: pathlib.Path
    workdir: Workdir | None = None
    checkpoints: pathlib.Path | None = None
    saved_model: pathlib.Path | None = None
    weights: pathlib.Path | None = None
    keras_file: pathlib.Path | None = None
    archive: pathlib.Path | None = None

    @property
    def is_run(self):
        """Whether the path is the workdir of a run."""
        return self.workdir is not None and self.workdir.path == self.path

    @property
    def is_of_checkpoints(self):
        """Whether the encoder is in a checkpoint, not in a file of its own."""
        files = (self.weights, self.saved_model, self.keras_file, self.archive)
        return all(file is None for file in files)

    @functools.cached_property
    def checkpoint(self):
        """The checkpoint named by the path, or the newest complete one of a run.

        Raises:
          WorkdirError: the checkpoint is damaged, or the run has none yet.
        """
        if _is_checkpoint(self.checkpoints):
            return open_checkpoint(self.checkpoints)
        found = CheckpointStore(self.checkpoints).latest()
        if found is None:
            raise WorkdirError(
                f"{self.path} holds no complete checkpoint yet: let `simclr-tf "
                f"pretrain --workdir={self.path}` reach the end of an epoch."
            )
        return found

    def at_step(self, step):
        """Choose the checkpoint of a step instead of the newest.

        Args:
          step: int, or None for no choice.

        Returns:
          PathContents.

        Raises:
          ConfigError: the path is not a run, or has no checkpoint of this step.
        """
        if step is None:
            return self
        require(
            self.is_run,
            "--step chooses a checkpoint of a run: give the run with --workdir.",
            step=step,
        )
        path = CheckpointStore(self.checkpoints).path_of(step)
        if not path.is_dir():
            there = [int(p.name[5:]) for p in CheckpointStore(self.checkpoints).paths()]
            raise ConfigError(
                f"{self.path} has no checkpoint of this step; it has those of "
                f"{', '.join(map(str, there)) or 'none'}. " + received_text(step=step)
            )
        return dataclasses.replace(self, checkpoints=path)

    def config(self):
        """Read the Config that the encoder was trained with; None if it is not known.

        Raises:
          WorkdirError: the config.json of a run is damaged.
          DataError: that of an export is.
        """
        if self.workdir is not None:
            return self.workdir.config()
        folder = self.weights.parent if self.weights else self.path
        try:
            return from_dict(undamaged_export_record(folder)["config"]["config"])
        except DataError:
            raise
        except (ValueError, KeyError, TypeError):
            return None  # A Keras file, or an export without a run.


def inspect_path(path):
    """Find out what is at a path.

    Args:
      path: workdir of a run; one checkpoint (`step-00000230`) or the folder of such;
        folder of an export, of a SavedModel or of a distillation; `zoo:NAME`; or a
        file: `weights.safetensors`, the archive of an export, `.keras`, `.h5`.

    Returns:
      PathContents.

    Raises:
      DataError: the path does not exist, or is a file of another kind.
      WorkdirError: a folder with none of these.
      ConfigError: an unknown name of the zoo.
    """
    path = encoder_path(path)
    if not path.exists():
        raise DataError(f"There is no encoder at {path}: the path does not exist.")
    if path.is_file():
        return _inspect_file(path)
    saved_model, weights = find_saved_model(path), path / WEIGHTS
    if saved_model is not None or weights.is_file():
        weights = weights if weights.is_file() else None
        return PathContents(path, saved_model=saved_model, weights=weights)
    if _is_checkpoint(path):
        return PathContents(path, _workdir_at(path.absolute().parent.parent), path)
    if (path / CONFIG_FILE).is_file():
        if read_export_record(path) is not None:
            raise WorkdirError(
                f"{path} is an export in formats for other programs: it holds neither "
                f"{SAVED_MODEL}/ nor {WEIGHTS}, from which an encoder is loaded."
            )
        if (path / ENCODER_FILE).is_file():
            return PathContents(path, keras_file=path / ENCODER_FILE)
        return PathContents(path, Workdir(path), path / CHECKPOINTS)
    if CheckpointStore(path).paths():
        return PathContents(path, _workdir_at(path.absolute().parent), path)
    raise WorkdirError(
        f"{path} is neither a workdir (no {CONFIG_FILE}), nor a checkpoint (no "
        f"{MANIFEST}), nor an export (no saved_model.pb, no {WEIGHTS})."
    )


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
    chosen = place.checkpoints is not None and _is_checkpoint(place.checkpoints)
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


def _is_checkpoint(path):
    return (path / MANIFEST).exists() or path.name.startswith("step-")


def _workdir_at(path):
    return Workdir(path) if (path / CONFIG_FILE).is_file() else None


def _inspect_file(path):
    if path.suffix == ".safetensors":
        return PathContents(path, weights=path)
    if path.suffix in SUFFIXES:
        return PathContents(path, keras_file=path)
    if is_archive(path):
        return PathContents(path, archive=path)
    raise DataError(
        f"{path} is not a file with an encoder: these are .safetensors, the archive "
        f"of an export, {', '.join(SUFFIXES)}. For an export, give its folder."
    )


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
