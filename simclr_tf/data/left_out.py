"""Files that are left out of a data set: counted on the screen, named in a file."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from simclr_tf.array_types import StrPath
from simclr_tf.data.pillow_images import HEIF_SUFFIXES
from simclr_tf.errors import DataError
from simclr_tf.files import whole_file

if TYPE_CHECKING:
    from simclr_tf.data.random_access import Source
    from simclr_tf.data.streams import StreamSource


# In the workdir of a run; other verbs put `VERB_` before it.
LEFT_OUT_FILE = "left_out_files.txt"
NO_IMAGE_NAME = "not named as an image"
_NAMED, _REASONS = 3, 6
_log = logging.getLogger("simclr_tf")


def left_out_line(left_out: dict[str, str], num_examples: int, name: str) -> str:
    """Describe in one line how many files are left out, by reason.

    Args:
      left_out: dict of file to reason.
      num_examples: int, files that are taken.
      name: str, the data set.

    Returns:
      str.

    Example:
      >>> print(left_out_line({"a.jpg": "empty"}, 9, "folder:x"))
      Left out 1 of 10 files of `folder:x`: 1 empty (a.jpg).
    """
    reasons: dict[str, list[str]] = collections.defaultdict(list)
    for file, reason in left_out.items():
        reasons[reason].append(file)
    by_count = sorted(reasons.items(), key=lambda item: -len(item[1]))
    parts = [
        f"{len(files):,} {reason} "
        f"({_endings(files) if reason == NO_IMAGE_NAME else _first(files)})"
        for reason, files in by_count[:_REASONS]
    ]
    if len(by_count) > _REASONS:
        rest = sum(len(files) for _, files in by_count[_REASONS:])
        parts.append(f"{rest:,} for other reasons")
    return (
        f"Left out {left_out_count(left_out, num_examples)} of `{name}`: "
        f"{'; '.join(parts)}.{way_to_read(reasons.get(NO_IMAGE_NAME, []))}"
    )


def left_out_count(left_out: Collection[str], num_examples: int | None = None) -> str:
    """Count what is left out, folders apart.

    Args:
      left_out: names of files, and of folders with a `/` at the end.
      num_examples: int, files that are taken; None: they are not counted.

    Returns:
      str.

    Example:
      >>> left_out_count(["a.jpg", "b.jpg", "old photos/"])
      '2 files and 1 folder'
    """
    folders = sum(name.endswith("/") for name in left_out)
    files, of = len(left_out) - folders, ""
    if num_examples is not None:
        of = f" of {files + num_examples:,}"
    counts = []
    if files:
        counts.append(f"{files:,}{of} file{'s' * (files != 1 or bool(of))}")
    if folders:
        counts.append(f"{folders:,} folder{'s' * (folders != 1)}")
    return " and ".join(counts)


def way_to_read(files: Iterable[str]) -> str:
    """Advise on files that another package reads; " " first, or "" for none.

    Args:
      files: names of files that are not named as images.

    Returns:
      str.
    """
    found = sorted({_ending(file) for file in files} & set(HEIF_SUFFIXES))
    return f" To read {' and '.join(found)}: pip install pillow-heif." if found else ""


def report_left_out(left_out: dict[str, str], num_examples: int, name: str) -> None:
    """Log `left_out_line` as a warning, if any file is left out."""
    if left_out:
        _log.warning("%s", left_out_line(left_out, num_examples, name))


def write_left_out(
    path: StrPath, *sources: Source | StreamSource | DataError
) -> pathlib.Path | None:
    """Write the names of all files that were left out, and why.

    Args:
      path: path of the file; a file of an earlier start is replaced, or removed if
        nothing is left out.
      *sources: data sets; or the error of one that was refused.

    Returns:
      the path; None if nothing is left out.

    Raises:
      OSError: it cannot be written.
    """
    path = pathlib.Path(path)
    lists = {id(source.left_out): source for source in sources if source.left_out}
    if not lists:
        path.unlink(missing_ok=True)
        return None
    with (
        whole_file(path, make_folder=True) as temporary,
        open(temporary, "w", encoding="utf-8") as stream,
    ):
        for source in lists.values():
            left_out = source.left_out
            are = "is" if len(left_out) == 1 else "are"
            count = left_out_count(left_out)
            stream.write(f"# {source.name}: {count} {are} left out\n")
            stream.writelines(f"{file}\t{why}\n" for file, why in left_out.items())
    return path


@contextlib.contextmanager
def left_out_listed(
    path: StrPath | None, *sources: Source | StreamSource
) -> Iterator[None]:
    """Write the list of left-out files at the end of a `with`, whatever its end is.

    Args:
      path: path of the file, see `write_left_out`; None: nothing is written.
      *sources: data sets that are used inside, and may find more unreadable images.

    Raises:
      DataError: of the code inside, with the path of the list added.
    """
    try:
        yield
    except DataError as error:
        found = [source for source in (*sources, error) if source.left_out]
        written = path is not None and found and _written(path, *found)
        if not written:
            raise
        raise error.restated(f"{error} All are named in {path}.") from error
    if path is not None and sources:
        _written(path, *sources)


def _written(path, *sources):
    """Write the list; a full or read-only disk has errors of its own elsewhere."""
    try:
        return write_left_out(path, *sources)
    except OSError:
        return None


def _ending(file):
    return os.path.splitext(file)[1].lower() or os.path.basename(file)


def _endings(files):
    found = collections.Counter(map(_ending, files)).most_common()
    return _first([f"{count:,} {ending}" for ending, count in found], _REASONS)


def _first(names, number=_NAMED):
    return ", ".join([*names[:number], *["..."] * (len(names) > number)])
