"""A trial of HDF5 files of anyone, in a process of their own.

libhdf5 reads some damaged files for ever, and ends the process at others. Whoever reads
a file in a process that ends first, within a time, has seen that it can be read.
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
    """Raise DataError where reading an HDF5 file does not end, or ends its process.

    Args:
      path: path of the file.

    Raises:
      DataError.
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
