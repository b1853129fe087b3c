"""The record of a conversion: all variables with their shapes, or an error."""

from __future__ import annotations

import dataclasses
import math
import typing

import numpy as np

from simclr_tf.errors import SimCLRError
from simclr_tf.markdown import code_span, prose, table_cell


class ConversionError(SimCLRError):
    """The variables of a source are not exactly those of a known network."""


@dataclasses.dataclass(frozen=True)
class SourceModel:
    """A network read from a source, with our names.

    Attributes:
      kind: str, e.g. "google_tf2".
      path: str, the path of the source.
      architecture: Architecture.
      variables: dict of our name, e.g. "encoder/initial_conv/kernel", to tf.Variable.
      objects: dict of the names in a run's checkpoint to the layers that hold them.
      names: dict of our name to the source's, in the order of the forward pass.
      left_out: list of (source name, shape, reason).
      step: int, number of updates if the source has it; else 0.
    """

    kind: str
    path: str
    architecture: typing.Any
    variables: dict
    objects: dict
    names: dict
    left_out: list
    step: int = 0

    def rows(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """List (source name, our name, shape) of every converted variable."""
        return [
            (there, here, tuple(self.variables[here].shape))
            for here, there in self.names.items()
        ]


def check_account(names, expected, stored, left_out, *, describe=None):
    """Raise unless names, shapes and the stored variables fit exactly.

    Args:
      names: dict of our name to the source's.
      expected: dict of our name to the shape that the network needs.
      stored: dict of source name to shape: all variables of the source.
      left_out: collection of source names that are left out on purpose.
      describe: function of a source name to its text in messages.

    Raises:
      ConversionError: missing, misshapen or surplus variables; the message counts them
        and names the first.

    Example:
      >>> check_account({"encoder/a": "a"}, {"encoder/a": (2,)}, {"a": (2,)}, [])
      >>> check_account({"encoder/a": "a"}, {"encoder/a": (2,)}, {"a": (3,)}, [])
      Traceback (most recent call last):
      ...
      simclr_tf.export.conversion.account.ConversionError: 1 variable of the source \
has another shape than the network found; the first: a is (3,), encoder/a must be \
(2,). Nothing was written.
    """
    describe = describe or (lambda name: name)
    missing = [here for here in expected if names.get(here) not in stored]
    if missing:
        here = missing[0]
        raise missing_variables(
            len(missing), describe(names.get(here)), here, expected[here]
        )
    misshaped = [
        here for here in expected if tuple(stored[names[here]]) != tuple(expected[here])
    ]
    if misshaped:
        here = misshaped[0]
        raise ConversionError(
            f"{_count(misshaped, 'has', 'have')} another shape than the network found; "
            f"the first: {describe(names[here])} is {tuple(stored[names[here]])}, "
            f"{here} must be {tuple(expected[here])}. Nothing was written."
        )
    taken = {names[here] for here in expected}
    surplus = [name for name in stored if name not in taken and name not in left_out]
    if surplus:
        raise ConversionError(
            f"{_count(surplus, 'has', 'have')} no place in the network found; the "
            f"first: {describe(surplus[0])} {tuple(stored[surplus[0]])}. Nothing was "
            "written. To leave them out, give the beginning of their names to "
            "--leave_out."
        )


def missing_variables(number, there, here, shape=None):
    """Make the error for variables that are missing in the source."""
    needed = f"{here} {tuple(shape)}" if shape is not None else here
    return ConversionError(
        f"{number} {'variable is' if number == 1 else 'variables are'} missing in the "
        f"source; the first: {there}, needed for {needed}. Nothing was written."
    )


def kernel_shape(name, shape, rank):
    """Return the shape of a kernel that helps to identify the network, else None.

    Args:
      name: str, of the source.
      shape: tuple.
      rank: int, 4 of a convolution, 2 of a dense layer.

    Returns:
      tuple of ints >= 1.

    Raises:
      ConversionError: another rank, or an empty kernel.
    """
    if len(shape) != rank or min(shape) < 1:
        raise ConversionError(
            f"{name} of the source must be a kernel with {rank} axes, but its shape is "
            f"{shape}. Nothing was written."
        )
    return shape


def check_finite(value, name):
    """Raise if an array holds a NaN or an infinity.

    Raises:
      ConversionError: a value is not finite.
    """
    if not np.isfinite(value).all():
        raise ConversionError(
            f"{name} of the source holds values that are not finite. Nothing was "
            "written."
        )


def account_record(source):
    """Return the record of a conversion as plain values, for conversion.json."""
    return {
        "format": "simclr_tf.conversion/1",
        "source": {"kind": source.kind, "path": source.path, "step": source.step},
        "architecture": dataclasses.asdict(source.architecture),
        "variables": [
            {"source": there, "target": here, "shape": list(shape)}
            for there, here, shape in source.rows()
        ],
        "left_out": [
            {"source": name, "shape": list(shape), "reason": reason}
            for name, shape, reason in source.left_out
        ],
    }


def account_markdown(source, *, title, notes=()):
    """Return the record of a conversion as a page, for conversion.md.

    Args:
      source: SourceModel.
      title: str.
      notes: paragraphs of Markdown, before the tables.

    Returns:
      str.
    """
    rows = source.rows()
    total = sum(math.prod(shape) for _, _, shape in rows)
    lines = [
        f"# {prose(title)}",
        "",
        f"Read as {source.kind} from {code_span(source.path)}: "
        f"{source.architecture.describe()}.",
        "",
    ]
    for note in notes:
        lines += [note, ""]
    lines += [
        "## Variables",
        "",
        f"{len(rows)} variables, {total:,} numbers.",
        "",
        "| source | here | shape |",
        "|---|---|---|",
    ]
    lines += [
        f"| {table_cell(code_span(there))} | {table_cell(code_span(here))} "
        f"| {list(shape)} |"
        for there, here, shape in rows
    ]
    if source.left_out:
        lines += [
            "",
            "## Left out",
            "",
            "| source | shape | because |",
            "|---|---|---|",
        ]
        lines += [
            f"| {table_cell(code_span(name))} | {list(shape)} | {table_cell(reason)} |"
            for name, shape, reason in source.left_out
        ]
    return "\n".join([*lines, ""])


def _count(names, one, many):
    return (
        f"1 variable of the source {one}"
        if len(names) == 1
        else f"{len(names)} variables of the source {many}"
    )
