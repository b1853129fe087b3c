"""Variants take turns, and what is reported is what happened in the same round."""

import contextlib

import pytest

from simclr_tf.benchmarks import Case, Variant, measure, spread
from simclr_tf.benchmarks.measuring import Timed, ratios
from simclr_tf.errors import ConfigError


class Machine:
    """A clock that only work moves, and a diary of what was done."""

    def __init__(self):
        self.now, self.diary, self.slowness = 0.0, [], 1.0

    def clock(self):
        return self.now

    def variant(self, name, seconds):
        def work():
            self.diary.append(name)
            self.now += seconds * self.slowness

        def make():
            self.diary.append(f"make {name}")
            self.now += 100.0
            return work

        return Variant(name, make)

    def case(self, **seconds):
        variants = [self.variant(name, value) for name, value in seconds.items()]
        return Case("work", tuple(variants), 1, "unit")


def test_every_round_runs_each_variant_once_and_preparing_is_not_counted():
    machine = Machine()
    found = measure(machine.case(a=1.0, b=3.0), rounds=3, clock=machine.clock)
    assert machine.diary == ["make a", "make b", *["a", "b"] * 3]
    assert found == {"a": [1.0] * 3, "b": [3.0] * 3}


def test_rounds_of_warm_up_are_run_and_not_kept():
    machine = Machine()
    found = measure(
        machine.case(a=1.0, b=2.0), rounds=2, warmup_rounds=3, clock=machine.clock
    )
    assert machine.diary.count("a") == machine.diary.count("b") == 5
    assert len(found["a"]) == len(found["b"]) == 2


def test_a_profiler_encloses_one_more_run_of_each_which_is_not_kept():
    machine = Machine()

    @contextlib.contextmanager
    def profiler(name):
        machine.diary.append(f"begin {name}")
        yield
        machine.diary.append("end")

    found = measure(
        machine.case(a=1.0, b=2.0),
        rounds=1,
        warmup_rounds=1,
        clock=machine.clock,
        around=profiler,
    )
    profiled = ["begin a", "a", "end", "begin b", "b", "end"]
    assert machine.diary == ["make a", "make b", "a", "b", *profiled, "a", "b"]
    assert found == {"a": [1.0], "b": [2.0]}


def test_work_that_times_itself_is_believed():
    machine = Machine()
    case = Case("work", (Variant("a", lambda: lambda: Timed(0.25)),), 1, "unit")
    assert measure(case, rounds=2, clock=machine.clock) == {"a": [0.25, 0.25]}


def test_ratios_do_not_see_a_machine_that_becomes_slower():
    machine = Machine()
    steady, slow = machine.case(a=4.0, b=2.0).variants

    def make():
        work = slow.make()

        def slowing_down():
            work()
            machine.slowness *= 3.0

        return slowing_down

    case = Case("work", (steady, Variant("b", make)), 1, "unit")
    found = measure(case, rounds=4, clock=machine.clock)
    assert found["a"][-1] == 27 * found["a"][0]
    assert ratios(found["a"], found["b"]) == [2.0] * 4


def test_median_and_quartiles():
    assert vars(spread([5.0])) == {"median": 5.0, "low": 5.0, "high": 5.0}
    # One outlier in five moves neither the median nor the quartiles.
    assert vars(spread([1e9, 1.0, 2.0, 3.0, 4.0])) == {
        "median": 3.0,
        "low": 2.0,
        "high": 4.0,
    }


def test_no_round_and_two_variants_of_one_name_are_refused():
    machine = Machine()
    with pytest.raises(ConfigError, match="`rounds` must be >= 1.*rounds=0"):
        measure(machine.case(a=1.0), rounds=0)
    twice = Case("work", machine.case(a=1.0).variants * 2, 1, "unit")
    with pytest.raises(ConfigError, match="different names"):
        measure(twice, rounds=1)
