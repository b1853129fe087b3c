"""A folder that is there as a whole, or not at all, and never in another's place."""

import contextlib
import pathlib

from simclr_tf.errors import WorkdirError
from simclr_tf.export.publication import folder_in_the_making


def check_free(output):
    """The absolute path of a folder to make.

    Raises:
      WorkdirError: there is something already.
    """
    output = pathlib.Path(output).expanduser().resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise WorkdirError(
            f"--output={output} exists already and is not an empty folder. Choose "
            "another name; nothing is ever overwritten.")
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
