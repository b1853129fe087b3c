"""Atomic writing of an export folder; an existing folder is never overwritten."""

import contextlib
import gzip
import pathlib
import tarfile

import tensorflow as tf

from simclr_tf.encoder_zoo import RECORD, read_export_record
from simclr_tf.errors import WorkdirError
from simclr_tf.files import (
    may_be_a_pattern,
    plain_reason,
    require_writable,
    sha256_of,
    whole_folder,
)
from simclr_tf.locks import holds_files, lock_of, sole_writer
from simclr_tf.training.exports import SAVED_MODEL, numbered_versions


def check_free(output_dir, overwrite, version=None):
    """Raise unless an export may be written to a folder.

    Args:
      output_dir: pathlib.Path.
      overwrite: bool, whether an earlier export may be replaced.
      version: int, the version of the new SavedModel; None without numbers.

    Raises:
      WorkdirError: the path is a file, a folder that must not be replaced, one with
        other versions of the SavedModel, cannot be written, or could not be read by
        TensorFlow.
    """
    _require_no_pattern(output_dir)
    if output_dir.exists() and not output_dir.is_dir():
        raise WorkdirError(f"An export is a folder, but {output_dir} is a file.")
    require_writable(output_dir)
    if not output_dir.is_dir() or not holds_files(output_dir):
        return
    _require_no_other_version(output_dir, version)
    if not overwrite:
        raise WorkdirError(
            f"{output_dir} exists and is not empty. Choose another folder for the "
            "export, or replace an earlier export with --overwrite."
        )
    if read_export_record(output_dir) is None:
        raise WorkdirError(
            f"{output_dir} is not an export, or its {RECORD} is damaged, and only "
            "whole exports are overwritten. Choose another folder."
        )


def _require_no_other_version(output_dir, version):
    """Refuse to replace versions that a server may be using."""
    place = output_dir / SAVED_MODEL
    others = sorted({*numbered_versions(place)} - {version})
    if others:
        move = f", and move its {SAVED_MODEL}/{version} into {place}"
        raise WorkdirError(
            f"{place} holds version {', '.join(map(str, others))}, which a server may "
            "be using, and an export replaces its folder as a whole. Export to another "
            f"--output{'' if version is None else move}; or delete the other versions "
            "first."
        )


def _require_no_pattern(output_dir):
    if may_be_a_pattern(output_dir):
        raise WorkdirError(
            "TensorFlow takes a path with one of *?[]\\ for a pattern, and would not "
            f"find the export there. Choose another folder for it. Received: "
            f"{str(output_dir)!r}."
        )


def check_new(output):
    """Return the absolute path of a new folder, without making the folder.

    Args:
      output: path.

    Raises:
      WorkdirError: the folder exists and is not empty, cannot be written, or could
        not be read by TensorFlow.
    """
    output = pathlib.Path(output).expanduser().resolve()
    _require_no_pattern(output)
    if output.exists() and (not output.is_dir() or holds_files(output)):
        raise WorkdirError(
            f"--output={output} exists already and is not an empty folder, and it is "
            "never overwritten. Choose another name."
        )
    return require_writable(output)


@contextlib.contextmanager
def new_folder(output):
    """Run `publishing` for a folder that must be new.

    Args:
      output: path; must not exist yet, or be an empty folder.

    Yields:
      pathlib.Path to write to.

    Raises:
      WorkdirError: the folder exists and is not empty, or cannot be written.
    """
    with publishing(check_new(output), overwrite=False) as folder:
        yield folder


@contextlib.contextmanager
def publishing(output_dir, overwrite, version=None):
    """Fill an export under another name; rename it at the end, or remove it on errors.

    Args:
      output_dir: pathlib.Path, the final name.
      overwrite: bool, whether an earlier export may be replaced.
      version: int, the version of the new SavedModel; None without numbers.

    Yields:
      pathlib.Path to write to.

    Raises:
      InUseError: another process fills the folder.
      WorkdirError: the folder cannot be written; nothing is left behind.
    """
    try:
        with (
            sole_writer(lock_of(output_dir), str(output_dir)),
            whole_folder(output_dir) as folder,
        ):
            yield folder
            # Another process may have written it in the meantime.
            check_free(output_dir, overwrite, version)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or plain_reason(error)
        raise WorkdirError(
            f"Cannot write {output_dir}: {reason}. Nothing was left there."
        ) from error


def write_archive(folder, path):
    """Write a SavedModel as the archive that TF-Hub loads: its root is the SavedModel.

    Equal files give equal archives: times and owners are not kept.

    Args:
      folder: pathlib.Path with saved_model.pb.
      path: pathlib.Path of the `.tar.gz` to write.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("wb"))
        zipped = stack.enter_context(gzip.GzipFile("", "wb", mtime=0, fileobj=file))
        with tarfile.open(fileobj=zipped, mode="w") as archive:
            for source in sorted(folder.rglob("*")):
                member = archive.gettarinfo(source, source.relative_to(folder))
                member.mtime = member.uid = member.gid = 0
                member.uname = member.gname = ""
                if member.isfile():
                    with source.open("rb") as content:
                        archive.addfile(member, content)
                else:
                    archive.addfile(member)


def checksums(folder):
    """Compute the SHA-256 of every file in a folder, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
