"""The duties of the workers of a run on several machines.

All workers compute the same; only the chief (the first worker) writes into the shared
workdir.
"""

from simclr_tf.distribution import (
    cluster_of,
    is_chief,
    largest_over_workers,
    require_agreement,
)
from simclr_tf.training.checkpoints import Checkpoint, CheckpointStore
from simclr_tf.training.continuation import config_hash
from simclr_tf.training.interruption import Interruption
from simclr_tf.training.step_clock import StepCallback
from simclr_tf.training.workdir import CHECKPOINTS


class FollowerStore(CheckpointStore):
    """The chief's checkpoints, for reading; only the chief saves.

    The chief can save alone: weights, slots and moving statistics are the same on all
    replicas.
    """

    def save(self, step, *, details=None, **objects):
        """Return the Checkpoint that the chief saves at this step."""
        return Checkpoint(self.path_of(step), {"step": step, **(details or {})})


class SharedInterruption(Interruption):
    """An Interruption by which a signal to any worker stops all after the same step.

    Args:
      strategy: tf.distribute.Strategy.
    """

    def __init__(self, strategy):
        super().__init__()
        self._strategy = strategy
        self._is_agreed = False

    @property
    def is_requested(self):
        """Whether training is to stop, as agreed after the last step."""
        return self._is_agreed

    def agree(self):
        """Compare with all workers; every worker must call it after the same step."""
        number = largest_over_workers(self._strategy, self.signal_number or 0)
        if number:
            self.signal_number = self.signal_number or number
            self._is_agreed = True


class AgreeOnInterruption(StepCallback):
    """Let the workers agree after each step whether to stop.

    Args:
      interruption: SharedInterruption.
    """

    def __init__(self, interruption):
        super().__init__()
        self._interruption = interruption

    def on_train_batch_end(self, batch, logs=None):
        self._interruption.agree()


def open_store(strategy, folder, **options):
    """Open the CheckpointStore of the chief, or the FollowerStore of another worker."""
    return (CheckpointStore if is_chief(strategy) else FollowerStore)(folder, **options)


def make_interruption(strategy):
    """Return (Interruption, callbacks with which the workers agree on it)."""
    if cluster_of(strategy) is None:
        return Interruption(), []
    interruption = SharedInterruption(strategy)
    return interruption, [AgreeOnInterruption(interruption)]


def require_same_run(strategy, config, versions, fingerprint, start_step):
    """Refuse to train unless all workers have the same config, images and step.

    Args:
      strategy: tf.distribute.Strategy.
      config: Config.
      versions: dict of name to version.
      fingerprint: str, of the images.
      start_step: int.

    Raises:
      ClusterError: on every worker alike.
    """
    names = ("simclr_tf", "tensorflow")
    require_agreement(
        strategy,
        options=(
            config_hash(config)
            + repr(config.checkpoint)
            + repr(config.performance.steps_per_execution)
        ),
        versions=", ".join(f"{name} {versions[name]}" for name in names),
        images=str(fingerprint),
        first_step=str(start_step),
    )


def how_to_continue(workdir):
    """Return the remedy in the message about a lost worker.

    Args:
      workdir: path, or None.
    """
    if workdir is None:
        return "Nothing was saved: a run without a workdir starts again from step 0."
    checkpoint = CheckpointStore(workdir / CHECKPOINTS).latest()
    step = 0 if checkpoint is None else checkpoint.step
    return (
        f"Start all workers again with the same commands: the run continues from "
        f"step {step:,}."
    )
