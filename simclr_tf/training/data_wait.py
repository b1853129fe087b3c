"""How long training waits for its data, measured where the batch is handed over."""

import time

import numpy as np
import tensorflow as tf


class WaitMeter:
    """Seconds that the consumer of a data set spent waiting for its next element.

    A clock is read just before and just after each element is asked for, in the
    thread that asks: work that overlaps with training does not count.
    """

    def __init__(self):
        self.seconds = 0.0
        self._asked = 0.0

    def measure(self, dataset):
        """The same data set, with every wait added to `seconds`.

        Args:
          dataset: tf.data.Dataset.

        Returns:
          tf.data.Dataset of the same elements in the same order.
        """
        # zip pulls its inputs one after the other: clock, element, clock.
        zipped = tf.data.Dataset.zip(
            (self._clock(self._ask), dataset, self._clock(self._receive)))
        options = tf.data.Options()
        # A prefetch or a parallel map between the clocks would hide the wait.
        options.experimental_optimization.inject_prefetch = False
        options.experimental_optimization.map_parallelization = False
        return zipped.map(lambda _, element, __: element).with_options(options)

    def _clock(self, reading):
        ticks = tf.data.Dataset.from_tensors(np.int64(0)).repeat()
        return ticks.map(
            lambda _: tf.numpy_function(reading, [], tf.int64, stateful=True))

    def _ask(self):
        self._asked = time.perf_counter()
        return np.int64(0)

    def _receive(self):
        self.seconds += time.perf_counter() - self._asked
        return np.int64(0)
