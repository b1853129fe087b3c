"""Records of benchmarks and of the machine, as JSON: of times, and of messages."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
from typing import TYPE_CHECKING, Any, ClassVar

from simclr_tf.array_types import StrPath
from simclr_tf.benchmarks.measuring import ratios, spread
from simclr_tf.distribution import ExpectedStep
from simclr_tf.errors import DataError, WorkdirError
from simclr_tf.files import write_atomically
from simclr_tf.limits import read_json
from simclr_tf.machine import processor_fields, processor_name, usable_cores
from simclr_tf.training.workdir import versions

if TYPE_CHECKING:
    from simclr_tf.benchmarks.measuring import Spread


_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


@dataclasses.dataclass(frozen=True)
class VariantTimes:
    """One variant of one case.

    Attributes:
      case, variant, unit: str, and units: int, as in `measuring`.
      size, line: int and str, or None if sizes are not compared.
      baseline: str, the variant that the ratio compares with.
      seconds: tuple of floats, one a round.
      baseline_seconds: the baseline's, of the same rounds.
      peak_bytes: int, peak memory of a fresh process with this variant alone; None if
        not measured.
      added_bytes: int, the part of the peak above the memory of the process before
        the work, with TensorFlow and the inputs in memory.
      estimated_bytes: int, the peak that a run estimates before its first step; None
        if it is not compared.
      budget: dict of kind of work to seconds, of one profiled run; None without a
        profile. What ran at the same time counts in full.
    """

    case: str
    variant: str
    units: int
    unit: str
    size: int | None
    line: str | None
    baseline: str
    seconds: tuple
    baseline_seconds: tuple
    peak_bytes: int | None = None
    added_bytes: int | None = None
    estimated_bytes: int | None = None
    budget: dict | None = None

    @property
    def rate(self) -> float:
        """Units a second, at the median time."""
        return self.units / spread(self.seconds).median

    @property
    def ratio(self) -> Spread:
        """Spread of the speed relative to the baseline, over the rounds."""
        return spread(ratios(self.baseline_seconds, self.seconds))


@dataclasses.dataclass(frozen=True)
class Record:
    """The result of a benchmark.

    Attributes:
      schema: name and version of its file.
      benchmark: str.
      rows: tuple of VariantTimes.
      command: str, the command of the benchmark.
      settings: dict, of BenchmarkConfig.
      machine: dict, see `describe_machine`.
    """

    schema: ClassVar[tuple] = ("simclr_tf.benchmark", 1)
    benchmark: str
    rows: tuple
    command: str
    settings: dict
    machine: dict


@dataclasses.dataclass(frozen=True)
class Counted:
    """The messages of one replica in a traced step, beside those on paper.

    Attributes:
      replicas: int.
      counted: tuple of int, bytes of each all-reduce in the graph, in order of size.
      expected: tuple of int, those of `message_counts.messages_of_step`.
    """

    replicas: int
    counted: tuple
    expected: tuple

    @property
    def agrees(self) -> bool:
        """Whether every message has the size that was expected."""
        return self.counted == self.expected


@dataclasses.dataclass(frozen=True)
class MessageRecord:
    """The messages of steps: counted here, and expected of many replicas.

    Attributes:
      counted: tuple of Counted.
      expected_steps: tuple of ExpectedStep.
      schema, command, settings: as in Record.
    """

    schema: ClassVar[tuple] = ("simclr_tf.collectives", 2)
    counted: tuple
    expected_steps: tuple
    command: str
    settings: dict


def describe_machine() -> dict[str, Any]:
    """Return versions, processor, threads and load.

    Returns:
      dict that goes into JSON.

    Example:
      >>> describe_machine()["cores"] >= 1
      True
    """
    import tensorflow as tf

    threading = tf.config.threading
    return {
        "versions": versions(),
        "processor": processor_name(),
        "processor_flags": processor_fields().get("flags", ""),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "intra_op_threads": threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": threading.get_inter_op_parallelism_threads(),
        "environment": {
            name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ
        },
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
    }


def write_record(path: StrPath, record: Record | MessageRecord) -> None:
    """Write a record as JSON; a reader sees the old file or the whole new one.

    Args:
      path: path of the file; its folder is made.
      record: Record or MessageRecord.

    Raises:
      WorkdirError: it cannot be written.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkdirError(f"Cannot make {path.parent}: {error.strerror}.") from error
    schema, version = record.schema
    content = {
        "schema": schema,
        "schema_version": version,
        **dataclasses.asdict(record),
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_record(path: StrPath) -> Record | MessageRecord:
    """Read the file of `write_record`.

    Args:
      path: path of the file.

    Returns:
      Record or MessageRecord.

    Raises:
      DataError: the file is missing, or of another kind.
    """
    try:
        content = read_json(path, finite=False)
        known = (content.pop("schema"), content.pop("schema_version"))
        if known == MessageRecord.schema:
            steps = [ExpectedStep(**step) for step in content.pop("expected_steps")]
            counted = _read_each(Counted, content, "counted", "counted", "expected")
            return MessageRecord(counted, tuple(steps), **content)
        if known != Record.schema:
            raise ValueError(f"it is {known[0]} {known[1]}")
        times = ("seconds", "baseline_seconds")
        rows = _read_each(VariantTimes, content, "rows", *times)
        return Record(rows=rows, **content)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} is not a result of `simclr-tf benchmark`: {error}."
        ) from error


def _read_each(kind, content, name, *lists):
    """Remove a list of dicts from `content`; make a `kind` of each, lists as tuples."""
    return tuple(
        kind(**{**one, **{field: tuple(one[field]) for field in lists}})
        for one in content.pop(name)
    )
