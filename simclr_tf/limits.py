"""Limits on what files from elsewhere may claim, and the one reader of their JSON.

A file may come from anyone. What it claims is compared with these limits, and with the
bytes that are really there, before memory is taken for it:

- JSON: 16 MiB (`LARGEST_JSON`), 100 levels (`DEEPEST_JSON`), integers of 64 bits and
  finite numbers; a line of figures may hold NaN and infinities.
- Networks in Keras files and in descriptions: 5,000 layers (`MOST_LAYERS`), 20,000
  inputs of calls (`MOST_CALLS`; a nested network counts whenever it is called), texts
  of 1,000 characters (`LONGEST_TEXT`), and no more variables than the file has numbers
  for (`SPARE_VARIABLES` more, for the states of random layers).
- Archives (tar, `.keras`) and HDF5 weights: unpacked at most 20 times their own bytes
  (`MOST_UNPACKED`), or 256 MiB (`ALWAYS_UNPACKED`) where that is more.
- PyTorch's `.pth` files: unpacked as archives; 1,000,000 entries. Safetensors: arrays
  that fill the file behind the JSON, without a gap or an overlap.
- Arrays (`.npy`, `.npz`): the bytes that the file has; compressed ones at most the
  memory of the machine.
- Images: 2^29 bytes of colour, 178,956,970 pixels (`MOST_PIXELS`). TensorFlow decodes
  no larger JPEG; of PNG, GIF, BMP and WebP the header is read when a folder is opened.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

from simclr_tf.array_types import StrPath

LARGEST_JSON, DEEPEST_JSON = 16 * 2**20, 100
MOST_LAYERS, MOST_CALLS = 5_000, 20_000
LONGEST_TEXT, SPARE_VARIABLES = 1_000, 2**20
MOST_UNPACKED, ALWAYS_UNPACKED = 20, 256 * 2**20
MOST_PIXELS = 2**29 // 3
_LONGEST_NUMBER = 20  # Digits of 2^64.


def read_json(path: StrPath, *, finite: bool = True) -> Any:
    """Read a JSON file of anyone.

    Args:
      path: path.
      finite: bool, refuse NaN and infinities.

    Returns:
      What the JSON stands for; it may be something else than a dict.

    Raises:
      OSError: the file cannot be read.
      ValueError: no JSON, or beyond the limits.
    """
    with open(path, "rb") as file:
        return parse_json(file.read(LARGEST_JSON + 1), finite=finite)


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """Parse JSON of anyone.

    Args:
      text: str, or bytes in UTF-8.
      finite: bool, refuse NaN and infinities.

    Returns:
      What the JSON stands for.

    Raises:
      ValueError: no JSON, or beyond the limits.

    Example:
      >>> parse_json('{"steps": 3}')
      {'steps': 3}
      >>> parse_json("1e400")
      Traceback (most recent call last):
      ValueError: 1e400 is not a finite number
    """
    if len(text) > LARGEST_JSON:
        raise ValueError(f"the JSON is longer than {LARGEST_JSON} bytes")
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    hooks: dict[str, Any] = (
        {"parse_float": _finite, "parse_constant": _finite} if finite else {}
    )
    try:
        value = json.loads(text, parse_int=_integer, **hooks)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_depth(value)
    return value


def unpacked_limit(packed: int) -> int:
    """Return how many bytes a file of `packed` bytes may unpack to.

    Example:
      >>> unpacked_limit(2**30) == 20 * 2**30
      True
    """
    return max(ALWAYS_UNPACKED, MOST_UNPACKED * packed)


def memory_bytes() -> int:
    """Return the memory of the machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number that a float can hold; a bool is none.

    Example:
      >>> is_number(0.5), is_number(10**400), is_number(True), is_number("1")
      (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


_TOO_DEEP = f"the JSON is nested more than {DEEPEST_JSON} deep"


def _check_depth(value):
    level = [value]
    for _ in range(DEEPEST_JSON):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _integer(text):
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_LONGEST_NUMBER]} is not a finite number")
    return number
