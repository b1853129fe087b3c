"""Sections: groups of options, each with its default, help, flag and check.

A section may have guests: options that belong to an entry of a registry (an objective,
a family of encoders), so that `objective.temperature` exists only if the objective has
a temperature.
"""

import dataclasses
import difflib
import importlib
import typing
from dataclasses import field

from simclr_tf.config.values import checked, item_type
from simclr_tf.errors import ConfigError, received_text, require, unknown_choice

JOINED = " + "  # Between data sets that are one.
LARGEST = 2**31 - 1  # What shapes, loops and libraries in C can count to.
LARGEST_SEED = 2**63 - 1
LARGEST_SIDE = 65_535  # Pixels of the longest side of a JPEG.
MOST_REPETITIONS, MOST_REPLICAS = 10_000, 1_024


def option(
    default,
    help,
    *,
    flag=None,
    resumable=False,
    choices=None,
    required=None,
    common=False,
    additive=False,
    joined=None,
    largest=LARGEST,
):
    """Declare a dataclass field with its help text.

    Args:
      default: the value when none is given.
      help: str, one line with the unit; or a function that returns it, if it lists the
        names of a registry.
      flag: str, the flag's name if it is not the dotted name of the option; False for
        no flag.
      resumable: bool, whether a run may be continued with another value.
      choices: `module:DICT`, a registry whose names are the values, imported when it is
        first needed; or a dict or tuple of the values.
      required: str, for options without a default: what to give (`the folder of the
        run`). The section is refused without a value.
      common: bool, whether `--help` lists it among the common flags.
      joined: str, stands between the values of a flag that is given several times.
      additive: bool, a list whose flag is given once for each item.
      largest: int, the largest value of a whole number, and of each in a list.
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "flag": flag,
            "resumable": resumable,
            "choices": choices,
            "required": required,
            "common": common,
            "additive": additive,
            "joined": joined,
            "largest": largest,
        },
    )


def guest(registry, default, help, *, common=False):
    """Declare a dataclass field that holds the options of one guest of a registry.

    The field takes an instance of the guest's `Options`, or its name, or a dict with
    `name` and options. The flag of the field is the guest's name, and the flags of the
    options are `field.option`.

    Args:
      registry: str, `module:DICT`, imported when it is first needed. The dict maps
        names to objects with an attribute `Options`, a subclass of `GuestOptions`. A
        name that ends in a colon stands for all names that begin with it.
      default: str, name of a guest; or a dict with `name` and options.
      help: str, one line.
      common: bool, whether `--help` lists it among the common flags.
    """
    name = default if isinstance(default, str) else default["name"]
    return field(
        default_factory=lambda: guest_options(registry, default),
        metadata={
            "help": help,
            "registry": registry,
            "default": name,
            "common": common,
        },
    )


class Section:
    """A group of options that checks the type and the choices of each field."""

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if is_guest(item):
                if isinstance(value, dict):
                    value = {"name": item.metadata["default"], **value}
                value = guest_options(item.metadata["registry"], value)
            else:
                value = _checked(item, value, hints[item.name])
            object.__setattr__(self, item.name, value)
        self.check()

    def check(self):
        """Check the rules between and within the fields; raise `ConfigError`."""


@dataclasses.dataclass(frozen=True)
class GuestOptions(Section):
    """The options of one guest; a subclass adds them after the name.

    Attributes:
      name: str, the guest's name in its registry.
    """

    name: str = option("", "Name of the guest.")


def read_registry(path):
    """Return the dict of guests at `module:DICT`; return a dict itself."""
    if not isinstance(path, str):
        return path
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find_guest(registry, name):
    """Return a guest of a registry by its name.

    Args:
      registry: str, `module:DICT`.
      name: str; `keras:MobileNetV2` finds the guest `keras:`.

    Returns:
      The value in the dict.

    Raises:
      ConfigError: an unknown name; the message lists the nearest and all names.
    """
    guests = read_registry(registry)
    text = str(name)
    if text in guests and not text.endswith(":"):
        return guests[text]
    prefix = text.partition(":")[0] + ":"
    if prefix in guests and len(text) > len(prefix):
        return guests[prefix]
    attribute = registry.partition(":")[2].lower().removesuffix("s")
    raise unknown_choice(attribute, name, guest_names(registry))


def guest_names(registry):
    """List the names of a registry as a user writes them, prefixes as `keras:NAME`."""
    names = read_registry(registry)
    return [f"{name}NAME" if name.endswith(":") else name for name in names]


def guest_options(registry, value):
    """Return the options of a guest, given by its name, a dict or an object.

    Args:
      registry: str, `module:DICT`.
      value: str, dict with "name" and options, or `GuestOptions`.

    Returns:
      GuestOptions of the guest's own class.

    Raises:
      ConfigError: an unknown guest, an unknown option, or an invalid value.

    Example:
      >>> options = guest_options("simclr_tf.objectives:OBJECTIVES", "margin_triplet")
      >>> options.name, options.margin
      ('margin_triplet', 0.8)
    """
    if isinstance(value, GuestOptions):
        own = find_guest(registry, value.name).Options
        require(
            type(value) is own,
            f"The options of {value.name} must be {own.__name__}.",
            options=type(value).__name__,
        )
        return value
    values = {"name": value} if isinstance(value, str) else dict(value)
    name = values.get("name")
    own = find_guest(registry, name).Options
    known = [item.name for item in dataclasses.fields(own)]
    for option_name in values:
        if option_name not in known:
            raise _unknown_option_of_guest(name, option_name, known[1:])
    return own(**values)


def _unknown_option_of_guest(name, option_name, known):
    near = difflib.get_close_matches(option_name, known, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return ConfigError(
        f"{name} has no option `{option_name}`.{hint} Its options: "
        f"{', '.join(known) or 'none'}. {received_text(option=option_name)}"
    )


def is_guest(item):
    """Tell whether an option's field holds a guest."""
    return "registry" in item.metadata


def _checked(item, value, hint):
    """Return the checked value of a field that is not a guest; raise `ConfigError`."""
    name = item.name
    if dataclasses.is_dataclass(hint):
        require(
            isinstance(value, hint),
            f"`{name}` must be a {hint.__name__}.",
            **{name: value},
        )
        return value
    wanted = item.metadata.get("required")
    if wanted and not value:
        raise ConfigError(f"--{flag_name(name, item)} is required: {wanted}.")
    value = checked(name, value, hint)
    _require_countable(name, value, item.metadata.get("largest", LARGEST))
    choices = item.metadata.get("choices")
    if choices and value not in (None, ""):
        known = read_registry(choices)
        require(
            value != (),
            f"`{name}` needs at least one of {', '.join(map(str, known))}.",
            **{name: value},
        )
        for one in value if item_type(hint) else [value]:
            if one not in known:
                raise unknown_choice(name, one, known)
    return value


def _require_countable(name, value, largest):
    """Refuse a whole number, alone or in a list, that nothing could count to."""
    for one in value if isinstance(value, tuple) else (value,):
        require(
            not isinstance(one, int) or abs(one) <= largest,
            f"`{name}` must be at most {largest:,}.",
            **{name: one},
        )


def flag_name(dotted, item):
    """Return the flag of an option: its own, or its dotted name; None without one.

    A guest's name has the flag of its section: `--objective=nt_xent`.

    Args:
      dotted: str.
      item: the option's field.
    """
    if is_guest(item):
        return dotted.removesuffix(".name")
    flag = item.metadata["flag"]
    return None if flag is False else flag or dotted


def help_of(item):
    """Return the help text of an option's field."""
    text = item.metadata["help"]
    return text() if callable(text) else text


def is_resumable(item):
    """Tell whether a run may be continued with another value of an option's field."""
    return item.metadata.get("resumable", False)


def all_options(registry):
    """Return the option classes of a registry, each once, in the order of its names."""
    return list(dict.fromkeys(g.Options for g in read_registry(registry).values()))
