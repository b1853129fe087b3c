"""One flag for each option of the config, generated.

`--preset=NAME` is taken first; only the flags that the user typed go on top.
"""

import typing

from absl import flags

from simclr_tf.config import Config
from simclr_tf.options import allows_none, override, value_type, walk_options
from simclr_tf.presets import PRESETS, get_preset

DEFAULT_PRESET = "demo"


def flag_name(dotted, item):
    """The flag of an option: its own name, or `section.field`."""
    return item.metadata["flag"] or dotted


def define_config_flags(values):
    """Define `--preset` and a flag for every option on a `flags.FlagValues`."""
    flags.DEFINE_string(
        "preset", DEFAULT_PRESET, "Named experiment to start from: "
        f"{', '.join(PRESETS)}.", flag_values=values)
    for dotted, item, hint in walk_options(Config):
        if dotted == "preset" or dotted == "encoder.kind":
            continue
        _define(flag_name(dotted, item), item.metadata["help"], hint, values)


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
    changes = {}
    for dotted, item, hint in walk_options(Config):
        name = flag_name(dotted, item)
        if name in values and name != "preset" and values[name].present:
            changes[dotted] = parse_value(values[name].value, hint)
    config: Config = get_preset(values["preset"].value)
    return override(config, changes)


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
