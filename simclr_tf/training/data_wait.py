"""Time that training waits for data."""

import collections
import time

import numpy as np
import tensorflow as tf

from simclr_tf.data import on_host
from simclr_tf.data.pipelines import do_not_convert
from simclr_tf.training.step_clock import StepCallback


class WaitMeter(StepCallback):
    """Measure the seconds that the consumer of a data set waits for its elements.

    A clock is read just before and just after each request for an element, in the
    requesting thread: work that overlaps with training does not count.

    For several replicas, and for a GPU, TensorFlow requests elements in a separate
    thread, ahead of the step. Then the wait is the time from the beginning of a step to
    the arrival of its element, so the meter must also be a callback. With several steps
    an execution only the beginning of the first is known: the others count as not
    waiting, and `seconds` is a lower bound.

    Args:
      clock: StepClock if elements are requested ahead of their step; else None.

    Attributes:
      seconds: float, the wait so far.
    """

    def __init__(self, clock=None):
        super().__init__()
        self.seconds, self._step_clock = 0.0, clock
        self._asked = self._step_began = 0.0
        self._arrivals = collections.deque()  # (requested, received) for each element.

    def on_train_batch_begin(self, batch, logs=None):
        self._step_began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self._step_clock is None:
            return
        steps = min(self._step_clock.latest_steps, len(self._arrivals))
        arrivals = [self._arrivals.popleft() for _ in range(steps)]
        for asked, received in arrivals[:1]:
            # The first request comes after the step has begun, because of tracing.
            self.seconds += max(received - max(asked, self._step_began), 0.0)

    def measure(self, dataset):
        """Return the same data set, with every wait added to `seconds`.

        Args:
          dataset: tf.data.Dataset.

        Returns:
          tf.data.Dataset of the same elements in the same order.
        """
        self._arrivals.clear()
        # zip pulls its inputs one after the other: clock, element, clock.
        zipped = tf.data.Dataset.zip(
            (self._clock(self._ask), dataset, self._clock(self._receive))
        )
        options = tf.data.Options()
        # A prefetch or a parallel map between the clocks would hide the wait.
        options.experimental_optimization.inject_prefetch = False
        options.experimental_optimization.map_parallelization = False
        middle = do_not_convert(lambda _, element, __: element)
        return zipped.map(middle).with_options(options)

    def _clock(self, reading):
        ticks = tf.data.Dataset.from_tensors(np.int64(0)).repeat()
        read = do_not_convert(lambda _: on_host(reading, [], tf.int64, stateful=True))
        return ticks.map(read)

    def _ask(self):
        self._asked = time.perf_counter()
        return np.int64(0)

    def _receive(self):
        received = time.perf_counter()
        if self._step_clock is not None:
            self._arrivals.append((self._asked, received))
        else:
            self.seconds += received - self._asked
        return np.int64(0)
