"""The text of `--help`: the flags of a verb by section, each with its default."""

import dataclasses
import re
import textwrap
import typing

from simclr_tf.config.presets import get_preset
from simclr_tf.config.pretrain import DEFAULT_PRESET
from simclr_tf.config.schema import (
    flatten,
    guest_names,
    help_of,
    read_registry,
)
from simclr_tf.config.values import literal_choices
from simclr_tf.tools.config_flags import CONFIG, flags_of

# Verbs with more flags than this show the common ones first.
FEW = 20
_CONFIG_HELP = (
    "JSON file with options, as every verb writes it (such as config.json of a "
    "workdir); flags override it. Default: unset."
)


def help_text(doc, sections, *, everything=False, preset=None):
    """Return the help of a verb.

    Args:
      doc: str, the text above the flags.
      sections: section classes or FlagsOf.
      everything: bool, all flags; else only the common ones, if there are many.
      preset: str, whose values are the defaults; those of the default preset if None.

    Returns:
      str, several lines.
    """
    rows = [row for part in flags_of(sections) for row in _rows(part, preset)]
    shows_all = everything or len(rows) <= FEW
    shown = [row for row in rows if shows_all or row.is_common]
    groups = {}
    for row in shown:
        groups.setdefault(row.title, []).append(row)
    heading = "Flags" if shows_all else "Flags, the common ones"
    if any(part.preset for part in flags_of(sections)):
        heading += f" (defaults of --preset={preset or DEFAULT_PRESET})"
    lines = [doc.strip(), "", f"{heading}:"]
    # Required flags come first.
    ordered = sorted(groups.items(), key=lambda group: not any(map(_leads, group[1])))
    for number, (title, members) in enumerate(ordered):
        lines += ["", *textwrap.wrap(title, 88)]
        for row in members:
            lines += _lines(row.flag, row.help)
        if number == 0:
            lines += _lines(CONFIG, _CONFIG_HELP)
    lines += ["", "--FLAG=none unsets an option that may be unset."]
    if not shows_all:
        lines.append(f"--help=all shows all {len(rows) + 1} flags.")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Row:
    flag: str
    title: str
    help: str
    is_common: bool


def _leads(row):
    return row.flag == "workdir" or row.help.endswith("Required.")


def _rows(part, preset):
    defaults = _defaults(part, (preset or DEFAULT_PRESET) if part.preset else None)
    for flag, name, item, hint in part.options():
        wanted = item.metadata.get("required")
        default = "Required." if wanted else f"Default: {defaults[name]}."
        yield _Row(
            flag,
            _title(part.section, name),
            f"{_help(part.section, name, item, hint)} {default}",
            item.metadata.get("common", False),
        )


def _lines(flag, help):
    indent = " " * 6
    return [
        f"  --{flag}",
        *textwrap.wrap(help, 82, initial_indent=indent, subsequent_indent=indent),
    ]


def _title(section, name):
    """Write the heading of an option's group: its section, or the guests with it."""
    first, dot, _ = name.partition(".")
    if not dot:
        home = next(c for c in section.__mro__ if first in vars(c)["__annotations__"])
        return _first_line(home)
    item = _field(section, first)
    if "registry" in item.metadata:
        return f"{first}: {re.split('[:,]', help_of(item))[0].rstrip('.')}."
    return f"{first}: {_first_line(typing.get_type_hints(section)[first])}"


def _field(section, name):
    return next(item for item in dataclasses.fields(section) if item.name == name)


def _first_line(section):
    return section.__doc__.strip().partition("\n")[0]


def _help(section, name, item, hint):
    """Write the help of an option: the guests that have it, and its choices."""
    help, choices = help_of(item), literal_choices(hint)
    if "registry" in item.metadata:
        choices = guest_names(item.metadata["registry"])
    elif item.metadata.get("choices"):
        choices = read_registry(item.metadata["choices"])
    if choices:
        help = f"{help} One of {', '.join(map(str, choices))}."
    having, others = _guests_with(section, name)
    of = ", ".join(_span(names) for names, _ in having)
    return f"Of {of}: {help}" if having and others else help


def _guests_with(section, name):
    """List the guests that have an option.

    Returns:
      (list of (names, default), bool): names of guests that share a class of options,
      and its default; whether other guests do not have the option.
    """
    first, _, option = name.rpartition(".")
    item = _field(section, first) if first else None
    if item is None or "registry" not in item.metadata or option == "name":
        return [], False
    classes = {}
    for key, value in read_registry(item.metadata["registry"]).items():
        shown = f"{key}NAME" if key.endswith(":") else key
        classes.setdefault(value.Options, []).append(shown)
    having = [
        (names, field.default)
        for own, names in classes.items()
        for field in dataclasses.fields(own)
        if field.name == option
    ]
    return having, len(having) < len(classes)


def _span(names):
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]}"


def _defaults(part, preset):
    """Map the dotted name of each option to its default as text."""
    section = part.section
    values = {
        name: item.metadata.get("default", item.default)
        for _, name, item, _ in part.options()
    }
    for item in dataclasses.fields(section):
        if item.default_factory is not dataclasses.MISSING:
            inner = flatten(item.default_factory())
            values |= {f"{item.name}.{name}": value for name, value in inner.items()}
    if preset:
        values |= flatten(get_preset(preset))
    return {
        name: part.defaults.get(name) or _default_text(section, name, values)
        for name in values
    }


def _default_text(section, name, values):
    """Format a default; where guests differ, the default of each."""
    having, _ = _guests_with(section, name)
    chosen = values.get(f"{name.rpartition('.')[0]}.name")
    found = {}
    for names, default in having:
        text = _value_text(values[name] if chosen in names else default)
        found.setdefault(text, []).append(_span(names))
    if len(found) < 2:
        return next(iter(found), _value_text(values[name]))
    return ", ".join(f"{text} ({', '.join(of)})" for text, of in found.items())


def _value_text(value):
    if value is None or value == "":
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "unset"
    return f"{value:g}" if isinstance(value, float) else str(value)
