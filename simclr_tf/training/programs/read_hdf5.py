"""Read everything in an HDF5 file, to see whether reading it ends.

Arguments: the file; the most memory that the process may take, in bytes. Errors of
Python are ignored here: the reader that opens the file afterwards reports them.
"""

import sys

import h5py


def main(path, memory_bytes):
    """Read all attributes and all arrays that are in the file itself."""
    _limit_memory(int(memory_bytes))
    with h5py.File(path, "r") as file:
        _read("", file)
        file.visititems(_read)


def _limit_memory(limit):
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, ValueError):
        pass


def _read(name, item):
    list(item.attrs.items())
    if isinstance(item, h5py.Dataset) and not item.external and not item.is_virtual:
        item[()]


if __name__ == "__main__":
    main(*sys.argv[1:])
