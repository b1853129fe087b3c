"""A trial of HDF5 files of anyone, in a process of their own.

libhdf5 reads some damaged files for ever, and ends the process at others. Whoever reads
a file in a process that ends first, within a time, has seen that it can be read.
"""

import os
import subprocess
import sys

from simclr_tf.errors import DataError

SECONDS, BYTES_A_SECOND = 20, 10 * 2**20
_MEMORY_BYTES = 4 * 2**30
# Errors of Python are no matter here: whoever reads the file afterwards tells them.
_READ_ALL = """
import sys, h5py
try:
    import resource
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
except (ImportError, ValueError):
    pass
def read(name, item):
    list(item.attrs.items())
    if isinstance(item, h5py.Dataset) and not item.external and not item.is_virtual:
        item[()]
with h5py.File(sys.argv[1], "r") as file:
    read("", file)
    file.visititems(read)
"""


def require_end(path):
    """Raise DataError where reading an HDF5 file does not end, or ends its process.

    Args:
      path: path of the file.

    Raises:
      DataError.
    """
    seconds = SECONDS + os.path.getsize(path) / BYTES_A_SECOND
    # Isolated: a module in the current folder is not imported.
    command = [sys.executable, "-I", "-c", _READ_ALL, str(path), str(_MEMORY_BYTES)]
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
