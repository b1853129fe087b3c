"""Warnings about runs that cannot succeed: flat loss, collapse, slow input."""

import logging
import math

from simclr_tf._keras import keras
from simclr_tf.errors import NonFiniteError

LOG = logging.getLogger("simclr_tf")

COLLAPSED_STD = 0.05  # 1: spread evenly in all directions.
COLLAPSED_RANK = 2.0
SHOWN_IDS = 64  # Examples of a bad batch that a message names.


class HealthCheck(keras.callbacks.Callback):
    """Stop at a non-finite loss; warn of collapse and of the objective's diagnosis.

    With `on_nonfinite="skip"` the model skips and counts such steps: each is logged,
    and the run stops when there are too many.

    Args:
      clock: StepClock; with several steps an execution, messages name the steps of the
        execution.
      global_batch_size: int, for the diagnosis of the objective.
      patience_epochs: int, epochs before warnings of a stuck loss.
      last_checkpoint: function returning the newest good checkpoint's path or None.
      ids_of_batch: function of k = 0, 1, ... to the ids of the examples in batch k, or
        None.
      max_skipped_steps: int >= 0, steps that a run may skip, with those of its earlier
        starts.
      warns: bool, log warnings; true on the chief only.

    Raises:
      NonFiniteError: in training, at the step whose loss or gradient is not finite, or
        at the first one skipped beyond `max_skipped_steps`; with several steps an
        execution, at its end.
    """

    def __init__(
        self,
        clock,
        *,
        global_batch_size,
        patience_epochs=2,
        last_checkpoint=lambda: None,
        ids_of_batch=None,
        max_skipped_steps=10,
        warns=True,
    ):
        super().__init__()
        self._clock, self._global_batch_size = clock, global_batch_size
        self._patience = patience_epochs
        self._last_checkpoint = last_checkpoint
        self._ids_of_batch = ids_of_batch
        self._skipped, self._max_skipped = 0, max_skipped_steps
        self._said = set()
        self._warn = LOG.warning if warns else LOG.debug

    def on_train_begin(self, logs=None):
        self._skipped = getattr(self.model, "skipped_steps", 0)

    def on_train_batch_end(self, batch, logs=None):
        for name in ("loss", "gradient_norm"):
            if name in logs and not math.isfinite(logs[name]):
                raise NonFiniteError(self._non_finite_message(name, logs[name]))
        if logs.get("skipped_steps", 0) > self._skipped:
            self._skipped = int(logs["skipped_steps"])
            self._warn_skipped_steps()

    def on_epoch_end(self, epoch, logs=None):
        if (
            epoch + 1 >= self._patience
        ):  # Epochs of the whole run, also if it was continued.
            for name, message in self.findings(logs):
                if name not in self._said:
                    self._said.add(name)
                    self._warn(message)

    def findings(self, logs):
        """Yield what is wrong with an epoch's figures, as pairs (name, sentence)."""
        yield from self.model.objective.diagnose(logs, self._global_batch_size)
        std, rank = logs.get("feature_std"), logs.get("effective_rank")
        if (std is not None and std < COLLAPSED_STD) or (
            rank is not None and rank < COLLAPSED_RANK
        ):
            warmer = hasattr(
                getattr(self.model.objective, "options", None), "temperature"
            )
            figures = ", ".join(
                f"{name} {value:.3f}"
                for name, value in (
                    ("feature standard deviation", std),
                    ("effective rank", rank),
                )
                if value is not None
            )
            yield (
                "collapsed",
                (
                    f"The representation has collapsed: all images get nearly the same "
                    f"features ({figures}). Try a lower --base_learning_rate"
                    f"{' or a higher --objective.temperature' if warmer else ''}."
                ),
            )

    def _non_finite_message(self, name, value):
        what = "loss" if name == "loss" else "gradient"
        return (
            f"The {what} became {value} at {self._when()}; the run stops here. "
            f"{self._kept()} {self._batch()}Try a lower "
            "--base_learning_rate, a longer --optimizer.warmup_epochs, "
            "--precision=float32, or --on_nonfinite=skip."
        )

    def _warn_skipped_steps(self):
        skipped = (
            f"The loss or a gradient was not finite at {self._when()}; the "
            f"step was skipped ({self._skipped} so far). "
        )
        if self._skipped <= self._max_skipped:
            self._warn("%s%s", skipped, self._batch().rstrip())
            return
        raise NonFiniteError(
            f"{skipped}That is more than --max_skipped_steps={self._max_skipped}, so "
            f"the run stops here. {self._kept()} {self._batch()}Try a lower "
            "--base_learning_rate, a longer --optimizer.warmup_epochs, or "
            "--precision=float32."
        )

    def _when(self):
        step, number = self._clock.step, self._clock.latest_steps
        if number == 1:
            return f"step {step}"
        return (
            f"one of the steps {step - number + 1} to {step} "
            "(--performance.steps_per_execution=1 names the step)"
        )

    def _kept(self):
        checkpoint = self._last_checkpoint()
        return (
            f"The last good checkpoint is {checkpoint}."
            if checkpoint
            else "No checkpoint was written yet."
        )

    def _batch(self):
        if self._ids_of_batch is None or self._clock.latest_steps > 1:
            return ""
        ids = [int(example) for example in self._ids_of_batch(self._clock.step - 1)]
        text = ", ".join(map(str, ids[:SHOWN_IDS]))
        if len(ids) > SHOWN_IDS:
            text += f" and {len(ids) - SHOWN_IDS} more"
        return f"Its batch held the examples {text}. "
