"""Results of an evaluation: one JSON schema for every protocol.

All accuracies are in percent, as the names of the metrics show.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any

from simclr_tf.array_types import StrPath
from simclr_tf.errors import DataError, WorkdirError, require
from simclr_tf.files import write_atomically
from simclr_tf.limits import is_number, read_json

SCHEMA = "simclr_tf.evaluation"
SCHEMA_VERSION = 1
EVALUATION_FILE = "evaluation.json"
FINETUNE_FILE = "finetune.json"
TRANSFER_FILE = "transfer.json"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One metric of one representation under one protocol.

    Attributes:
      representation: str, what was measured: "this encoder", "raw pixels", ...
      protocol: str, "weighted_knn", "linear_probe", "few_label_ridge", ...
      metric: str with its unit, "accuracy_percent".
      value: float, the mean where there are several draws.
      num_test: int, test images.
      num_train_labels: int, labels that the classifier used (of one draw); None if not
        known.
      num_features: int, length of a feature vector; None if there is none.
      low_95, high_95: floats, 95 % interval for the test images being a sample
        (Wilson); None for means over draws.
      std: float, sample standard deviation over the draws; None for one draw.
      settings: dict, of the protocol: k, temperature, l2 and its sweep, draws, ...
      wall_seconds: float, fitting and testing, without the features.
    """

    representation: str
    protocol: str
    metric: str
    value: float
    num_test: int
    num_train_labels: int | None
    num_features: int | None = None
    low_95: float | None = None
    high_95: float | None = None
    std: float | None = None
    settings: dict = dataclasses.field(default_factory=dict)
    wall_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Results:
    """The measurements of one evaluation, and how to repeat it.

    Attributes:
      data: str, name of the labelled images.
      encoder: str, name or path of the encoder.
      measurements: tuple of Measurement.
      command: str, the command of the evaluation.
      options: dict, JSON: the options of the verb; {} if not kept.
      versions: dict of package to version.
      wall_seconds: float, the whole evaluation.
      step: int, updates the encoder was trained for; None if not known.
      not_measured: dict of str to str: what the labels were too few for, and why.
    """

    data: str
    encoder: str
    measurements: tuple
    command: str | None = None
    options: dict = dataclasses.field(default_factory=dict)
    versions: dict = dataclasses.field(default_factory=dict)
    wall_seconds: float | None = None
    step: int | None = None
    not_measured: dict = dataclasses.field(default_factory=dict)

    def find(self, representation: str, protocol: str) -> Measurement | None:
        """Return the measurement of a representation under a protocol, or None."""
        for measurement in self.measurements:
            if (measurement.representation, measurement.protocol) == (
                representation,
                protocol,
            ):
                return measurement
        return None


def wilson_interval(
    successes: int, trials: int, z: float = 1.959963984540054
) -> tuple[float, float]:
    """Return Wilson's interval for a proportion, which is valid near 0 and 1 too.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), p = successes / n.

    Args:
      successes: int in [0, trials].
      trials: int n >= 1.
      z: float > 0, normal quantile (default: 95 %).

    Returns:
      (low, high), fractions in [0, 1].

    Raises:
      ConfigError: counts outside their range.

    Example:
      >>> low, high = wilson_interval(81, 263)
      >>> round(low, 4), round(high, 4)
      (0.2553, 0.3662)

    Source: Wilson (1927); the example is from Newcombe (1998), Table I.
    """
    require(
        trials >= 1 and 0 <= successes <= trials,
        "`successes` must be in [0, trials], and `trials` be >= 1.",
        successes=successes,
        trials=trials,
    )
    fraction = successes / trials
    spread = z * math.sqrt(
        fraction * (1 - fraction) / trials + z * z / (4 * trials * trials)
    )
    middle = fraction + z * z / (2 * trials)
    scale = 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def write_results(path: StrPath, results: Results) -> None:
    """Write results as JSON; a reader sees the old file or the whole new one.

    Args:
      path: path of the file; its folder is made.
      results: Results.

    Raises:
      WorkdirError: if it cannot be written; nothing is left behind.

    Example:
      >>> import tempfile, pathlib
      >>> results = Results("mine", "resnet18", ())
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "evaluation.json"
      >>> write_results(path, results)
      >>> read_results(path) == results
      True
    """
    path = pathlib.Path(path)
    record = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        **dataclasses.asdict(results),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkdirError(f"Cannot write {path}: {error.strerror}.") from error
    write_atomically(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def read_results(path: StrPath) -> Results:
    """Read the file of `write_results`.

    Args:
      path: path of the file.

    Returns:
      Results.

    Raises:
      DataError: no such file, not JSON, another schema, or a newer version of it.
    """
    path = pathlib.Path(path)
    try:
        record = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read results from {path}: {error}") from error
    if not isinstance(record, dict) or record.pop("schema", None) != SCHEMA:
        raise DataError(f"{path} holds no results of an evaluation.")
    version = record.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has version {version} of the schema; this program reads version "
            f"{SCHEMA_VERSION}. Evaluate again with this program."
        )
    return results_of_record(record, path)


def results_of_record(record: dict[str, Any], origin: StrPath) -> Results:
    """Build Results from their `dataclasses.asdict`.

    Args:
      record: dict, without the name and the number of the schema.
      origin: path or str, the file of the record, for the error.

    Returns:
      Results.

    Raises:
      DataError: entries that are missing or unknown.

    Example:
      >>> results = Results("mine", "resnet18", ())
      >>> results_of_record(dataclasses.asdict(results), "here") == results
      True
    """
    try:
        measurements = tuple(Measurement(**found) for found in record["measurements"])
        results = Results(**{**record, "measurements": measurements})
    except (KeyError, TypeError) as error:
        raise DataError(f"{origin} is damaged: {error}") from error
    parts: list[Any] = [results, *measurements]
    for part in parts:
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if not _is_of_its_kind(value, field):
                raise DataError(
                    f"{origin} is damaged: `{field.name}` cannot be "
                    f"{str(value)[:80]!r}."
                )
    return results


def _is_of_its_kind(value, field):
    """Tell whether a value from a file is what a field holds."""
    if value is None:
        return field.type.endswith("None")
    kind = field.type.split(" ")[0]
    if kind == "float":
        return is_number(value)
    if kind == "int":
        return is_number(value) and isinstance(value, int)
    return isinstance(value, {"str": str, "dict": dict, "tuple": tuple}[kind])
