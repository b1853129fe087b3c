"""Times of variants that alternate: ratios are taken within a round.

Absolute times on a shared machine vary, and so does the speed between two variants that
are timed one after the other. So every round runs each variant once, A B C A B C
..., and what is reported is the median over the rounds of each round's own ratio.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from simclr_tf.errors import require


@dataclasses.dataclass(frozen=True)
class Timed:
    """The result of work that measured the time of its relevant part."""

    seconds: float


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to do the work of a case.

    Attributes:
      name: str.
      make: function without arguments that prepares the work (data, tracing) and
        returns a function without arguments that does the work once. This may return a
        `Timed` if part of its time is preparation.
      size: int, if sizes are compared; else None.
      line: str, its line in a plot of cost against size.
    """

    name: str
    make: Callable
    size: int | None = None
    line: str | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """Variants of the same work, compared with the first variant.

    Attributes:
      name: str.
      variants: tuple of Variant; the first is the baseline of the ratios.
      units: int, amount of work of one call.
      unit: str, its unit (images, pairs).
    """

    name: str
    variants: tuple
    units: int
    unit: str


def measure(
    case: Case,
    *,
    rounds: int,
    warmup_rounds: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    around: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Run the variants of a case in turn.

    Args:
      case: Case.
      rounds: int >= 1.
      warmup_rounds: int >= 0, earlier rounds that are not kept.
      clock: function that returns seconds.
      around: function of a variant's name to a context manager (a profiler) for one
        more run of it, which is not kept; None for no such run.

    Returns:
      dict of a variant's name to its seconds, one float a round.

    Raises:
      ConfigError: no round, or two variants of one name.

    Example:
      >>> case = Case("adding", (Variant("a", lambda: lambda: 1 + 1),), 1, "sum")
      >>> len(measure(case, rounds=3)["a"])
      3
    """
    require(rounds >= 1, "`rounds` must be >= 1.", rounds=rounds)
    names = [variant.name for variant in case.variants]
    require(
        len(set(names)) == len(names),
        "Variants must have different names.",
        case=case.name,
        variants=names,
    )
    works = {variant.name: variant.make() for variant in case.variants}
    for _ in range(warmup_rounds):
        _one_round(works, clock)
    if around is not None:
        for name, work in works.items():
            with around(name):
                work()
    kept = [_one_round(works, clock) for _ in range(rounds)]
    return {name: [seconds[name] for seconds in kept] for name in names}


def _one_round(works, clock):
    seconds = {}
    for name, work in works.items():
        began = clock()
        done = work()
        ended = clock()
        seconds[name] = done.seconds if isinstance(done, Timed) else ended - began
    return seconds


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median and quartiles of some numbers."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles, also of a single number.

    Example:
      >>> spread([3.0, 1.0, 2.0, 4.0])
      Spread(median=2.5, low=1.75, high=3.25)
    """
    values = list(values)
    if len(values) == 1:
        return Spread(*values * 3)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(baseline_seconds, seconds):
    """Return the speed relative to the baseline in each round.

    Args:
      baseline_seconds, seconds: lists of floats, one a round, of the same rounds.

    Returns:
      list of floats; above 1 is faster.

    Example:
      >>> ratios([2.0, 9.0], [1.0, 3.0])
      [2.0, 3.0]
    """
    return [
        before / after for before, after in zip(baseline_seconds, seconds, strict=True)
    ]
