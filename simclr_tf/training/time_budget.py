"""The length of a run from a number of minutes: `--minutes`.

A few steps of a throwaway model are measured; the length that fits is kept in
config.json, so that a run that is continued has the same schedule.
"""

import dataclasses
import time

from simclr_tf.distribution import largest_over_workers
from simclr_tf.errors import require
from simclr_tf.training.step_clock import StepCallback

# The rest is for checkpoints and the figures of an epoch.
_SHARE_OF_STEPS = 0.95
_WARM_STEPS, _MEASURED_STEPS, _MOST_STEPS = 3, 8, 2**31 - 1
# A warm-up that is longer than this part of the run is shortened to it.
_MOST_WARMUP = 0.1
# Fewer epochs are counted in steps: a whole number of them would waste time.
_EPOCHS_TO_ROUND = 10


class StepSpeed(StepCallback):
    """Measure the time of a step, without the first ones (tracing, warm-up).

    Attributes:
      steps: int, steps to train for it.
      compiling_seconds: float, of the first steps.
      step_seconds: float, of a step after them.

    Args:
      steps_per_execution: int.
      now: function that returns seconds.

    Example:
      >>> seconds = iter([0.0, 60.0, 62.0, 78.0])
      >>> speed = StepSpeed(now=lambda: next(seconds))
      >>> speed.on_train_begin()
      >>> for step in range(speed.steps): speed.on_train_batch_end(step)
      >>> speed.step_seconds
      2.0
    """

    def __init__(self, steps_per_execution=1, now=time.perf_counter):
        super().__init__()
        self._now, self._executions = now, 0
        self._an_execution = steps_per_execution
        self.steps = (_WARM_STEPS + _MEASURED_STEPS) * steps_per_execution
        self.compiling_seconds = self.step_seconds = 0.0

    def on_train_begin(self, logs=None):
        self._began = self._now()

    def on_train_batch_end(self, batch, logs=None):
        self._executions += 1
        if self._executions == 1:
            self._traced = self._now()
        elif self._executions == _WARM_STEPS:
            self._warm = self._now()
        elif self._executions == _WARM_STEPS + _MEASURED_STEPS:
            measured = _MEASURED_STEPS * self._an_execution
            self.step_seconds = (self._now() - self._warm) / measured
            self.compiling_seconds = self._traced - self._began

    def of_all_workers(self, strategy):
        """Return (compiling_seconds, step_seconds) of the slowest worker."""
        return tuple(
            largest_over_workers(strategy, int(1e6 * seconds)) / 1e6
            for seconds in (self.compiling_seconds, self.step_seconds)
        )


def with_length(config, plan, *, step_seconds, left_seconds, is_endless=False):
    """Return the config with the length that fits.

    Args:
      config: Config with `minutes`.
      plan: Plan of the images, for the length of an epoch and of the warm-up.
      step_seconds: float, time of a step.
      left_seconds: float, what is left of the minutes for steps.
      is_endless: bool, a stream, whose length is in steps.

    Returns:
      Config with `epochs` or `steps`, and with a warm-up of at most a tenth of it.

    Raises:
      ConfigError: not one step fits.
    """
    steps = int(left_seconds * _SHARE_OF_STEPS / max(step_seconds, 1e-6))
    require(
        steps >= 1,
        f"`minutes` must be enough to compile and for some steps of "
        f"{step_seconds:.3g} s. Use a larger value, or --steps.",
        minutes=config.minutes,
    )
    steps = min(steps, _MOST_STEPS)
    epochs = steps // plan.epoch_steps
    if epochs >= _EPOCHS_TO_ROUND and not is_endless:
        length, steps = {"epochs": epochs, "steps": None}, epochs * plan.epoch_steps
    else:
        length = {"steps": steps}
    warmup = min(plan.warmup_steps, int(_MOST_WARMUP * steps))
    optimizer = config.optimizer
    if warmup < plan.warmup_steps:
        optimizer = dataclasses.replace(optimizer, warmup_steps=warmup)
    return dataclasses.replace(config, optimizer=optimizer, **length)


def with_kept_length(config, former):
    """Return the config with the length that a run of the same minutes has chosen.

    Args:
      config: Config with `minutes`.
      former: Config of the run that has begun, or None.

    Returns:
      Config; None if a length must be chosen.
    """
    if former is None or former.minutes != config.minutes:
        return None
    optimizer = dataclasses.replace(
        config.optimizer, warmup_steps=former.optimizer.warmup_steps
    )
    return dataclasses.replace(
        config, epochs=former.epochs, steps=former.steps, optimizer=optimizer
    )


def length_line(config, plan, step_seconds, now=None):
    """Describe the chosen length and its end.

    Args:
      config: Config with the length.
      plan: Plan of it.
      step_seconds: float.
      now: float, seconds since the epoch; the clock's if None.

    Returns:
      str.
    """
    seconds = plan.total_steps * step_seconds / _SHARE_OF_STEPS
    end = time.localtime((time.time() if now is None else now) + seconds)
    epochs = plan.total_steps / plan.epoch_steps
    return (
        f"Length      {epochs:.3g} epochs, {plan.total_steps:,} steps of "
        f"{step_seconds:.3g} s: --minutes={config.minutes:g} are over at about "
        f"{time.strftime('%H:%M', end)}"
    )
