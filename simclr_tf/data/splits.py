"""Split strings: `train`, `test`, `train[:10%]`, `train[100:200]`."""

import re

import numpy as np

from simclr_tf.errors import ConfigError, received_text

_SPLIT = re.compile(r"([\w.\-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


def parse_split(split):
    """A split string -> its name and its bounds.

    Args:
      split: str, `NAME` or `NAME[FROM:TO]`; bounds are numbers of examples or
        percentages, negative ones count from the end, both may be left out.

    Returns:
      (name, None), or (name, (from, to)) with str or None each.

    Raises:
      ConfigError: for any other form.

    Example:
      >>> parse_split("train[:10%]")
      ('train', (None, '10%'))
    """
    match = _SPLIT.fullmatch(str(split).strip())
    if match is None:
        raise ConfigError(
            "`split` must look like `train`, `train[:10%]` or `test[100:200]`. "
            + received_text(split=split)
        )
    name, start, stop = match.groups()
    return name, (None if "[" not in split else (start, stop))


def bounds_to_range(bounds, num_examples):
    """Bounds -> (start, stop) positions, percentages rounded to the nearest example.

    Example:
      >>> bounds_to_range((None, "10%"), 25), bounds_to_range(("-5", None), 25)
      ((0, 2), (20, 25))
    """

    def position(bound, missing):
        if bound is None:
            return missing
        value = (
            round(num_examples * int(bound[:-1]) / 100)
            if bound.endswith("%")
            else int(bound)
        )
        value = value + num_examples if value < 0 else value
        return min(max(value, 0), num_examples)

    start = position(bounds[0], 0)
    return start, max(start, position(bounds[1], num_examples))


def cut(source, bounds, split):
    """The part of `source` within `bounds`; the whole for bounds None."""
    if bounds is None:
        return source
    start, stop = bounds_to_range(bounds, source.num_examples)
    return source.subset(np.arange(start, stop), split=split)
