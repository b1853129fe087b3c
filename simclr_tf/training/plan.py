"""How long a run is, in steps."""

import dataclasses

from simclr_tf import durations
from simclr_tf.errors import require

STREAM_EPOCH_STEPS = 100  # Of a stream without an end.


@dataclasses.dataclass(frozen=True)
class Plan:
    """Steps of an epoch, of the run, and of its warm-up."""

    epoch_steps: int
    total_steps: int
    warmup_steps: int


def plan_of(config, source):
    """The Plan of a config on its images.

    Args:
      config: Config.
      source: Source; `num_examples` is None for a stream of unknown length.

    Returns:
      Plan.

    Raises:
      ConfigError: a stream without `steps`, or a batch larger than the set.
    """
    if source.num_examples is None:
        require(config.steps is not None,
                "A stream of unknown length needs `steps`.", steps=config.steps)
        epoch_steps = min(STREAM_EPOCH_STEPS, config.steps)
    else:
        epoch_steps = durations.steps_per_epoch(
            source.num_examples, config.global_batch_size)
    return Plan(
        epoch_steps,
        durations.total_steps(config.epochs, config.steps, epoch_steps),
        durations.warmup_steps(
            config.optimizer.warmup_epochs, config.optimizer.warmup_steps, epoch_steps))
