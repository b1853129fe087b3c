"""One flag for each option of the config, generated.

`--preset=NAME` is taken first; only the flags that the user typed go on top.
"""

import typing

from absl import flags

from simclr_tf.config import Config
from simclr_tf.config.presets import PRESETS, get_preset
from simclr_tf.config.schema import (
    allows_none,
    guest_names,
    help_of,
    override,
    owners,
    value_type,
    walk_options,
)

DEFAULT_PRESET = "demo"


def flag_name(dotted, item):
    """The flag of an option: its own name, or `section.field`.

    A guest's name has the flag of its section: `--objective=nt_xent`.
    """
    if "registry" in item.metadata:
        return dotted.removesuffix(".name")
    return item.metadata["flag"] or dotted


def define_config_flags(values):
    """Define `--preset` and a flag for every option on a `flags.FlagValues`."""
    flags.DEFINE_string(
        "preset",
        DEFAULT_PRESET,
        f"Named experiment to start from: {', '.join(PRESETS)}.",
        flag_values=values,
    )
    define_section_flags(Config, values, leave_out=("preset",))


def define_section_flags(section, values, leave_out=()):
    """Define a flag for every option of a section class.

    Args:
      section: dataclass of `simclr_tf.config.schema`.
      values: `flags.FlagValues`.
      leave_out: dotted names of options without a flag.
    """
    for dotted, item, hint in walk_options(section):
        if dotted not in leave_out:
            _define(flag_name(dotted, item), _help(section, dotted, item), hint, values)


def _help(section, dotted, item):
    """The help of an option: which guests it is for, or which guests there are."""
    help = help_of(item)
    if "registry" in item.metadata:
        return f"{help} One of {', '.join(guest_names(item.metadata['registry']))}."
    if item.metadata.get("choices"):
        return f"{help} One of {', '.join(guest_names(item.metadata['choices']))}."
    of = owners(section, dotted)
    return f"{', '.join(of)}: {help}" if of else help


def _define(name, help, hint, values):
    kind = value_type(hint)
    if allows_none(hint) and kind is not str:
        help = f"{help} ('none' unsets it.)"
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if kind is bool:
        flags.DEFINE_bool(name, None, help, flag_values=values)
    else:
        text = f"{help} One of {', '.join(map(str, choices))}." if choices else help
        flags.DEFINE_string(name, None, text, flag_values=values)


def config_from_flags(values):
    """The config that the command line asks for.

    Args:
      values: parsed `flags.FlagValues`.

    Returns:
      Config.

    Raises:
      ConfigError: an unknown preset, or a value that the option refuses.
    """
    return section_from_flags(
        get_preset(values["preset"].value), values, leave_out=("preset",)
    )


def section_from_flags(section, values, leave_out=()):
    """A section with the options that the command line sets.

    Args:
      section: instance of a dataclass of `simclr_tf.config.schema`.
      values: parsed `flags.FlagValues`.
      leave_out: dotted names of options that are not taken from a flag.

    Returns:
      An instance of the same class.

    Raises:
      ConfigError: a value that the option refuses.
    """
    typed = {}
    for dotted, item, _ in walk_options(type(section)):
        name = flag_name(dotted, item)
        if dotted not in leave_out and name in values and values[name].present:
            typed[dotted] = values[name].value
    # What a text means depends on the guests: their names are taken first.
    guests = {d: text for d, text in typed.items() if d.endswith(".name")}
    hints = {d: hint for d, _, hint in walk_options(override(section, guests))}
    return override(
        section,
        {d: parse_value(text, hints.get(d, str)) for d, text in typed.items()},
    )


def parse_value(text, hint):
    """A flag's text as the type of its option.

    A text that does not parse is handed on as it is, so that the option's own check
    names the rule and the received value.

    Example:
      >>> parse_value("0.5", float), parse_value("none", int | None)
      (0.5, None)
    """
    if not isinstance(text, str):
        return text
    if allows_none(hint) and text.lower() == "none":
        return None
    kind = value_type(hint)
    if typing.get_origin(kind) is typing.Literal:
        matching = [c for c in typing.get_args(kind) if str(c) == text]
        return matching[0] if matching else text
    try:
        return kind(text)
    except ValueError:
        return text
