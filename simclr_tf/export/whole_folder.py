"""A folder that is there as a whole, or not at all, and never in another's place."""

import contextlib
import os
import pathlib

from simclr_tf.errors import WorkdirError
from simclr_tf.export.publication import folder_in_the_making


def check_free(output):
    """The absolute path of a folder to make; nothing is made yet.

    Raises:
      WorkdirError: there is something already, or nothing may be written there.
    """
    output = pathlib.Path(output).expanduser().resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise WorkdirError(
            f"--output={output} exists already and is not an empty folder. Choose "
            "another name; nothing is ever overwritten."
        )
    above = next(folder for folder in output.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise WorkdirError(
            f"Cannot write --output={output}: {above} is not a folder that may be "
            "written to."
        )
    return output


@contextlib.contextmanager
def whole_folder(output):
    """A folder under another name, renamed to `output` at the end, or removed.

    Args:
      output: path; must not exist yet, or be an empty folder.

    Yields:
      pathlib.Path to write to.

    Raises:
      WorkdirError: there is something already, or it cannot be written.
    """
    with folder_in_the_making(check_free(output), overwrite=False) as folder:
        yield folder
