"""How a case follows from its number.

`make_case` copies what one command reads, changes it or the flags, and depends on
nothing but the seed and the number.
"""

import dataclasses
import importlib
import random
import shutil
import signal

from simclr_tf.config.values import value_type
from simclr_tf.tools.config_flags import flags_of
from tests.fuzz import mutators
from tests.fuzz.commands import COMMANDS, SMALL

# Numbers that ask for work are never huge: such a command is honest, and long.
_WORK = (
    *("steps", "epochs", "rounds", "batch", "seeds", "pixels", "width", "features"),
    *("layers", "draws", "num_", "sizes", "replicas", "threads", "files", "images"),
    *("dimension", "length", "prototypes", "patches", "keep", "timeout", "crops"),
    *("chunk", "hidden", "depth", "blocks", "heads", "every", "k_", "degrees"),
)
_NUMBERS_IN_FLAGS = ("0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e400", "x", "")
_LARGE = ("1e30", str(2**31), str(2**62), "9" * 20)
_TEXTS = (
    *("", " ", "none", "nowhere", "nowhere/deeper", "own.npz", "own.npz/x", "run"),
    *("x" * 300, "lr[0.1]", "a\\b", "a*b?", "~nobody/x", "\u00fcn\u00ef", "a\nb"),
    *("\x1b[31mred", "\udcff", "-", "--", ",", ",,a", "zoo:nothing", "folder:pictures"),
    *("folder:", "npz:", "npz:nowhere", ":", "tfds:nothing", "tfds:../..", "1,2,x"),
    *("train[:200%]", "train[:0]", "train[-1:]", "test+test", "[1]", '{"a": 1}'),
)


@dataclasses.dataclass
class Case:
    """One command of the fuzz.

    Attributes:
      arguments: list of str, after `simclr-tf`.
      changes: list of str, what is unusual about it.
      sent: int, a signal that it is sent, or None.
      after_seconds: float, when.
    """

    arguments: list
    changes: list
    sent: int | None = None
    after_seconds: float = 0.0

    def __str__(self):
        arguments = " ".join(ascii(argument)[1:-1] for argument in self.arguments)
        return "\n    ".join([f"  simclr-tf {arguments}", *self.changes])


def make_case(seed, number, inputs, folder, *, trained=True):
    """Make a case in a folder of its own.

    Args:
      seed, number: int; the same two give the same case.
      inputs: pathlib.Path of `make_inputs`.
      folder: pathlib.Path, made anew.
      trained: bool; False takes one of `SMALL`.

    Returns:
      Case.
    """
    rng = random.Random(f"{seed}/{number}")
    commands = COMMANDS if trained else SMALL
    command = rng.choices(commands, [command.weight for command in commands])[0]
    case = unchanged(command, inputs, folder)
    way = rng.choices(("files", "flags", "both", "signal"), (60, 30, 6, 4))[0]
    if way == "signal":
        case.sent = rng.choice((signal.SIGTERM, signal.SIGINT))
        case.after_seconds = rng.uniform(0.0, 4.0)
        case.changes = [f"signal {case.sent} after {case.after_seconds:.1f} s"]
    if way in ("files", "both"):
        for pattern in rng.sample(list(command.files), min(2, len(command.files))):
            if not case.changes or rng.random() < 0.3:
                kind = command.files[pattern]
                case.changes.append(_change_a_file(rng, folder, pattern, kind))
    if way in ("flags", "both") or not case.changes:
        _change_flags(rng, case, command.fixed)
    return case


def unchanged(command, inputs, folder):
    """Make the case of a Command as it stands, which succeeds."""
    folder.mkdir()
    for name in command.needs:
        _copy(inputs / name, folder / name)
    return Case(list(command.arguments), [])


def _copy(source, target):
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _change_a_file(rng, folder, pattern, kind):
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        return f"{pattern}: nothing"
    path = rng.choice(found)
    told = mutators.change(rng, path, kind)
    return f"{path.relative_to(folder)}: {told}"


def _change_flags(rng, case, fixed):
    sections = importlib.import_module(f"simclr_tf.tools.{case.arguments[0]}").SECTIONS
    options = [
        option
        for part in flags_of(sections)
        for option in part.options()
        if option[0] != fixed
    ]
    for _ in range(rng.choice((1, 1, 1, 2))):
        odds = rng.random()
        flag, _, _, hint = rng.choice(options)
        # Without its config, a run would take the minutes of the defaults.
        free = [a for a in case.arguments[1:] if not a.startswith("--config=")]
        if odds < 0.05 and not fixed and free:
            case.arguments.remove(rng.choice(free))
            change = "one flag less"
        elif odds < 0.1:
            change = rng.choice((f"--{flag}", f"--no{flag}", "stray", f"--{flag}x=1"))
            case.arguments.append(change)
        else:
            change = f"--{flag}={_value(rng, flag, hint)}"
            case.arguments = [a for a in case.arguments if not _is_of(a, flag)]
            case.arguments.append(change)
        case.changes.append(change)


def _value(rng, flag, hint):
    if value_type(hint) in (int, float):
        is_work = any(word in flag for word in _WORK)
        return rng.choice(_NUMBERS_IN_FLAGS + (() if is_work else _LARGE))
    return rng.choice(_TEXTS + _NUMBERS_IN_FLAGS)


def _is_of(argument, flag):
    return argument.partition("=")[0] in (f"--{flag}", f"--no{flag}")


def may_stay(case):
    """Tell which paths a command that did not succeed may have made or changed.

    Args:
      case: Case.

    Returns:
      function of a path relative to the case's folder.
    """
    if not case.sent:
        return lambda path: False
    # Interrupted: results so far stay; an export or a student is whole or not there.
    whole = case.arguments[0] in ("export", "distill", "convert_checkpoint")
    return lambda path: not whole and not path.startswith("tmp/")
