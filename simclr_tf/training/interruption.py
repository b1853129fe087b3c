"""Signals that end a run: the first saves and stops, the second stops at once."""

import os
import signal
import sys
import threading

from simclr_tf.errors import Interrupted
from simclr_tf.training.step_clock import StepCallback

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_NOTICE = b"\nStopping at the next step, saved. Once more ends at once.\n"


class Interruption:
    """Treat the first SIGTERM or SIGINT as a request to save and stop.

    A context manager. Only Python's main thread can handle signals: in other threads it
    has no effect. Ignored signals stay ignored, and the former handlers are restored at
    the end.

    Attributes:
      signal_number: int, the received signal, or None.
      checkpoint: Checkpoint that was saved because of the signal, or None.
    """

    def __init__(self):
        self.signal_number = None
        self.checkpoint = None
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, error_type, error, traceback):
        for number, handler in self._before.items():
            # None: a handler that is not Python's; it cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if self.signal_number is not None and error_type is None:
            raise Interrupted(  # The signal came after the last step.
                f"{self._name()} came when training was over; all is saved.",
                self.signal_number,
            )

    @property
    def is_requested(self):
        """Whether training is to stop."""
        return self.signal_number is not None

    def stop(self):
        """End the run.

        Raises:
          Interrupted: always, with the step and how to continue.
        """
        raise Interrupted(
            f"{self._name()}: stopped after step {self.checkpoint.step:,} and saved it "
            f"in {self.checkpoint.path}; the same command continues.",
            self.signal_number,
        )

    def _name(self):
        return signal.Signals(self.signal_number).name

    def _receive(self, number, frame):
        self.signal_number = number
        for handled in self._before:
            signal.signal(handled, signal.SIG_DFL)  # The second one ends at once.
        if sys.stderr is not None and os.isatty(2):
            os.write(2, _NOTICE)  # print() is not safe in a signal handler.


class StopWhenSaved(StepCallback):
    """End training after the state was saved because of a signal.

    Args:
      interruption: Interruption.
    """

    def __init__(self, interruption):
        super().__init__()
        self._interruption = interruption

    def on_train_batch_end(self, batch, logs=None):
        if self._interruption.checkpoint is not None:
            self._interruption.stop()

    def on_epoch_end(self, epoch, logs=None):
        if self._interruption.checkpoint is not None:
            self._interruption.stop()
