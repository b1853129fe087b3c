"""The number of steps of a run, and the step counter of all callbacks."""

import dataclasses

from simclr_tf import durations
from simclr_tf._keras import keras
from simclr_tf.errors import require

_STREAM_EPOCH_STEPS = 100  # Length of an epoch of an endless stream.


@dataclasses.dataclass(frozen=True)
class Plan:
    """The length of a run, of its epochs and of its warm-up."""

    epoch_steps: int
    total_steps: int
    warmup_steps: int

    def warmup_line(self):
        """Return a line for the screen where the warm-up outlasts the run, else None.

        Example:
          >>> Plan(epoch_steps=5, total_steps=10, warmup_steps=40).warmup_line()[:44]
          'Warm-up     40 steps, more than the 10 of th'
        """
        if self.warmup_steps <= self.total_steps:
            return None
        return (
            f"Warm-up     {self.warmup_steps:,} steps, more than the "
            f"{self.total_steps:,} of the run: the learning rate ends at "
            f"{self.total_steps / self.warmup_steps:.1%} of its peak. Shorten "
            "--optimizer.warmup_epochs, or train longer"
        )


def plan_run(config, source):
    """Plan the steps of a config with these images.

    Args:
      config: Config.
      source: Source or StreamSource.

    Returns:
      Plan.

    Raises:
      ConfigError: a stream of unknown length without `steps`, or a batch larger than
        the set.
    """
    if source.num_examples is None:
        require(
            config.steps is not None,
            "A stream of unknown length needs `steps`.",
            steps=config.steps,
        )
        epoch_steps = min(_STREAM_EPOCH_STEPS, config.steps)
    else:
        epoch_steps = durations.steps_per_epoch(
            source.num_examples, config.global_batch_size
        )
    total = durations.total_steps(config.epochs, config.steps, epoch_steps)
    warmup = durations.warmup_steps(
        config.optimizer.warmup_epochs, config.optimizer.warmup_steps, epoch_steps
    )
    return Plan(epoch_steps, total, warmup)


class StepCallback(keras.callbacks.Callback):
    """A callback that gets the figures of a step as tensors.

    Figures are fetched from the device only in steps at which a callback reads them.
    """

    _supports_tf_logs = True  # Otherwise Keras waits for the figures and passes floats.


class StepClock(StepCallback):
    """Count the steps of a run; the first callback, so that all others read the same.

    With `steps_per_execution` k Keras calls back once for k steps (at the end of an
    epoch for fewer), with the number of the last step within the epoch.

    Args:
      total_steps, epoch_steps: int, length of the run and of an epoch.
      start_step: int, steps done before.
      steps_per_execution: int >= 1.

    Attributes:
      step: int, steps since the run began, also in earlier processes.
      latest_steps: int >= 1, number of steps in the last call.
      total_steps, epoch_steps, start_step: int.

    Example:
      >>> clock = StepClock(total_steps=20, epoch_steps=10, steps_per_execution=4)
      >>> for batch in (3, 7, 9):  # An epoch of 10 steps.
      ...     clock.on_train_batch_end(batch)
      ...     print(clock.step, clock.latest_steps, clock.is_epoch_end)
      4 4 False
      8 4 False
      10 2 True
    """

    def __init__(
        self, total_steps, epoch_steps, *, start_step=0, steps_per_execution=1
    ):
        super().__init__()
        self.total_steps, self.epoch_steps = total_steps, epoch_steps
        self.step = self.start_step = start_step
        self.latest_steps = 1
        self._steps_per_execution = steps_per_execution

    def on_train_batch_end(self, batch, logs=None):
        self.latest_steps = batch % self._steps_per_execution + 1
        self.step += self.latest_steps

    @property
    def is_run_end(self):
        """Whether the last step of the run is done."""
        return self.step >= self.total_steps

    @property
    def is_epoch_end(self):
        """Whether the last step of an epoch, or of the run, is done."""
        return self.step % self.epoch_steps == 0 or self.is_run_end
