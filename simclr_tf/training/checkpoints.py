"""Checkpoints that are either whole or not there.

A checkpoint is a folder `step-00000230/` with TensorFlow's files and a
`manifest.json` (step, sizes, sha256, and what the caller adds). It is written under
a temporary name, flushed to disk, and renamed last: a kill or a full disk at any
moment leaves the checkpoints before it untouched.
"""

import dataclasses
import json
import logging
import os
import pathlib
import shutil
import time
import uuid

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import NonFiniteError, WorkdirError
from simclr_tf.training.durable_files import sha256_of, write_flushed

LOG = logging.getLogger("simclr_tf")
MANIFEST = "manifest.json"
_PREFIX = "ckpt"
_TEMPORARY = ".writing-"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: pathlib.Path
    manifest: dict

    @property
    def step(self):
        return self.manifest["step"]

    @property
    def prefix(self):
        """What TensorFlow calls the checkpoint: the beginning of its files' paths."""
        return str(self.path / _PREFIX)

    def restore(self, **objects):
        """Load the values into trackable objects, by the names they were saved under.

        Raises:
          WorkdirError: if an object holds variables that the checkpoint has not.
        """
        reader = tf.train.Checkpoint(**objects)
        try:
            status = reader.read(str(self.path / _PREFIX))
            status.assert_existing_objects_matched()
            status.expect_partial()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise WorkdirError(
                f"Checkpoint {self.path} does not fit the model: "
                f"{_first_line(error)}") from error


class CheckpointStore:
    """The checkpoints of one run, newest last.

    Args:
      folder: path; made when the first checkpoint is saved.
      keep: int >= 1, newest checkpoints to keep.
    """

    def __init__(self, folder, keep=2):
        self.folder = pathlib.Path(folder)
        self.keep = keep

    def save(self, step, *, details=None, **objects):
        """Write one checkpoint; atomic, and flushed before it gets its name.

        Args:
          step: int, updates done so far.
          details: dict for the manifest, e.g. the data's fingerprint.
          **objects: trackable objects, by name.

        Returns:
          Checkpoint.

        Raises:
          WorkdirError: if the disk is full or the folder cannot be written.
        """
        final = self.folder / f"step-{step:08d}"
        temporary = self.folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            temporary.mkdir(parents=True)
            tf.train.Checkpoint(**objects).write(str(temporary / _PREFIX))
            manifest = {"step": step, "files": _describe_files(temporary),
                        **(details or {})}
            write_flushed(temporary / MANIFEST, json.dumps(manifest, indent=1))
            if final.exists():  # The same step again: out of the way, not yet gone.
                os.replace(final, self.folder / f"{_TEMPORARY}{uuid.uuid4().hex}")
            os.replace(temporary, final)
            _flush_folder(self.folder)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise WorkdirError(
                f"Cannot save the checkpoint of step {step} under {self.folder}: "
                f"{_first_line(error)} Free some space or use another --workdir; "
                "earlier checkpoints are untouched.") from error
        self._forget_old()
        return Checkpoint(final, manifest)

    def latest(self):
        """The newest checkpoint that is whole, or None.

        Damaged ones are named in the log and passed over.
        """
        for path in reversed(self._folders()):
            try:
                return open_checkpoint(path)
            except WorkdirError as error:
                LOG.warning("%s Using the one before.", error)
        return None

    def _folders(self):
        return sorted(self.folder.glob("step-*"))

    def _forget_old(self):
        for path in self._folders()[: -self.keep]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(f"{_TEMPORARY}*"):  # Left by a killed run.
            shutil.rmtree(path, ignore_errors=True)


class SaveCheckpoints(keras.callbacks.Callback):
    """Save every few epochs and at the end.

    Args:
      store: CheckpointStore.
      every_epochs: int.
      start_step, total_steps: int.
    """

    _supports_tf_logs = True

    def __init__(self, store, *, every_epochs, start_step, total_steps):
        super().__init__()
        self._store, self._every = store, every_epochs
        self._step, self._total = start_step, total_steps

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self._every == 0 or self._step == self._total:
            self._check_finite()
            self._store.save(self._step, details={"saved_at": time.time()},
                             model=self.model, optimizer=self.model.optimizer)

    def _check_finite(self):
        # An update may overflow although its loss and its gradient did not.
        for weight in self.model.trainable_weights:
            if not bool(tf.reduce_all(tf.math.is_finite(weight))):
                raise NonFiniteError(
                    f"A weight ({weight.name}) became non-finite by step {self._step}; "
                    "nothing was saved. Try a lower --optimizer.base_learning_rate or "
                    "--precision=float32.")


def open_checkpoint(path):
    """One checkpoint, after a look at all of its bytes.

    Args:
      path: path of its folder.

    Returns:
      Checkpoint.

    Raises:
      WorkdirError: it is damaged; the text says where.
    """
    path = pathlib.Path(path)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        problem = _first_damage(path, manifest)
        int(manifest["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = _first_line(error).rstrip(".")
    if problem is not None:
        raise WorkdirError(f"Checkpoint {path} is damaged ({problem}).")
    return Checkpoint(path, manifest)


def _describe_files(folder):
    """Size and sha256 of each file, flushed to disk on the way."""
    described = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        described[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return described


def _first_damage(folder, manifest):
    """What is wrong with a checkpoint's files, or None."""
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.exists():
            return f"{name} is missing"
        if path.stat().st_size != expected["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, not {expected['bytes']}"
        if sha256_of(path) != expected["sha256"]:
            return f"{name} differs from its checksum"
    return None


def _flush_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error):
    line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    return line if line.endswith(".") else f"{line}."
