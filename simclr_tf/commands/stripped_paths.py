"""Removal of this machine's folders from records that are published."""

import pathlib
import re
import shlex

from simclr_tf.config.schema import JOINED
from simclr_tf.data import SOURCES
from simclr_tf.data.sources.joined import parts_of

# A flag and the kind of data may precede a path; `//` follows the scheme of a URL.
_ABSOLUTE = re.compile(r"^(--?[\w.]+=)?([a-z]\w*:)?((?:~[^/]*)?/(?!/).*)$", re.DOTALL)


def strip_folders(value, key=None):
    """Shorten the absolute paths of a record to their last names.

    Args:
      value: dict, list, tuple or str, as in a JSON file; anything else is returned
        unchanged. A path is a string that is a path as a whole, perhaps after a flag
        or the kind of data ("folder:/home/me/photos"); under the key "command", each
        word is looked at.
      key: str or None, the key of the value.

    Returns:
      The same kind of value.

    Example:
      >>> strip_folders({"data": "folder:/home/me/photos",
      ...                  "command": "simclr-tf pretrain --workdir=/tmp/x/run1"})
      {'data': 'folder:photos', 'command': 'simclr-tf pretrain --workdir=run1'}
    """
    if isinstance(value, dict):
        return {name: strip_folders(item, name) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(strip_folders(item, key) for item in value)
    if not isinstance(value, str):
        return value
    return _of_command(value) if key == "command" else _last_name(value)


def _of_command(command):
    try:
        words = shlex.split(command)
    except ValueError:  # No shell command: an unpaired quote.
        words = command.split()
    shorter = [_last_name(word) for word in words]
    # Python code must not be quoted for a shell.
    return command if shorter == words else shlex.join(shorter)


def _last_name(text):
    parts = parts_of(text, SOURCES)
    return JOINED.join(map(_last_name_of_one, parts))


def _last_name_of_one(text):
    match = _ABSOLUTE.match(text)
    if match is None:
        return text
    flag, kind, path = match.groups(default="")
    return f"{flag}{kind}{pathlib.PurePosixPath(path).name or '.'}"
