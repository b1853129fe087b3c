"""What is at a path: a run, a checkpoint, an export, a Keras file or an archive."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

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
from simclr_tf.training.checkpoints import MANIFEST, CheckpointStore, open_checkpoint
from simclr_tf.training.classifier_records import classifier_record
from simclr_tf.training.exports import (
    SAVED_MODEL,
    WEIGHTS,
    find_saved_model,
    is_archive,
    record_of_saved_model,
    recorded_images,
    unpacked,
)
from simclr_tf.training.keras_files import ENCODER_FILE, STUDENT_FILE, SUFFIXES
from simclr_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, Workdir


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
        if is_checkpoint_at(self.checkpoints):
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
        record = self._export_record
        try:
            return from_dict(record["config"]["config"])
        except (ValueError, KeyError, TypeError):
            return None  # A Keras file, or an export without a run.

    def images(self):
        """Read what the files of an export or a student have about their images.

        Returns:
          dict with "image_size_pixels" and "background"; {} if they are not known, or
          the encoder is of a run, whose config has them.

        Raises:
          DataError: the record is damaged.
        """
        found = None
        if self._export_record is not None:
            found = recorded_images(self._export_record, self.path)
        elif self.keras_file is not None and self.keras_file.name == ENCODER_FILE:
            student = self.keras_file.with_name(STUDENT_FILE)
            found = classifier_record(student) if student.is_file() else None
        if found is None or found.image_size_pixels is None:
            return {}
        names = ("image_size_pixels", "background")
        return {name: getattr(found, name) for name in names}

    @functools.cached_property
    def _export_record(self):
        """The content of the config.json of an export; None without one."""
        if self.workdir is not None:
            return None
        if self.archive is not None:
            with unpacked(self.archive) as folder:
                saved_model = find_saved_model(folder)
                return saved_model and record_of_saved_model(saved_model)
        folder = self.weights.parent if self.weights else self.path
        record = undamaged_export_record(folder)
        if record is None and self.saved_model is not None:
            return record_of_saved_model(self.saved_model)
        return record


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
    if is_checkpoint_at(path):
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


def is_checkpoint_at(path):
    """Tell whether a path is one checkpoint, not the folder of all, nor of a run."""
    if (path / MANIFEST).exists():
        return True
    is_of_many = (path / CONFIG_FILE).is_file() or CheckpointStore(path).paths()
    return path.name.startswith("step-") and not is_of_many


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
