"""The images of a run by name, kept in its folder.

The fingerprint in config.json shows that some have changed since; the list shows which.
"""

import gzip
import json

from simclr_tf.files import printable, whole_file
from simclr_tf.limits import parse_json

IMAGE_LIST_FILE = "images.jsonl.gz"


def write_image_list(folder, files):
    """Keep the list of the images, if they are files and there is no list yet.

    Args:
      folder: pathlib.Path of the run.
      files: `Source.files` of the images.

    Raises:
      WorkdirError: it cannot be written; nothing is left behind.
    """
    path = folder / IMAGE_LIST_FILE
    listed = None if path.exists() else files()
    if listed is not None:
        with (
            whole_file(path) as temporary,
            gzip.open(temporary, "wt", encoding="ascii") as stream,
        ):
            stream.writelines(json.dumps(file) + "\n" for file in listed)


def read_image_list(folder):
    """Read what `write_image_list` wrote; None where it is missing or damaged.

    Args:
      folder: pathlib.Path of the run.

    Returns:
      list of (name, bytes, checksum), or None.
    """
    try:
        with gzip.open(folder / IMAGE_LIST_FILE, "rt", encoding="ascii") as stream:
            return [
                (str(name), int(size), int(checksum))
                for name, size, checksum in map(parse_json, stream)
            ]
    except (OSError, EOFError, ValueError, TypeError):
        return None  # Only the wording of an error depends on it.


def changes_between(before, now):
    """Describe in words what happened to the images.

    Args:
      before, now: lists of `Source.files`.

    Returns:
      str, e.g. "1 new (c.png), 2 gone or unreadable (a.png, b.png)".

    Example:
      >>> changes_between([("a.png", 9, 1), ("b.png", 9, 2)],
      ...                 [("b.png", 9, 3), ("c.png", 9, 4)])
      '1 new (c.png), 1 gone or unreadable (a.png), 1 with other bytes (b.png)'
    """
    before, now = ({name: rest for name, *rest in files} for files in (before, now))
    changes = {
        "new": [name for name in now if name not in before],
        "gone or unreadable": [name for name in before if name not in now],
        "with other bytes": [
            name for name in now if name in before and now[name] != before[name]
        ],
    }
    parts = [
        f"{len(names)} {what} ({_first(names)})"
        for what, names in changes.items()
        if names
    ]
    return ", ".join(parts) or "the files are the same, their labels or order are not"


def _first(names, number=3):
    shown = map(printable, names[:number])
    return ", ".join([*shown, *["..."] * (len(names) > number)])
