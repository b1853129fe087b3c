"""Flags generated from the options of a verb's sections.

The value of an option comes from the last of these that sets it: the defaults (of
`--preset` if the verb has it), `--config=FILE`, the flags.
"""

import dataclasses
import pathlib
import shlex

from absl import flags

from simclr_tf.config.moved import flat_names, flat_with_present_names
from simclr_tf.config.schema import (
    dotted,
    flag_name,
    guest_class,
    hints_of,
    known_options,
    override,
    unknown_option,
    walk_options,
)
from simclr_tf.config.values import item_type, parsed, value_type
from simclr_tf.errors import ConfigError, received_text
from simclr_tf.limits import read_json

CONFIG = "config"
# Where a verb's options are in the files that verbs write.
_KEYS = ("options", "distillation", "settings")
_KEYS_OF_A_RUN = ("config",)


@dataclasses.dataclass(frozen=True)
class FlagsOf:
    """The options of a section that a verb takes as flags.

    Attributes:
      section: section class.
      without: dotted names of options without a flag.
      only: beginnings of the dotted names that have a flag; () for all.
      preset: bool, whether `--preset` gives the defaults.
      defaults: dict of dotted name to the default that `--help` shows, where it differs
        from the option's.
    """

    section: type
    without: tuple = ()
    only: tuple = ()
    preset: bool = False
    defaults: dict = dataclasses.field(default_factory=dict)

    def options(self):
        """List the options with a flag, as (flag, dotted name, field, annotation)."""
        for name, item, hint in walk_options(self.section):
            flag = flag_name(name, item)
            is_wanted = not self.only or name.startswith(self.only)
            if flag is not None and is_wanted and name not in self.without:
                yield flag, name, item, hint


def flags_of(sections):
    """Wrap each section class that is not yet a FlagsOf."""
    return [s if isinstance(s, FlagsOf) else FlagsOf(s) for s in sections]


class _Flag(flags.Flag):
    """A flag that keeps every text given for it."""

    def __init__(self, name, *, boolean=False, kind="value", joined=None):
        self.texts, self.kind, self.joined = [], kind, joined
        super().__init__(
            flags.ArgumentParser(), None, name, None, name, boolean=boolean
        )

    def parse(self, argument):
        if self.joined and self.texts:
            self.texts[0] += f"{self.joined}{argument}"
        else:
            self.texts.append(argument)
        super().parse(argument)


def define(sections):
    """Define `--config` and a flag for every option.

    Args:
      sections: section classes or FlagsOf.

    Returns:
      flags.FlagValues, nothing parsed yet.
    """
    values = flags.FlagValues()
    flags.DEFINE_flag(_Flag(CONFIG), values)
    for part in flags_of(sections):
        for name, _, item, hint in part.options():
            kind = "list" if item_type(hint) else "value"
            if item.metadata.get("additive"):
                kind = "additive"
            boolean = value_type(hint) is bool
            flag = _Flag(
                name, boolean=boolean, kind=kind, joined=item.metadata.get("joined")
            )
            flags.DEFINE_flag(flag, values)
    return values


class Given:
    """The options given on a verb's command line and in its `--config` file.

    Args:
      verb: str.
      sections: section classes or FlagsOf.
      values: `flags.FlagValues` of `define`, parsed.
      arguments: list of str, the parsed arguments.

    Attributes:
      command: str, the typed command, quoted for a shell.
      typed: dict of dotted name to text, of the flags.
      file: dict of dotted name to value, of the file of `--config`.

    Raises:
      ConfigError: a flag is given twice, or the file cannot be read or has options
        that no section of the verb has.
    """

    def __init__(self, verb, sections, values, arguments):
        self.command = shlex.join(["simclr-tf", verb, *arguments])
        self._parts = flags_of(sections)
        for name in values:
            _require_once(name, values[name])
        self.typed = {
            name: values[flag].texts if values[flag].kind == "additive" else text
            for part in self._parts
            for flag, name, _, _ in part.options()
            for text in values[flag].texts[:1]
        }
        path = values[CONFIG].texts
        self.file = self._of_file(path[0]) if path else {}

    def has(self, name):
        """Tell whether an option is given, by its flag or in the file.

        Args:
          name: str, dotted.
        """
        return name in self.typed or name in self.file

    def make(self, section, start=None, translate=lambda typed, file: typed):
        """Make a section with the options that the file and the flags set.

        Args:
          section: section class, one of the verb's.
          start: instance of it; its defaults if None.
          translate: function of the typed options and those of the file, both dicts by
            dotted name; returns the typed options to use.

        Returns:
          An instance of the class.

        Raises:
          ConfigError: a value that an option refuses.
        """
        start = section if start is None else start
        part = next(part for part in self._parts if part.section is section)
        own = {name for _, name, _, _ in part.options()}
        file = {
            name: value
            for name, value in self.file.items()
            if _has_field(section, name) and name not in part.without
        }
        typed = {name: text for name, text in self.typed.items() if name in own}
        typed = dotted(section, translate(typed, file))
        changes = {**_without_other_guests(start, file, typed), **typed}
        # The names of guests come first: which options exist depends on them.
        names = {
            name.removesuffix(".name"): value
            for name, value in changes.items()
            if name.endswith(".name") and _has_field(section, name)
        }
        hints = hints_of(start, names)
        return override(
            start,
            {name: parsed(v, hints.get(name, str)) for name, v in changes.items()},
        )

    def _of_file(self, path):
        """Read the options of a file as dotted names, each of one of the sections."""
        sections = [part.section for part in self._parts]
        is_run = any(_has_field(section, "objective") for section in sections)
        options = read_options(path, _KEYS_OF_A_RUN if is_run else _KEYS)
        flat = {}
        for name, value in flat_with_present_names(flat_names(options)).items():
            owner = next((s for s in sections if _has_field(s, name)), None)
            if owner is None:
                known = [n for section in sections for n in known_options(section)]
                raise unknown_option(name, known)
            flat |= dotted(owner, {name: value})
        return flat


def _require_once(name, flag):
    if flag.kind == "additive" or len(flag.texts) < 2:
        return
    times = "twice" if len(flag.texts) == 2 else f"{len(flag.texts)} times"
    way_out = ", with commas between" if flag.kind == "list" else ""
    raise ConfigError(
        f"--{name} is given {times}: {' and '.join(flag.texts)}. Give it once{way_out}."
    )


def _has_field(section, name):
    first = name.partition(".")[0]
    return any(item.name == first for item in dataclasses.fields(section))


def _without_other_guests(start, file, typed):
    """Drop the file's options of a guest that a flag replaces by another guest."""
    for item in dataclasses.fields(start):
        name = f"{item.name}.name"
        if "registry" not in item.metadata or name not in typed:
            continue
        theirs = guest_class(start, item, file.get(name))
        if guest_class(start, item, typed[name]) is not theirs:
            file = {
                key: value
                for key, value in file.items()
                if not key.startswith(f"{item.name}.")
            }
    return file


def read_options(path, keys):
    """Read the options in a JSON file: all of it, or what is under one of the keys.

    Args:
      path: path of the file, or of a folder with config.json.
      keys: names under which verbs keep their options.

    Returns:
      dict, nested or flat.

    Raises:
      ConfigError: the file is missing, or is not JSON with options.
    """
    path = pathlib.Path(path).expanduser()
    path = path / "config.json" if path.is_dir() else path
    try:
        record = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read --config={path}: {error}.") from error
    if isinstance(record, dict) and {"study", "base"} <= set(record):  # study.json
        return {"study": record["study"], "budget": record["budget"], **record["base"]}
    while isinstance(record, dict):
        parts = [record[key] for key in keys if isinstance(record.get(key), dict)]
        if not parts:
            return record
        record = parts[0]
    raise ConfigError(
        f"--config={path} must hold an object of options, as config.json does. "
        + received_text(type=type(record).__name__)
    )
