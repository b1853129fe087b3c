"""Benchmarks: time and memory of variants that alternate on one machine."""

from simclr_tf.benchmarks.benchmark_record import (
    MessageRecord,
    Record,
    VariantTimes,
    describe_machine,
    read_record,
    write_record,
)
from simclr_tf.benchmarks.benchmark_runner import run_benchmark
from simclr_tf.benchmarks.measuring import Case, Spread, Variant, measure, spread

__all__ = [
    "Case",
    "MessageRecord",
    "Record",
    "VariantTimes",
    "Spread",
    "Variant",
    "describe_machine",
    "measure",
    "read_record",
    "run_benchmark",
    "spread",
    "write_record",
]
