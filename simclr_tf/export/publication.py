"""Publishing a folder: under its final name when it is whole, or not at all."""

import contextlib
import fcntl
import gzip
import os
import re
import shutil
import tarfile
import uuid

import tensorflow as tf

from simclr_tf.encoder_zoo import read_export_record
from simclr_tf.errors import WorkdirError
from simclr_tf.training.durable_files import sha256_of

_OLDER = "-old"


def check_free(output_dir, overwrite):
    """Raise unless an export may be written to a folder.

    Args:
      output_dir: pathlib.Path.
      overwrite: bool, an earlier export may be replaced.

    Raises:
      WorkdirError: it is a file, or holds something that stays.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise WorkdirError(f"An export is a folder, but {output_dir} is a file.")
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


@contextlib.contextmanager
def folder_in_the_making(output_dir, overwrite):
    """A sibling folder that gets its final name at the end, or vanishes.

    What processes left that were killed in here is put in order first.

    Args:
      output_dir: pathlib.Path, the final name.
      overwrite: bool, an earlier export may be replaced.

    Yields:
      pathlib.Path of the sibling.

    Raises:
      WorkdirError: it cannot be written; nothing is left behind.
    """
    temporary = output_dir.with_name(f".{output_dir.name}-{uuid.uuid4().hex}")
    try:
        remove_leftovers(output_dir)
        temporary.mkdir(parents=True)
        with _locked(temporary):
            yield temporary
            _publish(temporary, output_dir, overwrite)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise WorkdirError(
            f"Cannot write {output_dir}: {reason}. Nothing was left there."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary, output_dir, overwrite):
    """Rename; an older export goes only after the new one is in its place."""
    check_free(output_dir, overwrite)
    if not output_dir.exists():
        os.rename(temporary, output_dir)
        return
    older = output_dir.with_name(f".{output_dir.name}-{uuid.uuid4().hex}{_OLDER}")
    with _locked(output_dir):
        os.rename(output_dir, older)
        try:
            os.rename(temporary, output_dir)
        except OSError:
            os.rename(older, output_dir)
            raise
    shutil.rmtree(older, ignore_errors=True)


def remove_leftovers(output_dir):
    """Put in order what killed processes left beside a folder.

    A folder in the making is removed. An older export that was to be replaced, and
    whose successor never came, gets its name back. Those of living processes stay.

    Args:
      output_dir: pathlib.Path, the final name.

    Raises:
      OSError: a folder cannot be read.
    """
    pattern = re.compile(rf"\.{re.escape(output_dir.name)}-[0-9a-f]{{32}}({_OLDER})?")
    if not output_dir.parent.is_dir():
        return
    for path in sorted(output_dir.parent.iterdir()):
        if not path.is_dir() or not pattern.fullmatch(path.name):
            continue
        with _locked(path) as is_ours:
            if is_ours and path.name.endswith(_OLDER) and not output_dir.exists():
                os.rename(path, output_dir)
            elif is_ours:
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder):
    """Hold a folder's lock, which ends with the process, whatever it is called then.

    Yields:
      bool, False if another process holds it, or the file system has no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except OSError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


def write_archive(folder, path):
    """A SavedModel as the archive that TF-Hub loads: its root is the SavedModel.

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
    """SHA-256 of every file in a folder, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
