"""A program that measures the peak memory of one variant of a benchmark.

The peak of a process never falls again, so variants cannot share one. The program reads
a variant's name on stdin, in JSON, does its work twice and answers on stdout, in JSON:
`simclr_tf.benchmarks.benchmark_runner.peak_memory` starts it.
"""

import json
import pathlib
import re
import resource
import sys
import tempfile

from simclr_tf.benchmarks.cases import cases_of
from simclr_tf.config.benchmark import BenchmarkConfig

_REPETITIONS = 2


def measure_here(request):
    """Do a variant's work in this process.

    Args:
      request: dict, benchmark, case and variant by name, and the config as a dict.

    Returns:
      dict of peak_bytes and added_bytes.
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
        before = _resident_bytes()
        for _ in range(_REPETITIONS):
            work()
        peak = _peak_bytes()
    return {"peak_bytes": peak, "added_bytes": max(peak - before, 0)}


def _peak_bytes():
    """Return the most memory that the process held."""
    # Not getrusage first: its figure begins with what the parent process held.
    try:
        status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.M)[1])
    except (OSError, TypeError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def _resident_bytes():
    """Return the memory that the process holds now; its peak where that is unknown."""
    try:
        pages = pathlib.Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return _peak_bytes()
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    print(json.dumps(measure_here(json.load(sys.stdin))))
