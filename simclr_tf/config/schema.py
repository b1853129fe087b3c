"""What an option is: its default, help, flag and check; configs as flat names.

The machinery under `simclr_tf.config`: it knows no hyper-parameter.
"""

import dataclasses
import types
import typing
from dataclasses import field
from typing import Literal

from simclr_tf.errors import ConfigError, received_text, require, unknown_choice


def option(default, help, *, flag=None, resumable=False):
    """A dataclass field with its help text.

    Args:
      default: the value when nothing is said.
      help: str, one line with the unit.
      flag: str, the flag's name where it is not `section.field`.
      resumable: bool, whether a run may be continued with another value.
    """
    return field(
        default=default,
        metadata={"help": help, "flag": flag, "resumable": resumable},
    )


class Section:
    """A group of options that checks the type and the choices of each field."""

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = _checked(item.name, getattr(self, item.name), hints[item.name])
            object.__setattr__(self, item.name, value)
        self.check()

    def check(self):
        """Rules between and within the fields; raises `ConfigError`."""


def _checked(name, value, hint):
    """`value` as the annotated type, or a `ConfigError` that says what is wanted."""
    if dataclasses.is_dataclass(hint):
        require(
            isinstance(value, hint),
            f"`{name}` must be a {hint.__name__}.",
            **{name: value},
        )
        return value
    if value is None:
        require(allows_none(hint), f"`{name}` must not be None.", **{name: value})
        return None
    kind = value_type(hint)
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise unknown_choice(name, value, typing.get_args(kind))
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is an int in Python, but `epochs=True` is a mistake.
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    require(fits, f"`{name}` must be {_an(kind.__name__)}.", **{name: value})
    if kind is float:
        require(
            value == value and abs(value) != float("inf"),
            f"`{name}` must be finite.",
            **{name: value},
        )
    return value


def _an(noun):
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def value_type(hint):
    """The annotation without `| None`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def allows_none(hint):
    """Whether the annotation has `| None`."""
    return type(None) in typing.get_args(hint)


def walk_options(section, prefix=""):
    """Every option of a section class as (dotted name, field, annotation)."""
    hints = typing.get_type_hints(section)
    for item in dataclasses.fields(section):
        if dataclasses.is_dataclass(hints[item.name]):
            yield from walk_options(hints[item.name], f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item, hints[item.name]


def flatten(config):
    """The config as a flat dict of dotted names.

    Example:
      >>> from simclr_tf.config import Config
      >>> flatten(Config())["loss.temperature"]
      0.1
    """
    flat = {}
    for name, _, _ in walk_options(type(config)):
        value = config
        for part in name.split("."):
            value = getattr(value, part)
        flat[name] = value
    return flat


def override(config, changes):
    """A copy of `config` with dotted options changed; every check runs again.

    Args:
      config: Config.
      changes: dict of dotted name (or the name of a section, with a dict) to value.

    Returns:
      Config.

    Raises:
      ConfigError: an unknown name (the nearest are listed) or a value refused.

    Example:
      >>> from simclr_tf.config import Config
      >>> override(Config(), {"loss.temperature": 0.5, "epochs": 3}).loss.temperature
      0.5
    """
    known = [name for name, _, _ in walk_options(type(config))]
    sections = {}
    for name, value in _dotted(changes, known).items():
        section, _, option_name = name.rpartition(".")
        sections.setdefault(section, {})[option_name] = value
    top = sections.pop("", {})
    for section, values in sections.items():
        top[section] = dataclasses.replace(getattr(config, section), **values)
    return dataclasses.replace(config, **top)


def _dotted(changes, known):
    """Flatten nested dicts and sections; check the names."""
    flat = {}
    for name, value in changes.items():
        if dataclasses.is_dataclass(value):
            value = dataclasses.asdict(value)
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": item for key, item in value.items()})
        else:
            flat[name] = value
    for name in flat:
        if name not in known:
            raise _unknown_option(name, known)
    return flat


def _unknown_option(name, known):
    error = unknown_choice("option", name, known)
    nearest = str(error).split(" Choices:")[0]
    return ConfigError(f"{nearest} {received_text(option=name)}")


def differences(old, new, *, resuming=False):
    """The options in which two configs differ, as (name, old value, new value).

    Args:
      old, new: Config.
      resuming: bool, leave out the options a continued run may change.
    """
    old_values, new_values = flatten(old), flatten(new)
    return [
        (name, old_values[name], new_values[name])
        for name, item, _ in walk_options(type(old))
        if old_values[name] != new_values[name]
        and not (resuming and item.metadata["resumable"])
    ]


def to_dict(config):
    """Plain nested dicts, ready for JSON."""
    return dataclasses.asdict(config)


def require_fraction(name, value, *, low_open=False):
    """Refuse what lies outside [0, 1], or (0, 1] if `low_open`; None passes.

    Raises:
      ConfigError: with the option's name and value.
    """
    if value is not None:
        low = value > 0 if low_open else value >= 0
        interval = "(0, 1]" if low_open else "[0, 1]"
        require(
            low and value <= 1, f"`{name}` must lie in {interval}.", **{name: value}
        )


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
        require(value is None or value >= 0, f"`{name}` must be >= 0.", **{name: value})
