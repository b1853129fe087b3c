"""The cost of a study: operations are computed, seconds measured on a few steps."""

import contextlib
import dataclasses
import io
import logging
import time

import numpy as np

from simclr_tf.augment import plan_views
from simclr_tf.config.image_size import as_size
from simclr_tf.config.schema import override
from simclr_tf.errors import SimCLRError
from simclr_tf.export.card import wall_time_text
from simclr_tf.models import flops_per_example
from simclr_tf.objectives import objective_of
from simclr_tf.training import pretrain_from_config
from simclr_tf.training.assembly import build_encoder, build_recipe
from simclr_tf.training.step_clock import StepCallback, plan_run

_PASSES = 3  # A step forward and backward costs three times the forward pass.
_STEPS, _WARM = 8, 3
_LOG = logging.getLogger("simclr_tf")


class Operations:
    """Count the floating-point operations of runs: steps x images x those of an image.

    Only the training of the encoder is counted: heads, views and probes need few
    operations, and the measured seconds include them.

    Args:
      source: Source of the training images.
    """

    def __init__(self, source):
        self._source = source
        self._forward = {}

    def of(self, run):
        """Count the operations of a Run; returns float.

        Raises:
          ConfigError: the batch is larger than the set, or the stream has no end.
        """
        config, settings = run.config, run.cell.settings
        size = as_size(config.data.image_size_pixels)
        forward = _PASSES * self._forward_of(config, size)
        if run.cell.work == "baselines":
            return 0.0  # Nothing is trained.
        if run.cell.work == "supervised":
            return float(forward * config.epochs * self._source.num_examples)
        total = 0.0
        if settings.get("pretrain", True):
            total += self.of_step(config) * plan_run(config, self._source).total_steps
        trained = {"fine_tune", "scratch"} & set(settings.get("methods", ()))
        for fraction, epochs in zip(
            settings.get("fractions", ()), settings.get("epochs", ()), strict=True
        ):
            total += (
                len(trained) * forward * epochs * fraction * self._source.num_examples
            )
        return total

    def of_step(self, config):
        """Count the operations of one pretraining step, all views; returns int."""
        plan = plan_views(
            build_recipe(config.augment),
            config.data.image_size_pixels,
            objective_of(config.objective).view_groups,
        )
        forward = sum(self._forward_of(config, view.size) for view in plan.views)
        return _PASSES * forward * config.global_batch_size

    def _forward_of(self, config, size):
        """Count the operations of a forward pass of one (height, width) image."""
        key = (config.encoder, size)
        if key not in self._forward:
            channels = self._source.channels
            # In float32, so that it does not depend on the processor; the count is the
            # same.
            encoder = build_encoder(
                dataclasses.replace(config, precision="float32"), channels
            )
            self._forward[key] = flops_per_example(encoder, (*size, channels))
        return self._forward[key]


@dataclasses.dataclass(frozen=True)
class Speed:
    """The speed of operations on this machine.

    Attributes:
      seconds_a_run: float, time of each run besides its steps.
      operations_a_second: float.
      origin: str, the measurement, e.g. "4 measured steps".
    """

    seconds_a_run: float
    operations_a_second: float
    origin: str


class Estimate:
    """The expected cost of runs, from finished runs or from a few measured steps.

    Args:
      operations: function of a Run to float.
      measure: function without arguments that returns a Speed; called once, if no run
        is finished.
      chosen_seconds: function of a Run to float, its length if that is a time; else
        None.

    Example:
      >>> estimate = Estimate(len, lambda: Speed(1.0, 100.0, "a guess"))
      >>> estimate.text([b"run"])
      'About 1 s one after the other, judged by a guess.'
      >>> estimate.seconds([b"run", b"two"], finished=[(b"four", 8.0)])
      12.0
    """

    def __init__(self, operations, measure, chosen_seconds=lambda run: None):
        self._operations_of, self._measure = operations, measure
        self._chosen_seconds = chosen_seconds
        self._measured = None

    def operations(self, runs):
        """Sum the operations of runs; a run that cannot begin counts as 0."""
        total = 0.0
        for run in runs:
            with contextlib.suppress(SimCLRError):
                total += self._operations_of(run)
        return total

    def refusals(self, runs):
        """Find the runs that cannot begin: dict of message to list of Run."""
        found = {}
        for run in runs:
            try:
                self._operations_of(run)
            except SimCLRError as error:
                found.setdefault(str(error), []).append(run)
        return found

    def seconds(self, runs, finished=()):
        """Estimate the seconds of runs, one after the other.

        Args:
          runs: list of Run.
          finished: list of (Run, its seconds).

        Returns:
          float.
        """
        speed = self._speed(finished)
        chosen = [self._chosen_seconds(run) for run in runs]
        others = [run for run, length in zip(runs, chosen, strict=True) if not length]
        return (
            len(runs) * speed.seconds_a_run
            + self.operations(others) / speed.operations_a_second
            + sum(length for length in chosen if length)
        )

    def text(self, runs, finished=()):
        """Write the seconds of runs in a sentence; returns str."""
        seconds = wall_time_text(self.seconds(runs, finished))
        origin = self._speed(finished).origin
        return f"About {seconds} one after the other, judged by {origin}."

    def _speed(self, finished):
        trained = [
            (operations, seconds)
            for run, seconds in finished
            if not self._chosen_seconds(run) and (operations := self.operations([run]))
        ]
        if trained:
            operations, seconds = map(sum, zip(*trained, strict=True))
            return Speed(
                0.0,
                operations / max(seconds, 1e-9),
                f"{len(trained)} finished cell{'s' * (len(trained) > 1)}",
            )
        if self._measured is None:
            self._measured = self._measure()
        return self._measured


def chosen_seconds(run):
    """Return the seconds of a Run whose length is `minutes`; else None."""
    minutes = run.config.minutes
    return None if minutes is None else 60.0 * minutes


def measured_speed(config, operations_a_step):
    """Measure the Speed of the first steps of a pretraining; discard its results.

    Args:
      config: Config of the pretraining.
      operations_a_step: float.

    Returns:
      Speed; `seconds_a_run` is twice the time until the first step ends: the probes
      trace and compile about as much once more.
    """
    clock = _StepEnds()
    # The clock is read after every step.
    config = override(
        config,
        {"steps": _STEPS, "minutes": None, "performance.steps_per_execution": None},
    )
    started, level = time.perf_counter(), _LOG.level
    _LOG.setLevel(logging.ERROR)  # Warnings of a length that no cell has.
    try:
        pretrain_from_config(
            config, callbacks=[clock], say=lambda line: None, stream=io.StringIO()
        )
    finally:
        _LOG.setLevel(level)
    seconds = float(np.median(np.diff(clock.times)[_WARM:]))
    return Speed(
        2 * (clock.times[0] - started),
        operations_a_step / seconds,
        f"{_STEPS - 1 - _WARM} measured steps",
    )


class _StepEnds(StepCallback):
    """Record the time at the end of each step."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter())


def operations_text(operations):
    """Write operations with their unit.

    Example:
      >>> operations_text(1.23e12)
      '1.23 TFLOP'
    """
    for power, letter in ((18, "E"), (15, "P"), (12, "T"), (9, "G")):
        if operations >= 10**power:
            return f"{operations / 10**power:.2f} {letter}FLOP"
    return f"{operations / 1e6:.2f} MFLOP"
