"""A section as dotted names (`objective.temperature`): listed, changed, compared."""

import dataclasses
import typing

from simclr_tf.config.sections import (
    all_options,
    find_guest,
    guest_options,
    is_guest,
    is_resumable,
)
from simclr_tf.errors import ConfigError, received_text, unknown_choice


def walk_options(section, prefix=""):
    """Yield every option of a section as (dotted name, field, annotation).

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
        if is_guest(item):
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


def flatten(config):
    """Return the config as a flat dict of dotted names.

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
    """Copy `config` with dotted options changed; every check runs again.

    If a guest is replaced (`objective.name`), its options stay if both guests have the
    same class of options; otherwise the new guest starts from its own defaults.

    Args:
      config: Config, or another section; or a section class, for its defaults with
        the changes.
      changes: dict of dotted name (or the name of a section, with a dict) to value.

    Returns:
      Config, or a section of the class of `config`.

    Raises:
      ConfigError: an unknown name (the nearest are listed) or an invalid value.

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
    guests = {i.name: i for i in dataclasses.fields(config) if is_guest(i)}
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
    """Flatten nested dicts and sections; a name alone stands for what has that name.

    Args:
      section: a section or a section class.
      changes: dict, as for `override`.

    Example:
      >>> from simclr_tf.config import Config
      >>> dotted(Config, {"objective": "nt_xent", "data": {"split": "train"}})
      {'objective.name': 'nt_xent', 'data.split': 'train'}
      >>> dotted(Config, {"optimizer": "adamw"})
      {'optimizer.name': 'adamw'}
    """
    hints = typing.get_type_hints(
        section if isinstance(section, type) else type(section)
    )
    named = {
        item.name
        for item in dataclasses.fields(section)
        if is_guest(item) or "name" in getattr(hints[item.name], "__annotations__", {})
    }
    flat = {}
    for name, value in changes.items():
        if dataclasses.is_dataclass(value):
            value = dataclasses.asdict(value)
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": item for key, item in value.items()})
        else:
            flat[f"{name}.name" if name in named else name] = value
    return flat


def known_options(section):
    """Return the dotted names of a section, with those of all possible guests."""
    section = section if isinstance(section, type) else type(section)
    return [name for name, _, _ in walk_options(section)]


def hints_of(section, names):
    """Return the annotation of every option, with guests that are chosen by name.

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
        if is_guest(item):
            own = guest_class(section, item, names.get(item.name))
            rows = walk_options(own, f"{item.name}.")
            hints |= {name: hint for name, _, hint in rows}
    return hints


def guest_class(section, item, name=None):
    """Return the class of options of a guest that is named, or that a section has.

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
    """Return the options that a section class also has, as a section of that class.

    Args:
      options: section with at least the fields of `section_class`.
      section_class: section class.
      **changes: options with other values.
    """
    names = [item.name for item in dataclasses.fields(section_class)]
    return section_class(**{n: getattr(options, n) for n in names} | changes)


def unknown_option(name, known):
    """Make the error for an option that does not exist, with the nearest names."""
    error = unknown_choice("option", name, known)
    nearest = str(error).split(" Choices:")[0]
    return ConfigError(f"{nearest} {received_text(option=name)}")


def differences(old, new, *, resuming=False):
    """Return the options in which two configs differ, as (name, old value, new value).

    Where the guests differ, their names tell it: options that only the old one has are
    left out, and the old value of those that only the new one has is None.

    Args:
      old, new: Config.
      resuming: bool, leave out the options a continued run may change.
    """
    old_values, new_values = flatten(old), flatten(new)
    return [
        (name, old_values.get(name), new_values[name])
        for name, item, _ in walk_options(new)
        if old_values.get(name) != new_values[name]
        and not (resuming and is_resumable(item))
    ]


def to_dict(config):
    """Convert to plain nested dicts, ready for JSON."""
    return dataclasses.asdict(config)
