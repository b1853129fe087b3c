"""Which examples a stratified fraction should hold, by counting with exact numbers."""

import collections
import fractions


def share_bounds(labels, fraction):
    """Least and largest fair number of examples of each class.

    A class of n examples is owed fraction * n of them; a fair count is that number
    rounded down or up, and never none.

    Args:
      labels: list of int, -1 for unlabelled.
      fraction: str or Fraction, e.g. "1/10".

    Returns:
      dict: class -> (least, largest).
    """
    counts = collections.Counter(label for label in labels if label >= 0)
    bounds = {}
    for label, count in counts.items():
        owed = fractions.Fraction(fraction) * count
        floor = owed.numerator // owed.denominator
        ceiling = floor + (owed.denominator != 1)
        bounds[label] = (max(1, floor), max(1, ceiling))
    return bounds
