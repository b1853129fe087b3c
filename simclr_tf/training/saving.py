"""The schedule of checkpoints, and the manifest of each."""

import time

import tensorflow as tf

from simclr_tf.errors import NonFiniteError
from simclr_tf.training.continuation import metric_state
from simclr_tf.training.step_clock import StepCallback


class SaveCheckpoints(StepCallback):
    """Save every few epochs, steps or seconds, when interrupted, and at the end.

    At the end of an epoch the checkpoint is saved after the epoch's figures are
    written. A checkpoint that is due within an execution of several steps is saved at
    the end of the execution.

    Args:
      store: CheckpointStore.
      clock: StepClock.
      every_epochs: int or None.
      keep_every_epochs: int or None; the ends of these epochs are saved too.
      every_steps: int or None, steps between checkpoints within an epoch.
      every_seconds: float or None, time between checkpoints.
      at_end: bool, save after the last step.
      details: dict for every manifest, or a function that returns it.
      interruption: Interruption, or None.
      **objects: trackable objects to save beside model and optimizer, by name.
    """

    def __init__(
        self,
        store,
        clock,
        *,
        every_epochs=None,
        keep_every_epochs=None,
        every_steps=None,
        every_seconds=None,
        at_end=True,
        details=None,
        interruption=None,
        **objects,
    ):
        super().__init__()
        self._store, self._clock = store, clock
        self._details = details if callable(details) else lambda: details or {}
        self._every = [n for n in (every_epochs, keep_every_epochs) if n]
        self._every_steps, self._every_seconds = every_steps, every_seconds
        self._at_end, self._objects = at_end, objects
        self._interruption = interruption
        self._is_due = False  # By `every_steps` or `every_seconds`.
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        step, every = self._clock.step, self._every_steps
        before = step - self._clock.latest_steps
        self._is_due = bool(every) and step // every > before // every
        if self._every_seconds is not None:
            passed = time.monotonic() - self._saved_at
            self._is_due = self._is_due or passed >= self._every_seconds
        if self._clock.is_epoch_end:
            return  # Saved in on_epoch_end, after the epoch's figures.
        if self._is_due or self._asked():
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        is_due = (
            any((epoch + 1) % every == 0 for every in self._every)
            or (self._at_end and self._clock.is_run_end)
            or self._is_due
        )
        if is_due or self._asked():
            self.save()

    def _asked(self):
        return self._interruption is not None and self._interruption.is_requested

    def save(self):
        """Save the present step."""
        was_asked = (
            self._asked()
        )  # A signal that comes while saving waits for the next step.
        self._check_finite()
        checkpoint = self._store.save(
            self._clock.step,
            details={
                **self._details(),
                "saved_at": time.time(),
                "metrics": metric_state(self.model),
            },
            model=self.model,
            optimizer=self.model.optimizer,
            **self._objects,
        )
        self._saved_at = time.monotonic()
        if was_asked:
            self._interruption.checkpoint = checkpoint

    def _check_finite(self):
        # An update may overflow although loss and gradient are finite.
        for weight in self.model.trainable_weights:
            if not bool(tf.reduce_all(tf.math.is_finite(weight))):
                raise NonFiniteError(
                    f"A weight ({weight.name}) became non-finite by step "
                    f"{self._clock.step}; nothing was saved. Try a lower "
                    "--base_learning_rate or --precision=float32."
                )
