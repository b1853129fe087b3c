"""Reading of safetensors files: the length of a JSON header, the header, the arrays.

The header claims a type, a shape and a range of bytes for each name. The claims are
checked before an array is read: the ranges are of the sizes of their arrays, and cover
the rest of the file without a gap or an overlap.
"""

import json
import math
import pathlib

import numpy as np
import tensorflow as tf

from simclr_tf.errors import DataError
from simclr_tf.files import plain_reason
from simclr_tf.limits import LARGEST_JSON, LONGEST_TEXT, parse_json

_DTYPES = {
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(tf.bfloat16.as_numpy_dtype),
    **{
        f"{letter}{8 * size}": np.dtype(f"<{letter.lower()}{size}")
        for letter, sizes in {
            "F": (2, 4, 8),
            "I": (1, 2, 4, 8),
            "U": (1, 2, 4, 8),
        }.items()
        for size in sizes
    },
}
_LENGTH_BYTES = 8
_MOST_AXES = 32


class SafetensorsFile:
    """The arrays of a file by name, read one by one when asked.

    Args:
      path: path of the file, of anyone.

    Attributes:
      path: pathlib.Path.
      shapes: dict of name to tuple of int, in the order of the bytes.
      dtypes: dict of name to NumPy dtype.

    Raises:
      DataError: the file cannot be read, or its header makes a wrong claim.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.shapes, self.dtypes, self._starts = {}, {}, {}
        try:
            self._read_header()
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def read(self, name):
        """Read an array.

        Args:
          name: str, one of `shapes`.

        Returns:
          NumPy array.

        Raises:
          DataError: the file cannot be read any more.
        """
        dtype, shape = self.dtypes[name], self.shapes[name]
        count = dtype.itemsize * math.prod(shape)
        try:
            content = np.fromfile(
                self.path, np.uint8, count=count, offset=self._starts[name]
            )
            return content.view(dtype).reshape(shape)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _read_header(self):
        if not self.path.is_file():
            raise ValueError("there is no such file")
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            start = _LENGTH_BYTES + length
            if size < _LENGTH_BYTES or length > LARGEST_JSON or start > size:
                raise ValueError("the length of its header is wrong")
            header = parse_json(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is no list of arrays")
        header.pop("__metadata__", None)
        claims = {name: _claim(name, claim) for name, claim in header.items()}
        end = 0
        for name, (dtype, shape, (first, last)) in sorted(
            claims.items(), key=lambda item: item[1][2]
        ):
            if first != end:
                raise ValueError(f"the bytes of {name} overlap others or leave a gap")
            self.dtypes[name], self.shapes[name] = dtype, shape
            self._starts[name], end = start + first, last
        if start + end != size:
            raise ValueError("its arrays do not end where the file ends")

    def _unreadable(self, error):
        return DataError(
            f"Cannot read {self.path}: {plain_reason(error)}. The file is damaged "
            "or not safetensors."
        )


def _claim(name, claim):
    """Return (dtype, shape, (first byte, last byte + 1)) of an entry of the header."""
    shown = json.dumps(name[:LONGEST_TEXT])
    if len(name) > LONGEST_TEXT or not isinstance(claim, dict):
        raise ValueError(f"its header has a wrong entry: {shown}")
    kind, shape, span = (claim.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise ValueError(f"{shown} has an unknown type: {json.dumps(kind)}")
    if not (_are_sizes(shape) and len(shape) <= _MOST_AXES):
        raise ValueError(f"{shown} has a wrong shape")
    if not (_are_sizes(span) and len(span) == 2):
        raise ValueError(f"{shown} has a wrong range of bytes")
    if span[1] - span[0] != math.prod(shape) * _DTYPES[kind].itemsize:
        raise ValueError(f"{shown} has another number of bytes than its shape needs")
    return _DTYPES[kind], tuple(shape), tuple(span)


def _are_sizes(values):
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 0
        for value in values
    )
