"""Range checks for hyper-parameters of the views; imports no TensorFlow."""

import math
import numbers

from simclr_tf.errors import require, unknown_choice


def check_probability(name, value):
    """Require `value` in [0, 1].

    Example:
      >>> check_probability("flip_probability", 0.5)
    """
    require(
        _is_finite(value) and 0.0 <= value <= 1.0,
        f"`{name}` must be a probability in [0, 1].",
        **{name: value},
    )


def check_at_least(name, value, least, *, exclusive=False):
    """Require a finite `value` >= `least` (> `least` if `exclusive`).

    Example:
      >>> check_at_least("hue", 0.2, 0.0)
    """
    sign = ">" if exclusive else ">="
    require(
        _is_finite(value) and (value > least if exclusive else value >= least),
        f"`{name}` must be a number {sign} {least:g}.",
        **{name: value},
    )


def check_interval(
    low_name, low, high_name, high, *, least=0.0, most=math.inf, exclusive=True
):
    """Require least < low <= high <= most (least <= low if not `exclusive`).

    Example:
      >>> check_interval("area_min", 0.08, "area_max", 1.0, most=1.0)
    """
    check_at_least(low_name, low, least, exclusive=exclusive)
    check_at_least(high_name, high, least, exclusive=exclusive)
    upper = "" if math.isinf(most) else f" <= {most:g}"
    require(
        low <= high <= most,
        f"`{low_name}` <= `{high_name}`{upper} must hold.",
        **{low_name: low, high_name: high},
    )


def check_fraction(name, value):
    """Require `value` in (0, 1].

    Example:
      >>> check_fraction("cutout_size_fraction", 0.5)
    """
    check_interval(name, value, name, value, most=1.0)


def check_choice(name, value, choices):
    """Require `value` to be one of `choices`.

    Example:
      >>> check_choice("crop_floor", "exact", ("exact", "reference"))
    """
    if value not in choices:
        raise unknown_choice(name, value, choices)


def _is_finite(value):
    """Tell whether this is a finite real number; True and False are not."""
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
