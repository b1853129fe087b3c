"""Atomic writing of an export folder; an existing folder is never overwritten."""

import contextlib
import gzip
import pathlib
import tarfile

import tensorflow as tf

from simclr_tf.encoder_zoo import read_export_record
from simclr_tf.errors import WorkdirError
from simclr_tf.files import plain_reason, require_writable, sha256_of, whole_folder


def check_free(output_dir, overwrite):
    """Raise unless an export may be written to a folder.

    Args:
      output_dir: pathlib.Path.
      overwrite: bool, an earlier export may be replaced.

    Raises:
      WorkdirError: it is a file, holds something that stays, or cannot be written.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise WorkdirError(f"An export is a folder, but {output_dir} is a file.")
    require_writable(output_dir)
    if not output_dir.is_dir() or not any(output_dir.iterdir()):
        return
    if not overwrite:
        raise WorkdirError(
            f"{output_dir} exists and is not empty. Choose another folder for the "
            "export, or replace an earlier export with --overwrite."
        )
    if read_export_record(output_dir) is None:
        raise WorkdirError(
            f"{output_dir} holds something else than an export, which is never "
            "overwritten. Choose another folder for the export."
        )


def check_new(output):
    """Return the absolute path of a folder to make; nothing is made yet.

    Args:
      output: path.

    Raises:
      WorkdirError: there is something already, or nothing may be written there.
    """
    output = pathlib.Path(output).expanduser().resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise WorkdirError(
            f"--output={output} exists already and is not an empty folder. Choose "
            "another name; nothing is ever overwritten."
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
      WorkdirError: there is something already, or it cannot be written.
    """
    with publishing(check_new(output), overwrite=False) as folder:
        yield folder


@contextlib.contextmanager
def publishing(output_dir, overwrite):
    """Fill an export under another name; it gets its own at the end, or vanishes.

    Args:
      output_dir: pathlib.Path, the final name.
      overwrite: bool, an earlier export may be replaced.

    Yields:
      pathlib.Path to write to.

    Raises:
      WorkdirError: it cannot be written; nothing is left behind.
    """
    try:
        with whole_folder(output_dir) as folder:
            yield folder
            check_free(output_dir, overwrite)  # Another process may have been faster.
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or plain_reason(error)
        raise WorkdirError(
            f"Cannot write {output_dir}: {reason}. Nothing was left there."
        ) from error


def write_archive(folder, path):
    """Write a SavedModel as the archive that TF-Hub loads: its root is the SavedModel.

    The same files give the same bytes: neither times nor owners are kept.

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
