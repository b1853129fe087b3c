"""Figures of a run that are the same on every replica and every worker.

The train step gives them global values, so each replica keeps the same numbers for
itself: showing or saving them takes no collective, and one worker can do it alone.
"""

from simclr_tf._keras import keras
from simclr_tf.distribution import SAME_ON_ALL_REPLICAS


class RunningMean(keras.metrics.Mean):
    """Mean over the steps of an epoch of a value that all replicas agree on."""

    def add_weight(self, *args, **kwargs):
        """Keras's, for variables that are equal on all replicas instead of summed."""
        return super().add_weight(
            *args, **{**kwargs, "aggregation": SAME_ON_ALL_REPLICAS}
        )


class RunCount(keras.metrics.Sum):
    """How often something has happened since the run began, whatever the epoch."""

    def add_weight(self, *args, **kwargs):
        """As of `RunningMean`."""
        return super().add_weight(
            *args, **{**kwargs, "aggregation": SAME_ON_ALL_REPLICAS}
        )

    def reset_state(self):
        """Nothing: Keras resets metrics at every epoch, and this counts on."""
