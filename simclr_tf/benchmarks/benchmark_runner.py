"""Running of a benchmark: the times of every case and, optionally, its memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from simclr_tf.array_types import StrPath
from simclr_tf.benchmarks.benchmark_record import Record, VariantTimes, describe_machine
from simclr_tf.benchmarks.cases import cases_of
from simclr_tf.benchmarks.measuring import measure
from simclr_tf.benchmarks.work_budget import budget_of_profile
from simclr_tf.config.benchmark import BenchmarkConfig
from simclr_tf.errors import DataError

_CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def peak_memory(benchmark, config, case, variant):
    """Run one variant alone in a fresh process.

    Args:
      benchmark, config, case, variant: as for `measured_alone`.

    Returns:
      (peak_bytes, added_bytes), ints, see `VariantTimes`.

    Raises:
      DataError: the process failed; the message has its last line.
    """
    answer = measured_alone(benchmark, config, case, variant)
    return answer["peak_bytes"], answer["added_bytes"]


def measured_alone(benchmark, config, case, variant):
    """Run one variant alone in a fresh process.

    Args:
      benchmark: str, one of BENCHMARKS.
      config: BenchmarkConfig.
      case, variant: str, their names.

    Returns:
      dict of `simclr_tf.benchmarks.fresh_process.measure_here`.

    Raises:
      DataError: the process failed; the message has its last line.
    """
    request = {
        "benchmark": benchmark,
        "config": dataclasses.asdict(config),
        "case": case,
        "variant": variant,
    }
    done = subprocess.run(
        [sys.executable, "-m", "simclr_tf.benchmarks.fresh_process"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise DataError(
            f"The process that measures the memory of `{case}`, "
            f"`{variant}` ended with {done.returncode}: {last}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def run_benchmark(
    benchmark: str,
    config: BenchmarkConfig | None = None,
    *,
    memory: bool = False,
    profile: StrPath | None = None,
    command: str = "simclr_tf.benchmarks.run_benchmark(...)",
    say: Callable[[str], None] = lambda line: None,
    peak_of: Callable[..., Any] = peak_memory,
    alone: Callable[..., Any] = measured_alone,
    keep: Callable[[Record], None] = lambda record: None,
) -> Record:
    """Measure every case of a benchmark.

    Args:
      benchmark: str, one of `simclr_tf.config.benchmark.BENCHMARKS`.
      config: BenchmarkConfig; its defaults if None.
      memory: bool, also run each variant in a fresh process for its peak memory.
      profile: None, or path of a folder for TensorBoard profiles of one more run of
        each variant, whose operations are added up by kind of work.
      command: str, the command of the benchmark.
      say: function that prints a line (str): what is measured next.
      peak_of: function like `peak_memory`.
      alone: function like `measured_alone`, for the benchmark `memory`, whose variants
        run once, each in its own process.
      keep: function called after each case with the Record of all cases so far.

    Returns:
      Record.

    Raises:
      ConfigError: an unknown benchmark, or nothing to measure.
      DataError: the process of a variant failed.
    """
    config = config or BenchmarkConfig()
    settings, machine, rows = dataclasses.asdict(config), describe_machine(), []
    with tempfile.TemporaryDirectory(prefix="simclr_tf_benchmark_") as folder:
        for case in cases_of(benchmark, config, pathlib.Path(folder)):
            say(f"{benchmark}: {case.name}")
            if benchmark == "memory":
                rows += _rows_of_memory(config, case, alone)
            else:
                found = _rows_of_times(config, case, profile, len(rows))
                if memory:  # Now that this process has freed what it prepared.
                    found = [
                        _with_memory(
                            row, *peak_of(benchmark, config, case.name, row.variant)
                        )
                        for row in found
                    ]
                rows += found
            record = Record(benchmark, tuple(rows), command, settings, machine)
            keep(record)
    return record


def _rows_of_times(config, case, profile, number):
    budgets = None if profile is None else _Budgets(profile, number)
    seconds = measure(
        case,
        rounds=config.rounds,
        warmup_rounds=config.warmup_rounds,
        clock=_CLOCKS[config.clock],
        around=None if budgets is None else budgets.profiled,
    )
    return _rows(case, seconds, {} if budgets is None else budgets.found)


def _rows(case, seconds, budgets=None):
    baseline = case.variants[0].name
    return [
        VariantTimes(
            case=case.name,
            variant=variant.name,
            units=case.units,
            unit=case.unit,
            size=variant.size,
            line=variant.line,
            baseline=baseline,
            seconds=tuple(seconds[variant.name]),
            baseline_seconds=tuple(seconds[baseline]),
            budget=(budgets or {}).get(variant.name),
        )
        for variant in case.variants
    ]


def _rows_of_memory(config, case, alone):
    answers = {
        variant.name: alone("memory", config, case.name, variant.name)
        for variant in case.variants
    }
    rows = _rows(case, {name: [a["seconds"]] for name, a in answers.items()})
    return [
        dataclasses.replace(
            row,
            **{
                name: answers[row.variant][name]
                for name in ("peak_bytes", "added_bytes", "estimated_bytes")
            },
        )
        for row in rows
    ]


def _with_memory(row, peak_bytes, added_bytes):
    return dataclasses.replace(row, peak_bytes=peak_bytes, added_bytes=added_bytes)


class _Budgets:
    """Profiles of the variants of a case, each in a folder of its own."""

    def __init__(self, folder, number):
        self._folder, self._number, self.found = pathlib.Path(folder), number, {}

    @contextlib.contextmanager
    def profiled(self, variant):
        self._number += 1
        folder = self._folder / f"{self._number:02d}"
        tf.profiler.experimental.start(str(folder))
        try:
            yield
        finally:
            tf.profiler.experimental.stop()
        self.found[variant] = budget_of_profile(folder)
