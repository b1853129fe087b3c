"""A program that measures the peak memory of one variant of a benchmark.

The peak of a process never falls again, so variants cannot share one. The program reads
a variant's name on stdin, in JSON, does its work twice (a run of `memory` once) and
answers on stdout, in JSON: `simclr_tf.benchmarks.benchmark_runner.measured_alone`
starts it.
"""

import json
import pathlib
import sys
import tempfile

from simclr_tf.benchmarks.cases import cases_of
from simclr_tf.config.benchmark import BenchmarkConfig
from simclr_tf.training.peak_memory import peak_bytes, resident_bytes

_REPETITIONS = 2


def measure_here(request):
    """Do a variant's work in this process.

    Args:
      request: dict, benchmark, case and variant by name, and the config as a dict.

    Returns:
      dict of peak_bytes and added_bytes; for the benchmark `memory` also of
      estimated_bytes and seconds, of a step.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = cases_of(
            request["benchmark"],
            BenchmarkConfig(**request["config"]),
            pathlib.Path(folder),
        )
        make = next(
            variant.make
            for case in found
            for variant in case.variants
            if (case.name, variant.name) == (request["case"], request["variant"])
        )
        work = make()
        before, found = resident_bytes(), {}
        if request["benchmark"] == "memory":
            found["estimated_bytes"], found["seconds"] = work()
        else:
            for _ in range(_REPETITIONS):
                work()
        peak = peak_bytes()
    return {"peak_bytes": peak, "added_bytes": max(peak - before, 0), **found}


if __name__ == "__main__":
    print(json.dumps(measure_here(json.load(sys.stdin))))
