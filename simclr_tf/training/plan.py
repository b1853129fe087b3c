"""How long a run is, in steps."""

import dataclasses

from simclr_tf import durations
from simclr_tf.errors import require

_STREAM_EPOCH_STEPS = 100  # An endless stream has no epochs of its own.


@dataclasses.dataclass(frozen=True)
class Plan:
    """The length of a run, of its epochs and of its warm-up."""

    epoch_steps: int
    total_steps: int
    warmup_steps: int


def plan_run(config, source):
    """The Plan of a config with these images.

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
