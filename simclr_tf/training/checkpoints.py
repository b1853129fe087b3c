"""Checkpoints, written atomically and verified by checksum.

A checkpoint is a folder `step-00000230/` with TensorFlow's files and a
`manifest.json` (step, sizes, sha256, and what the caller adds). It is written under
a temporary name, the manifest last, flushed to disk, and renamed: a kill or a full
disk at any moment leaves the checkpoints before it untouched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shutil
from typing import Any

import tensorflow as tf

from simclr_tf.array_types import StrPath
from simclr_tf.errors import WorkdirError
from simclr_tf.files import (
    flush,
    plain_path,
    plain_reason,
    sha256_of,
    temporary_name,
    whole_folder,
)
from simclr_tf.limits import read_json

LOG = logging.getLogger("simclr_tf")
MANIFEST = "manifest.json"
_PREFIX = "ckpt"
# Entries of every run's manifest, which others than this file read.
_KINDS = {
    "config_hash": str,
    "config": dict,
    "versions": dict,
    "data": dict,
    "replicas": int,
    "metrics": dict,
}
_CHECKSUM, _KIND = "checksum", "sha256:"  # Of the rest of the manifest.
_UNFINISHED = (".step-*", ".writing-*")  # The latter of version 0.1.0.


class DeletedCheckpointError(WorkdirError):
    """A checkpoint that its run has deleted while it was being read."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(
            f"Checkpoint {path} was deleted while it was being read: its run goes on, "
            "and keeps its newest ones only. Choose a newer one, or let the run keep "
            "more with --checkpoint.keep."
        )


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: pathlib.Path
    manifest: dict

    @property
    def step(self) -> int:
        return self.manifest["step"]

    @property
    def prefix(self) -> str:
        """The beginning of the paths of its files, as TensorFlow names a checkpoint."""
        return str(self.path / _PREFIX)

    def restore(self, **objects: Any) -> None:
        """Load the values into trackable objects, by the names they were saved under.

        Raises:
          DeletedCheckpointError: its files are gone.
          WorkdirError: if an object holds variables that the checkpoint has not.
        """
        reader = tf.train.Checkpoint(**objects)
        try:
            with plain_path(self.path) as folder:
                status = reader.read(str(folder / _PREFIX))
                status.assert_existing_objects_matched()
                status.expect_partial()
        except (AssertionError, OSError, ValueError, tf.errors.OpError) as error:
            if not self.path.is_dir():
                raise DeletedCheckpointError(self.path) from error
            raise WorkdirError(
                f"Checkpoint {self.path} does not fit the model: {plain_reason(error)}."
            ) from error


class CheckpointStore:
    """The checkpoints of one run, newest last.

    Args:
      folder: path; made when the first checkpoint is saved.
      keep: int >= 1, newest checkpoints to keep.
      keep_every_steps: int or None; those at its multiples are kept for good.
    """

    def __init__(
        self, folder: StrPath, keep: int = 2, keep_every_steps: int | None = None
    ) -> None:
        self.folder = pathlib.Path(folder)
        self.keep = keep
        self.keep_every_steps = keep_every_steps

    def save(
        self, step: int, *, details: dict[str, Any] | None = None, **objects: Any
    ) -> Checkpoint:
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
        final = self.path_of(step)
        try:
            self.folder.mkdir(exist_ok=True)  # But not its parent, if that is gone.
            # One of this step is damaged, or the run would have continued from it.
            with whole_folder(final) as folder:
                tf.train.Checkpoint(**objects).write(str(folder / _PREFIX))
                manifest = {
                    "step": step,
                    "files": _describe_files(folder),
                    **(details or {}),
                }
                signed = {**manifest, _CHECKSUM: _checksum_of(manifest)}
                text = json.dumps(signed, indent=1)
                (folder / MANIFEST).write_text(text, encoding="utf-8")
            flush(self.folder.parent)
        except (OSError, tf.errors.OpError) as error:
            if not self.folder.parent.is_dir():
                raise WorkdirError(
                    f"Cannot save the checkpoint of step {step}: {self.folder.parent} "
                    "is gone. Was it deleted, renamed or unmounted while the run was "
                    "going on?"
                ) from error
            raise WorkdirError(
                f"Cannot save the checkpoint of step {step} under {self.folder}: "
                f"{plain_reason(error)}. Free some space or use another --workdir; "
                "earlier checkpoints are untouched."
            ) from error
        self._forget(step)
        return Checkpoint(final, manifest)

    def latest(self) -> Checkpoint | None:
        """Find the newest checkpoint that is whole; None without one.

        Damaged ones are named in the log and passed over; so is, without a word, one
        that the run deletes meanwhile.
        """
        tried: set[pathlib.Path] = set()
        # The folder is listed anew each time: a run may save while this reads.
        while untried := [path for path in self.paths() if path not in tried]:
            path = untried[-1]
            tried.add(path)
            manifest, problem = _read_manifest(path)
            if problem is None:
                return Checkpoint(path, manifest)
            if path.is_dir():
                LOG.warning(
                    "Checkpoint %s is damaged (%s); using the one before.",
                    path,
                    problem,
                )
        return None

    def path_of(self, step: int) -> pathlib.Path:
        """Return the folder of the checkpoint of a step."""
        return self.folder / _name_of(step)

    def paths(self) -> list[pathlib.Path]:
        """List the folders of all checkpoints, whole or not, oldest first."""
        return sorted(
            path for path in self.folder.glob("step-*") if path.name[5:].isdecimal()
        )

    def _forget(self, newest_step):
        """Delete what is not to be kept, once `newest_step` is safe."""
        steps = {path: int(path.name[5:]) for path in self.paths()}
        past = [path for path in steps if steps[path] <= newest_step]
        kept = set(past[-self.keep :])
        if self.keep_every_steps:
            kept.update(p for p in past if steps[p] % self.keep_every_steps == 0)
        for path in steps:
            # A step to come: it was damaged, or the run would have begun there.
            if path not in kept:
                self._set_aside(path)
        self.remove_unfinished()

    def remove_unfinished(self) -> None:
        """Remove what killed processes of the run began to write, or to delete."""
        for pattern in _UNFINISHED:
            for path in self.folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def _set_aside(self, path):
        """Take a checkpoint's name away in one go: none is ever half deleted."""
        with contextlib.suppress(OSError):
            os.replace(path, temporary_name(path))


def _name_of(step):
    return f"step-{step:08d}"


def open_checkpoint(path):
    """Open one checkpoint after reading all of its bytes.

    Args:
      path: path of its folder.

    Returns:
      Checkpoint.

    Raises:
      DeletedCheckpointError: it was deleted meanwhile.
      WorkdirError: it is damaged; the message names the file.
    """
    path = pathlib.Path(path)
    manifest, problem = _read_manifest(path)
    if problem is not None:
        if not path.is_dir():
            raise DeletedCheckpointError(path)
        raise WorkdirError(f"Checkpoint {path} is damaged ({problem}).")
    return Checkpoint(path, manifest)


def _describe_files(folder):
    """Return the size and SHA-256 of each file."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
    }


def _read_manifest(folder):
    """Read the manifest: (manifest, what is wrong with the checkpoint or None)."""
    try:
        manifest = read_json(folder / MANIFEST)
        if not _is_as_written(manifest):
            return None, f"{MANIFEST} differs from its checksum"
        if folder.name != _name_of(manifest["step"]):
            return manifest, f"its manifest is of step {manifest['step']}"
        for name, kind in _KINDS.items():
            if not isinstance(manifest.get(name, kind()), kind):
                return None, f"`{name}` in {MANIFEST} is {manifest[name]!r:.40}"
        return manifest, _first_damage(folder, manifest)
    except FileNotFoundError:
        return None, f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{MANIFEST} cannot be read: {plain_reason(error)}"


def _checksum_of(manifest):
    """Compute the checksum of a manifest's values, as they are read back."""
    text = json.dumps(manifest, sort_keys=True)
    return _KIND + hashlib.sha256(text.encode()).hexdigest()


def _is_as_written(manifest):
    """Check a manifest against its checksum, which it takes out.

    One of version 0.1.0 has none; one whose checksum lost its name is damaged.
    """
    expected = manifest.pop(_CHECKSUM, None)
    if expected is None:
        return not any(str(value).startswith(_KIND) for value in manifest.values())
    return expected == _checksum_of(manifest)


def _first_damage(folder, manifest):
    """Describe what is wrong with a checkpoint's files; None if nothing is."""
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.exists():
            return f"{name} is missing"
        if path.stat().st_size != expected["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, not {expected['bytes']}"
        if sha256_of(path) != expected["sha256"]:
            return f"{name} differs from its checksum"
    return None
