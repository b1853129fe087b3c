"""Archives from elsewhere, unpacked so that nothing lands outside their folder."""

import contextlib
import pathlib
import shutil
import tarfile
import tempfile
import zlib

from simclr_tf.errors import DataError

SUFFIXES = (".tar.gz", ".tgz", ".tar")


def is_archive(path):
    """Whether a file's name is that of an archive.

    Example:
      >>> is_archive(pathlib.Path("encoder.tar.gz"))
      True
    """
    return path.name.lower().endswith(SUFFIXES)


@contextlib.contextmanager
def unpacked(path):
    """The content of a tar archive in a temporary folder, for a `with` block.

    All members are looked at before the first one is written: an absolute path, a
    `..`, a link or a device refuses the whole archive.

    Args:
      path: pathlib.Path of a `.tar.gz`, `.tgz` or `.tar` file.

    Yields:
      pathlib.Path of the folder.

    Raises:
      DataError: not a whole archive, or a member that may not be unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="simclr_tf-") as folder:
        folder = pathlib.Path(folder)
        try:
            with tarfile.open(path) as archive:
                members = archive.getmembers()
                for member in members:
                    _check_member(member, path)
                for member in members:
                    _write_member(archive, member, folder)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"Cannot unpack {path}: {str(error).splitlines()[0]}. The archive is "
                "damaged, or not a tar archive."
            ) from error
        yield folder


def _check_member(member, path):
    name = pathlib.PurePosixPath(member.name)
    outside = name.is_absolute() or ".." in name.parts or "\\" in member.name
    if outside or not (member.isfile() or member.isdir()):
        what = "a path outside the archive" if outside else "a link or a device"
        raise DataError(
            f"{path} is refused and nothing was unpacked: its member "
            f"{member.name!r} is {what}, which no export holds."
        )


def _write_member(archive, member, folder):
    """By hand: neither owners nor permissions of the archive count."""
    target = folder / member.name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.extractfile(member) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
