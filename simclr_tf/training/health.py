"""Runs that cannot succeed, recognised and said in plain words."""

import logging
import math

from simclr_tf._keras import keras
from simclr_tf.errors import NonFiniteError

LOG = logging.getLogger("simclr_tf")

STUCK_TOLERANCE = 0.02  # Of ln(2G - 1).
COLLAPSED_STD = 0.05  # Of the isotropic value 1.
COLLAPSED_RANK = 2.0


class HealthCheck(keras.callbacks.Callback):
    """Stop at a non-finite loss; warn of a stuck loss and of collapsed features.

    Args:
      global_batch_size: int G; all-equal projections give the loss ln(2G - 1).
      start_step: int, steps done before.
      patience_epochs: int, epochs before a stuck loss is said.
      is_nt_xent: bool; only NT-Xent has a known value for "nothing learned".
      last_checkpoint: function returning the newest good checkpoint's path or None.

    Raises:
      NonFiniteError: in training, at the step whose loss or gradient is not finite.
    """

    def __init__(self, *, global_batch_size, start_step=0, patience_epochs=2,
                 is_nt_xent=True, last_checkpoint=lambda: None):
        super().__init__()
        self._stuck_loss = math.log(2 * global_batch_size - 1)
        self._chance_accuracy = min(10 / (2 * global_batch_size - 1), 0.5)
        self._is_nt_xent = is_nt_xent
        self._step = start_step
        self._patience = patience_epochs
        self._last_checkpoint = last_checkpoint
        self._said = set()

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        for name in ("loss", "gradient_norm"):
            if name in logs and not math.isfinite(logs[name]):
                raise NonFiniteError(self._non_finite_message(name, logs[name]))

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 >= self._patience:  # Of the whole run, however often continued.
            for name, message in self.findings(logs):
                if name not in self._said:
                    self._said.add(name)
                    LOG.warning(message)

    def findings(self, logs):
        """What is wrong with an epoch's figures, as (name, plain words) pairs."""
        loss = logs.get("contrastive_loss")
        accuracy = logs.get("contrastive_accuracy", 0.0)
        if (self._is_nt_xent and loss is not None
                and abs(loss - self._stuck_loss) < STUCK_TOLERANCE * self._stuck_loss
                and accuracy < self._chance_accuracy):
            yield "stuck", (
                f"The loss is stuck at {loss:.3f}: ln(2 * batch - 1) = "
                f"{self._stuck_loss:.3f} is what equal projections give, so nothing "
                "is being learned. Try a smaller or larger "
                "--optimizer.base_learning_rate, a longer --optimizer.warmup_epochs, "
                "or weaker augmentation.")
        std, rank = logs.get("feature_std"), logs.get("effective_rank")
        if (std is not None and std < COLLAPSED_STD) or (
                rank is not None and rank < COLLAPSED_RANK):
            figures = ", ".join(
                f"{name} {value:.3f}" for name, value in
                (("feature standard deviation", std), ("effective rank", rank))
                if value is not None)
            yield "collapsed", (
                f"The representation has collapsed: all images get nearly the same "
                f"features ({figures}). Try a lower --optimizer.base_learning_rate "
                "or a higher --loss.temperature.")

    def _non_finite_message(self, name, value):
        what = "loss" if name == "loss" else "gradient"
        checkpoint = self._last_checkpoint()
        kept = (f"The last good checkpoint is {checkpoint}." if checkpoint
                else "No checkpoint was written yet.")
        return (f"The {what} became {value} at step {self._step}; the run stops here. "
                f"{kept} Try a lower --optimizer.base_learning_rate, a longer "
                "--optimizer.warmup_epochs, or --precision=float32.")
