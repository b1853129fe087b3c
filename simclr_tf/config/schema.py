"""What an option is: its default, help, flag and check; configs as flat names.

The machinery under `simclr_tf.config`: it knows no hyper-parameter. A section may have
guests: options that belong to an entry of a registry (an objective, a family of
encoders), so that `objective.temperature` exists only where the objective has one.
"""

import dataclasses
import difflib
import importlib
import typing
from dataclasses import field

from simclr_tf.config.values import (
    checked,
    item_type,
    require_at_least_one,
    require_below_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import ConfigError, received_text, require, unknown_choice

__all__ = [
    "GuestOptions",
    "Section",
    "all_options",
    "differences",
    "dotted",
    "find_guest",
    "flag_name",
    "flatten",
    "guest",
    "guest_class",
    "guest_names",
    "guest_options",
    "help_of",
    "hints_of",
    "is_resumable",
    "known_options",
    "option",
    "override",
    "part_of",
    "read_registry",
    "require_at_least_one",
    "require_below_one",
    "require_fraction",
    "require_not_negative",
    "require_positive",
    "to_dict",
    "unknown_option",
    "walk_options",
]


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
):
    """A dataclass field with its help text.

    Args:
      default: the value when nothing is said.
      help: str, one line with the unit; or a function that returns it, where it lists
        what a registry holds.
      flag: str, the flag's name where it is not the dotted name of the option; False
        where there is none.
      resumable: bool, whether a run may be continued with another value.
      choices: `module:DICT`, a registry whose names are the values, imported when it is
        first needed; or a dict or tuple of the values.
      required: str, what is to be given (`the folder of the run`): without a value,
        the section is refused.
      common: bool, whether it is one of those that people need first.
      additive: bool, a list whose flag is given once for each item.
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
        },
    )


def guest(registry, default, help, *, common=False):
    """A dataclass field that holds the options of one guest out of a registry.

    The field takes an instance of the guest's `Options`, or its name, or a dict with
    `name` and options. The flag of the field is the guest's name, and the flags of the
    options are `field.option`.

    Args:
      registry: str, `module:DICT`, imported when it is first needed. The dict maps
        names to objects with an attribute `Options`, a subclass of `GuestOptions`. A
        name that ends in a colon stands for all names that begin with it.
      default: str, name of a guest; or a dict with `name` and options.
      help: str, one line.
      common: bool, whether it is one of those that people need first.
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
            if _is_guest(item):
                if isinstance(value, dict):
                    value = {"name": item.metadata["default"], **value}
                value = guest_options(item.metadata["registry"], value)
            else:
                value = _checked(item, value, hints[item.name])
            object.__setattr__(self, item.name, value)
        self.check()

    def check(self):
        """Rules between and within the fields; raises `ConfigError`."""


@dataclasses.dataclass(frozen=True)
class GuestOptions(Section):
    """The options of one guest; a subclass adds them after the name.

    Attributes:
      name: str, the guest's name in its registry.
    """

    name: str = option("", "Name of the guest.")


def read_registry(path):
    """The dict of guests at `module:DICT`; names that are at hand are returned."""
    if not isinstance(path, str):
        return path
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find_guest(registry, name):
    """A guest of a registry by its name.

    Args:
      registry: str, `module:DICT`.
      name: str; `keras:MobileNetV2` finds the guest `keras:`.

    Returns:
      The value in the dict.

    Raises:
      ConfigError: there is none; the nearest names and all are listed.
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
    """The names of a registry as a user writes them, prefixes as `keras:NAME`."""
    names = read_registry(registry)
    return [f"{name}NAME" if name.endswith(":") else name for name in names]


def guest_options(registry, value):
    """The options of a guest from its name, from a dict, or checked as they are.

    Args:
      registry: str, `module:DICT`.
      value: str, dict with "name" and options, or `GuestOptions`.

    Returns:
      GuestOptions of the guest's own class.

    Raises:
      ConfigError: an unknown guest, an option that it does not have, or a refused
        value.

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


def _is_guest(item):
    return "registry" in item.metadata


def _checked(item, value, hint):
    """The value of a field that is no guest, or a `ConfigError`."""
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
    choices = item.metadata.get("choices")
    if choices and value not in (None, ""):
        known = read_registry(choices)
        for one in value if item_type(hint) else [value]:
            if one not in known:
                raise unknown_choice(name, one, known)
    return value


def flag_name(dotted, item):
    """The flag of an option: its own name, or its dotted one; None without a flag.

    A guest's name has the flag of its section: `--objective=nt_xent`.

    Args:
      dotted: str.
      item: the option's field.
    """
    if _is_guest(item):
        return dotted.removesuffix(".name")
    flag = item.metadata["flag"]
    return None if flag is False else flag or dotted


def walk_options(section, prefix=""):
    """Every option of a section as (dotted name, field, annotation).

    Args:
      section: a section, with the options of its own guests; or a section class, with
        those of all guests of its registries, each name once.
      prefix: str, put before the names.
    """
    is_class = isinstance(section, type)
    hints = typing.get_type_hints(section if is_class else type(section))
    for item in dataclasses.fields(section):
        name = f"{prefix}{item.name}"
        inner = hints[item.name] if is_class else getattr(section, item.name)
        if _is_guest(item):
            yield f"{name}.name", item, str
            owners = (
                all_options(item.metadata["registry"]) if is_class else [type(inner)]
            )
            seen = {f"{name}.name"}
            for owner in owners:
                for row in walk_options(owner, f"{name}."):
                    if row[0] not in seen:
                        seen.add(row[0])
                        yield row
        elif dataclasses.is_dataclass(inner):
            yield from walk_options(inner, f"{name}.")
        else:
            yield name, item, hints[item.name]


def all_options(registry):
    """The option classes of a registry, each once, in the order of its names."""
    return list(dict.fromkeys(g.Options for g in read_registry(registry).values()))


def help_of(item):
    """The help text of an option's field."""
    text = item.metadata["help"]
    return text() if callable(text) else text


def is_resumable(item):
    """Whether a run may be continued with another value of an option's field."""
    return item.metadata.get("resumable", False)


def flatten(config):
    """The config as a flat dict of dotted names.

    Example:
      >>> from simclr_tf.config import Config
      >>> flatten(Config())["objective.temperature"]
      0.1
    """
    flat = {}
    for name, _, _ in walk_options(config):
        value = config
        for part in name.split("."):
            value = getattr(value, part)
        flat[name] = value
    return flat


def override(config, changes):
    """A copy of `config` with dotted options changed; every check runs again.

    Another guest (`objective.name`) keeps the options of the former one where both
    have the same class of options, and begins with its own defaults where not.

    Args:
      config: Config, or another section; or a section class, for its defaults with
        the changes.
      changes: dict of dotted name (or the name of a section, with a dict) to value.

    Returns:
      Config, or what `config` is or is a class of.

    Raises:
      ConfigError: an unknown name (the nearest are listed) or a value refused.

    Example:
      >>> from simclr_tf.config import Config
      >>> changed = override(Config(), {"objective.temperature": 0.5, "epochs": 3})
      >>> changed.objective.temperature
      0.5
      >>> override(Config(), {"objective": "margin_triplet"}).objective.margin
      0.8
    """
    is_class = isinstance(config, type)
    known = known_options(config)
    guests = {i.name: i for i in dataclasses.fields(config) if _is_guest(i)}
    sections = {}
    for name, value in dotted(config, changes).items():
        section, _, option_name = name.rpartition(".")
        if section not in guests and name not in known:
            raise unknown_option(name, known)
        sections.setdefault(section, {})[option_name] = value
    top = sections.pop("", {})
    fields = {item.name: item for item in dataclasses.fields(config)}
    for section, values in sections.items():
        former = (
            fields[section].default_factory() if is_class else getattr(config, section)
        )
        if section in guests:
            registry = guests[section].metadata["registry"]
            top[section] = _changed_guest(registry, former, values)
        else:
            top[section] = dataclasses.replace(former, **values)
    return config(**top) if is_class else dataclasses.replace(config, **top)


def _changed_guest(registry, former, values):
    name = values.get("name", former.name)
    is_alike = find_guest(registry, name).Options is type(former)
    kept = dataclasses.asdict(former) if is_alike else {}
    return guest_options(registry, {**kept, **values, "name": name})


def dotted(section, changes):
    """Flatten nested dicts and sections; a guest's name alone stands for the guest.

    Args:
      section: a section or a section class.
      changes: dict, as for `override`.

    Example:
      >>> from simclr_tf.config import Config
      >>> dotted(Config, {"objective": "nt_xent", "data": {"split": "train"}})
      {'objective.name': 'nt_xent', 'data.split': 'train'}
    """
    guests = {item.name for item in dataclasses.fields(section) if _is_guest(item)}
    flat = {}
    for name, value in changes.items():
        if dataclasses.is_dataclass(value):
            value = dataclasses.asdict(value)
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": item for key, item in value.items()})
        else:
            flat[f"{name}.name" if name in guests else name] = value
    return flat


def known_options(section):
    """The dotted names of a section, with those of all guests of its registries."""
    section = section if isinstance(section, type) else type(section)
    return [name for name, _, _ in walk_options(section)]


def hints_of(section, names):
    """The annotation of every option, with guests that are chosen by name.

    Args:
      section: a section or a section class.
      names: dict of a guest's field to the guest's name; others keep theirs.

    Returns:
      dict of dotted name to annotation.

    Raises:
      ConfigError: an unknown guest.
    """
    section_class = section if isinstance(section, type) else type(section)
    hints = {name: hint for name, _, hint in walk_options(section_class)}
    for item in dataclasses.fields(section_class):
        if _is_guest(item):
            own = guest_class(section, item, names.get(item.name))
            rows = walk_options(own, f"{item.name}.")
            hints |= {name: hint for name, _, hint in rows}
    return hints


def guest_class(section, item, name=None):
    """The class of options of a guest that is named, or that a section has.

    Args:
      section: a section or a section class.
      item: the guest's field.
      name: str, or None for the guest that the section has.
    """
    if name is None and isinstance(section, type):
        name = item.metadata["default"]
    elif name is None:
        name = getattr(section, item.name).name
    return find_guest(item.metadata["registry"], name).Options


def part_of(options, section_class, **changes):
    """Those options that a section class has too, as a section of that class.

    Args:
      options: section with at least the fields of `section_class`.
      section_class: section class.
      **changes: values that are others there.
    """
    names = [item.name for item in dataclasses.fields(section_class)]
    return section_class(**{n: getattr(options, n) for n in names} | changes)


def unknown_option(name, known):
    """The error for an option that does not exist, with the nearest names."""
    error = unknown_choice("option", name, known)
    nearest = str(error).split(" Choices:")[0]
    return ConfigError(f"{nearest} {received_text(option=name)}")


def differences(old, new, *, resuming=False):
    """The options in which two configs differ, as (name, old value, new value).

    An option that only one of them has, because its guest is another, is None in the
    other one.

    Args:
      old, new: Config.
      resuming: bool, leave out the options a continued run may change.
    """
    old_values, new_values = flatten(old), flatten(new)
    items = {n: item for config in (old, new) for n, item, _ in walk_options(config)}
    return [
        (name, old_values.get(name), new_values.get(name))
        for name, item in items.items()
        if old_values.get(name) != new_values.get(name)
        and not (resuming and is_resumable(item))
    ]


def to_dict(config):
    """Plain nested dicts, ready for JSON."""
    return dataclasses.asdict(config)
