"""Errors that a user can correct, and their messages.

Every mistake of a user is a `SimCLRError`. The tools turn these errors into one line
and exit code 2; any other exception is a bug and keeps its traceback. Messages name the
rule, the received value and, if there is one, the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class SimCLRError(Exception):
    """An error that the user can correct, with a message of one line."""

    # Without this, TensorFlow's autograph would replace an error that is raised while a
    # step is traced.
    ag_pass_through = True


class ConfigError(SimCLRError, ValueError):
    """An invalid value: a hyper-parameter, a flag, an argument."""


class DataError(SimCLRError, ValueError):
    """Images or labels that cannot be found, read or used.

    Attributes:
      name: str, the data set, where it is refused for its unreadable files.
      left_out: dict of file to reason, all of those files; else empty.
    """

    def __init__(
        self, message: str, *, name: str = "", left_out: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.name, self.left_out = name, left_out or {}

    def restated(self, message: str) -> DataError:
        """Return the same error with another message."""
        return DataError(message, name=self.name, left_out=self.left_out)


class WorkdirError(SimCLRError):
    """A run folder that cannot be written, read, or belongs to another run."""


class InUseError(WorkdirError):
    """A folder that another process is writing at this moment."""


class NonFiniteError(SimCLRError, ArithmeticError):
    """Training produced a NaN or an infinity."""


class ClusterError(SimCLRError):
    """Devices or workers are missing, or do not fit together."""


class LostPeerError(ClusterError):
    """Another worker stopped answering in the middle of a run."""


class Interrupted(KeyboardInterrupt):
    """A signal stopped the training, after the state was saved.

    This is not a `SimCLRError`: like Ctrl-C, it passes through `except Exception`.

    Attributes:
      exit_code: int, 128 + the signal's number, as shells and schedulers expect.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def require(condition: Any, rule: str, **received: Any) -> None:
    """Raise `ConfigError` with the rule and the received values unless `condition`.

    Args:
      condition: bool.
      rule: str, a full sentence, with the remedy if there is one.
      **received: the values that broke the rule, by the names that the user knows.

    Raises:
      ConfigError: when `condition` is false.

    Example:
      >>> require(1 < 2, "Never raised.")
    """
    if not condition:
        raise ConfigError(f"{rule} {received_text(**received)}")


def received_text(**received: Any) -> str:
    """Return `Received: a=1, b='x'.`: the closing words of every message."""
    values = ", ".join(f"{name}={value!r}" for name, value in received.items())
    return f"Received: {values}."


def unknown_choice(name: str, value: object, choices: Iterable[Any]) -> ConfigError:
    """Make the error for an unknown choice, with the nearest names and all names.

    Args:
      name: str, name of the option, as the user writes it.
      value: the received value.
      choices: iterable of the allowed values.

    Returns:
      ConfigError, to be raised by the caller.

    Example:
      >>> str(unknown_choice("depth", 51, [50, 101]))
      'Unknown `depth`. Did you mean 50? Choices: 50, 101. Received: depth=51.'
    """
    names = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(value), names, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return ConfigError(
        f"Unknown `{name}`.{hint} Choices: {', '.join(names)}. "
        + received_text(**{name: value})
    )
