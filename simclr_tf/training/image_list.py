"""The images of a run by name, so that a later one can say which have changed.

The fingerprint in config.json tells that something differs; this list tells what.
"""

import gzip
import json

from simclr_tf.files import whole_file

IMAGE_LIST_FILE = "images.jsonl.gz"
_NAMED = 3


def write_image_list(folder, files):
    """Keep the list of the images, if they are files.

    Args:
      folder: pathlib.Path of the run.
      files: `Source.files` of the images, called if there is no list yet.

    Raises:
      WorkdirError: it cannot be written; nothing is left behind.
    """
    path = folder / IMAGE_LIST_FILE
    listed = None if path.exists() else files()
    if listed is None:
        return
    with whole_file(path) as temporary:
        with gzip.open(temporary, "wt", encoding="ascii") as stream:
            for file in listed:
                stream.write(json.dumps(file) + "\n")


def read_image_list(folder):
    """What `write_image_list` left, or None where that is nothing to rely on.

    Args:
      folder: pathlib.Path of the run.

    Returns:
      list of (name, bytes, checksum), or None.
    """
    try:
        with gzip.open(folder / IMAGE_LIST_FILE, "rt", encoding="ascii") as stream:
            return [
                (str(name), int(size), int(checksum))
                for name, size, checksum in map(json.loads, stream)
            ]
    except (OSError, EOFError, ValueError, TypeError):
        return None  # Only the wording of an error depends on it.


def changes_between(before, now):
    """What happened to the images, in words.

    Args:
      before, now: lists of `Source.files`.

    Returns:
      str, e.g. "1 is new (c.png), 2 are gone or unreadable (a.png, b.png)".

    Example:
      >>> changes_between([("a.png", 9, 1), ("b.png", 9, 2)],
      ...                 [("b.png", 9, 3), ("c.png", 9, 4)])
      '1 is new (c.png), 1 is gone or unreadable (a.png), 1 has other bytes (b.png)'
    """
    before, now = ({name: rest for name, *rest in files} for files in (before, now))
    found = (
        ([name for name in now if name not in before], "is new", "are new"),
        (
            [name for name in before if name not in now],
            "is gone or unreadable",
            "are gone or unreadable",
        ),
        (
            [name for name in now if name in before and now[name] != before[name]],
            "has other bytes",
            "have other bytes",
        ),
    )
    parts = []
    for names, one, many in found:
        if names:
            more = ", ..." if len(names) > _NAMED else ""
            parts.append(
                f"{len(names)} {one if len(names) == 1 else many} "
                f"({', '.join(names[:_NAMED])}{more})"
            )
    return ", ".join(parts) or "the files are the same, their labels or order are not"
