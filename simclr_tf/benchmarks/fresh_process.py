"""Peak memory of one variant, measured in a process of its own.

The peak of a process never falls again, so variants cannot share one. The process gets
one variant's name on stdin, does its work twice, and answers on stdout, in JSON.
"""

import dataclasses
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

from simclr_tf.benchmarks.cases import cases_of
from simclr_tf.config.benchmark import BenchmarkConfig
from simclr_tf.errors import DataError

_REPETITIONS = 2
_ANSWER = """
import json, sys
from simclr_tf.benchmarks.fresh_process import measure_here
print(json.dumps(measure_here(json.load(sys.stdin))))
"""


def peak_memory(benchmark, config, case, variant):
    """Run one variant alone in a fresh process.

    Args:
      benchmark: str, one of BENCHMARKS.
      config: BenchmarkConfig.
      case, variant: str, their names.

    Returns:
      (peak_bytes, added_bytes), ints, see `VariantTimes`.

    Raises:
      DataError: the process failed; with its last words.
    """
    request = {
        "benchmark": benchmark,
        "config": dataclasses.asdict(config),
        "case": case,
        "variant": variant,
    }
    done = subprocess.run(
        [sys.executable, "-c", _ANSWER],
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
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["peak_bytes"], answer["added_bytes"]


def measure_here(request):
    """Do a variant's work in this process.

    Args:
      request: dict, as `peak_memory` sends it.

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
    """Return the most memory that the process held.
    that begins with what the process held that started this one."""
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
