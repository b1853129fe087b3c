"""Values of options: types, text to value, and the usual ranges.

Types are annotations: bool, int, float, str, a `Literal`, an `ImageSize`, a tuple of
one of these (`tuple[int, ...]`, a list in JSON, with commas on the command line), or
one of them with `| None`.
"""

import types
import typing
from typing import Literal

from simclr_tf.config.image_size import ImageSize, parsed_size, short_size
from simclr_tf.errors import require, unknown_choice

_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def value_type(hint):
    """Return the annotation without `| None`."""
    if is_size(hint):
        return ImageSize
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def is_size(hint):
    """Tell whether the annotation is `ImageSize`, with or without `| None`.

    Example:
      >>> is_size(ImageSize | None), is_size(int | None)
      (True, False)
    """
    return set(typing.get_args(ImageSize)) <= set(typing.get_args(hint))


def allows_none(hint):
    """Tell whether the annotation has `| None`."""
    return type(None) in typing.get_args(hint)


def item_type(hint):
    """Return the annotation of the items of a list; None for a single value.

    Example:
      >>> item_type(tuple[int, ...] | None), item_type(int)
      (<class 'int'>, None)
    """
    kind = value_type(hint)
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None


def literal_choices(hint):
    """Return the values of a `Literal`, or of a list of them; () for anything else.

    Example:
      >>> literal_choices(Literal["a", Literal["b", "c"]] | None)
      ('a', 'b', 'c')
    """
    kind = item_type(hint) or value_type(hint)
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def checked(name, value, hint):
    """Return a value as the annotated type.

    Args:
      name: str, the option's.
      value: the given value.
      hint: annotation.

    Raises:
      ConfigError: a value of another type, or not one of the choices.

    Example:
      >>> checked("epochs", 3, float), checked("sizes", [8, 64], tuple[int, ...])
      (3.0, (8, 64))
      >>> checked("jit_compile", True, Literal["auto", "true", "false"])
      'true'
    """
    if value is None:
        require(allows_none(hint), f"`{name}` must not be None.", **{name: value})
        return None
    if is_size(hint):
        return short_size(name, value)
    item = item_type(hint)
    if item is None:
        return _checked_one(name, value, value_type(hint))
    require(
        isinstance(value, (list, tuple)),
        f"`{name}` must be a list, with commas between.",
        **{name: value},
    )
    return tuple(_checked_one(name, one, item) for one in value)


def _checked_one(name, value, kind):
    if typing.get_origin(kind) is Literal:
        if isinstance(value, bool):  # A choice `true`, in Python or YAML.
            value = str(value).lower()
        if value not in typing.get_args(kind):
            raise unknown_choice(name, value, typing.get_args(kind))
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is an int in Python, but `epochs=True` is a mistake.
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    wanted = "true or false" if kind is bool else _an(kind.__name__)
    require(fits, f"`{name}` must be {wanted}.", **{name: value})
    if kind is float:
        require(
            value == value and abs(value) != float("inf"),
            f"`{name}` must be finite.",
            **{name: value},
        )
    return value


def _an(noun):
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def parsed(text, hint):
    """Return a flag's text as the type of its option.

    A text that does not parse is returned unchanged, so that the option's own check
    names the rule and the received value.

    Args:
      text: str; anything else is returned unchanged.
      hint: annotation.

    Example:
      >>> parsed("0.5", float), parsed("none", int | None), parsed("many", int)
      (0.5, None, 'many')
      >>> parsed("0.1, 1", tuple[float, ...]), parsed("64x96", ImageSize)
      ((0.1, 1.0), (64, 96))
    """
    if not isinstance(text, str):
        return text
    if allows_none(hint) and text.lower() == "none":
        return None
    if is_size(hint):
        return parsed_size(text)
    item = item_type(hint)
    if item is not None and not text.strip():
        return ()
    if item is not None:
        return tuple(_parsed_one(part.strip(), item) for part in text.split(","))
    return _parsed_one(text, value_type(hint))


def _parsed_one(text, kind):
    if typing.get_origin(kind) is Literal:
        matching = [c for c in typing.get_args(kind) if str(c) == text]
        return matching[0] if matching else text
    if kind is bool:
        return _TRUTH.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def require_fraction(name, value, *, low_open=False):
    """Refuse a value outside [0, 1], or outside (0, 1] if `low_open`; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    if value is not None:
        low = value > 0 if low_open else value >= 0
        interval = "(0, 1]" if low_open else "[0, 1]"
        require(low and value <= 1, f"`{name}` must be in {interval}.", **{name: value})


def require_below_one(**values):
    """Refuse values outside [0, 1), by their names; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    for name, value in values.items():
        fits = value is None or 0 <= value < 1
        require(fits, f"`{name}` must be in [0, 1).", **{name: value})


def require_positive(**values):
    """Refuse values that are not > 0, by their names; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    for name, value in values.items():
        require(value is None or value > 0, f"`{name}` must be > 0.", **{name: value})


def require_not_negative(**values):
    """Refuse values that are not >= 0, by their names; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    for name, value in values.items():
        require(value is None or value >= 0, f"`{name}` must be >= 0.", **{name: value})


def require_at_least_one(**values):
    """Refuse numbers that are not >= 1, by their names; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    for name, value in values.items():
        require(value is None or value >= 1, f"`{name}` must be >= 1.", **{name: value})
