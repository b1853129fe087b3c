"""Warm start from the weights of another run, with a list of the loaded variables.

Variables are matched by name, then by shape. If the names cannot be used (in a user's
own network Keras numbers the layers differently in every process), variables are
matched by their order, if both networks have the same kinds of variables in the same
order.
"""

import dataclasses
import json
import logging
import math

import tensorflow as tf

from simclr_tf.errors import ConfigError, WorkdirError, require
from simclr_tf.files import write_atomically
from simclr_tf.limits import read_json
from simclr_tf.optim.wrappers import Wrapped
from simclr_tf.training.path_contents import inspect_path
from simclr_tf.training.stored_weights import (
    ENCODER,
    HEAD,
    open_stored_weights,
    plain_name,
)
from simclr_tf.training.workdir import WARM_START_FILE

LOG = logging.getLogger("simclr_tf")
# Options of encoders that change features and no variable.
_WITHOUT_VARIABLES = ("input_normalization", "symmetric_max_pool")
PARTS = {"encoder": (ENCODER,), "encoder_and_head": (ENCODER, HEAD)}

OTHER_SHAPE = "the shape differs"
NOT_THERE = "missing in the source"
ONLY_THERE = "only in the source"
_LINES = 12  # Most lines on the screen about variables that were not loaded.


@dataclasses.dataclass(frozen=True)
class VariableMatch:
    """One variable: its shapes in this run and in the source; whether it was loaded.

    Attributes:
      part: "encoder" or "projection_head".
      name: str.
      here, there: shape, or None if there is no such variable.
      reason: str, why it was not loaded; None if it was.
    """

    part: str
    name: str
    here: tuple | None
    there: tuple | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """The origin of the weights of a run's step 0.

    Attributes:
      source: StoredWeights.
      parts: tuple of the requested parts.
      rows: list of VariableMatch.
      anew: tuple of str, the objective's own parts, of which nothing was loaded.
    """

    source: object
    parts: tuple
    rows: list
    anew: tuple = ()

    def parameters(self, part):
        """Count (loaded, all) parameters of one part of this run."""
        own = [row for row in self.rows if row.part == part and row.here is not None]
        return (
            sum(math.prod(row.here) for row in own if row.reason is None),
            sum(math.prod(row.here) for row in own),
        )

    def table(self):
        """Return lines for the screen: each part's count, the variables not loaded."""
        step = "" if self.source.step is None else f" (step {self.source.step:,})"
        lines = [f"Warm start  from {self.source.path}{step}"]
        lines += [f"            {line}" for line in self.summary()]
        left = [row for row in self.rows if row.reason is not None]
        if left:
            cells = [("not taken", "here", "there", "because")] + [
                (
                    f"{row.part}/{row.name}",
                    _shape_text(row.here),
                    _shape_text(row.there),
                    row.reason,
                )
                for row in left[:_LINES]
            ]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            lines += [
                "            "
                + "  ".join(
                    cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                ).rstrip()
                for line in cells
            ]
        if len(left) > _LINES:
            lines.append(f"            ... and {len(left) - _LINES} more")
        return "\n".join(lines)

    def summary(self):
        """Yield one line a part: how many parameters were loaded, or that none were."""
        for part in (ENCODER, HEAD):
            if part not in self.parts:
                yield f"{part}: starts fresh (--init_parts=encoder)"
                continue
            own = [
                row for row in self.rows if row.part == part and row.here is not None
            ]
            taken = sum(row.reason is None for row in own)
            parameters, total = self.parameters(part)
            yield (
                f"{part}: {taken} of {len(own)} variables, {parameters:,} of "
                f"{total:,} parameters taken"
            )
        if self.anew:
            yield f"objective: its own state starts anew ({', '.join(self.anew)})"

    def record(self):
        """Return everything as plain values, for warm_start.json."""
        source = self.source
        return {
            "source": source.path,
            "kind": source.kind,
            "step": source.step,
            "sha256": source.sha256,
            "parts": list(self.parts),
            "summary": list(self.summary()),
            "variables": [dataclasses.asdict(row) for row in self.rows],
        }


def warm_start(model, path, parts="encoder"):
    """Load the weights at a path into a fresh model, as far as they fit.

    Batch norm's moving statistics are loaded too. Variables that do not fit keep their
    initial values; so do the objective's own state, the online probe and the optimizer:
    the run begins at step 0. Averaged copies of encoder and head follow them.

    Args:
      model: PretrainingModel, built; under its own strategy's scope or none.
      path: as in `inspect_path`.
      parts: "encoder" or "encoder_and_head".

    Returns:
      WarmStart, the list of what was loaded.

    Raises:
      DataError, WorkdirError: nothing loadable at the path.
      ConfigError: no variable of the encoder fits.
    """
    source = open_stored_weights(path)
    rows, pairs = [], []
    for part in PARTS[parts]:
        in_order = source.kind == "checkpoint"
        own = _variables_of(getattr(model, part), depth_first=in_order)
        for variable, stored in _matched(own, source.parts.get(part, [])):
            rows.append(_row(part, variable, stored))
            if rows[-1].reason is None:
                pairs.append((variable, stored))
    result = WarmStart(source, PARTS[parts], rows, _own_parts(model.objective))
    _check_useful(result)
    for variable, stored in pairs:
        variable.assign(tf.cast(stored.read(), variable.dtype))
    model.objective.weights_loaded()
    if isinstance(model.optimizer, Wrapped):
        model.optimizer.weights_loaded(model.trainable_variables)
    taken, total = result.parameters(ENCODER)
    if taken < total:
        LOG.warning(
            "Only %s of %s parameters of the encoder come from %s; the others "
            "keep their initial values.",
            f"{taken:,}",
            f"{total:,}",
            source.path,
        )
    return result


def check_same_network(options, path, *, section="encoder"):
    """Refuse weights of a network that differs where no variable shows it.

    Args:
      options: EncoderOptions of the network that takes the weights.
      path: as in `inspect_path`.
      section: str, of the options' flags.

    Raises:
      ConfigError: its images are scaled or its maps padded in another way.
      DataError, WorkdirError: nothing loadable at the path.
    """
    source = inspect_path(path).config()
    if source is None:
        return
    for name in _WITHOUT_VARIABLES:
        here, there = (getattr(o, name, None) for o in (options, source.encoder))
        require(
            here == there or None in (here, there),
            f"The network of --init_from has {name}={there}: use "
            f"--{section}.{name}={there}.",
            **{name: here},
        )


def write_warm_start(folder, result):
    """Write the record of a warm start into a run's folder.

    Args:
      folder: pathlib.Path.
      result: WarmStart.
    """
    text = json.dumps(result.record(), indent=1)
    write_atomically(folder / WARM_START_FILE, text)


def read_warm_start(folder):
    """Read the record of `write_warm_start`; None if there is none.

    Args:
      folder: pathlib.Path.

    Returns:
      dict with source, kind, step, parts, summary, variables.

    Raises:
      WorkdirError: the file is damaged.
    """
    path = folder / WARM_START_FILE
    if not path.is_file():
        return None
    try:
        record = read_json(path)
        record["source"], record["step"], record["summary"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkdirError(f"Cannot read {path}: it is damaged.") from error
    return record


def _variables_of(layer, *, depth_first):
    """Return a layer's variables in the order of the source."""
    if not depth_first:
        return list(layer.variables)
    view = tf.train.TrackableView(layer)
    found, seen, pending = [], set(), [layer]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, tf.Variable):
            found.append(node)
        else:
            pending += reversed(list(view.children(node).values()))
    return found


def _own_parts(objective):
    """Name the parts of an objective that hold variables."""
    names, seen = [], set()
    children = tf.train.TrackableView(objective).children(objective)
    for name, child in children.items():
        found = {id(variable) for variable in _variables_of(child, depth_first=True)}
        if found - seen:  # Keras tracks a variable by its attribute and by its name.
            names.append(name)
        seen |= found
    return tuple(names)


def _matched(own, stored):
    """Pair each variable with its StoredVariable; either may be None."""
    if _names(own) != _names(stored) and _kinds(own) == _kinds(stored):
        return list(zip(own, stored, strict=True))
    by_name = {}
    for variable in stored:
        by_name.setdefault(variable.name, []).append(variable)
    pairs = []
    for variable in own:
        found = by_name.get(plain_name(variable), [])
        pairs.append((variable, found.pop(0) if found else None))
    return pairs + [(None, v) for found in by_name.values() for v in found]


def _names(variables):
    return sorted(plain_name(variable) for variable in variables)


def _kinds(variables):
    """Return the kinds of variables without layer numbers: `kernel` of rank 4, ..."""
    return [(plain_name(v).rpartition("/")[-1], len(v.shape)) for v in variables]


def _row(part, variable, stored):
    name = stored.name if variable is None else plain_name(variable)
    here = None if variable is None else tuple(variable.shape)
    there = None if stored is None else stored.shape
    reason = None
    if variable is None:
        reason = ONLY_THERE
    elif stored is None:
        reason = NOT_THERE
    elif here != there:
        reason = OTHER_SHAPE
    return VariableMatch(part, name, here, there, reason)


def _check_useful(result):
    """Refuse a source if no variable of the encoder fits."""
    rows = [row for row in result.rows if row.part == ENCODER]
    if any(row.reason is None for row in rows):
        return
    where = f"No variable of the encoder in {result.source.path} fits this run's"
    example = next((row for row in rows if row.reason == OTHER_SHAPE), None)
    if example is not None:
        raise ConfigError(
            f"{where}: {example.name} has the shape {_shape_text(example.here)} here "
            f"and {_shape_text(example.there)} there. Give --encoder "
            "and its options the values in that run's config.json."
        )
    there = next((row.name for row in rows if row.reason == ONLY_THERE), "nothing")
    here = next((row.name for row in rows if row.here is not None), "nothing")
    raise ConfigError(
        f"{where}: no variable has the same name (here e.g. {here}, "
        f"there e.g. {there}). Give --encoder and its "
        "options the values in that run's config.json."
    )


def _shape_text(shape):
    """Format (3, 3, 3, 64) as `3x3x3x64`."""
    if shape is None:
        return "-"
    return "x".join(map(str, shape)) or "scalar"
