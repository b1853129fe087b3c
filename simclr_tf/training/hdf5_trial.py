"""A trial reading of HDF5 files from elsewhere, in a separate process.

On some damaged files libhdf5 never returns, and on others it crashes the process. So
each file is first read in a process with a time limit; only then is it opened here.
"""

import os
import pathlib
import subprocess
import sys

from simclr_tf.errors import DataError

SECONDS, BYTES_A_SECOND = 20, 10 * 2**20
_MEMORY_BYTES = 4 * 2**30
_READ_ALL = pathlib.Path(__file__).resolve().parent / "programs" / "read_hdf5.py"


def require_end(path):
    """Refuse an HDF5 file that libhdf5 reads for ever, or crashes at.

    Args:
      path: path of the file.

    Raises:
      DataError: reading takes more than 20 s and 1 s for each 10 MiB, or crashes.
    """
    seconds = SECONDS + os.path.getsize(path) / BYTES_A_SECOND
    # Isolated: a module in the current folder is not imported.
    command = [sys.executable, "-I", _READ_ALL, path, str(_MEMORY_BYTES)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"its HDF5 part is damaged: reading it takes more than {seconds:.0f} s"
        ) from error
    if done.returncode < 0:
        raise DataError(
            "its HDF5 part is damaged: reading it ends the process with signal "
            f"{-done.returncode}"
        )
