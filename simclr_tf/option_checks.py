"""Ranges that many options share."""

from simclr_tf.errors import require


def require_fraction(name, value, *, low_open=False):
    """Refuse what lies outside [0, 1], or (0, 1] if `low_open`; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    if value is not None:
        low = value > 0 if low_open else value >= 0
        interval = "(0, 1]" if low_open else "[0, 1]"
        require(low and value <= 1, f"`{name}` must lie in {interval}.",
                **{name: value})


def require_positive(**values):
    """Refuse, by their names, values that are not > 0; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    for name, value in values.items():
        require(value is None or value > 0, f"`{name}` must be > 0.", **{name: value})


def require_not_negative(**values):
    """Refuse, by their names, values that are not >= 0; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    for name, value in values.items():
        require(value is None or value >= 0, f"`{name}` must be >= 0.",
                **{name: value})
