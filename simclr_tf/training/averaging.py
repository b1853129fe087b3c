"""Averaged weights at the end of a run replace the trained ones.

Batch norm's moving statistics belong to the weights that made them, so they are
measured again under the averages (Izmailov et al. 2018, arXiv 1803.05407, section 3.2).
"""

import math

import tensorflow as tf

from simclr_tf.distribution import run_on_replicas
from simclr_tf.training.step_clock import StepCallback

FORGOTTEN = 1e-4  # Share of the old statistics that may remain.


class UseAverages(StepCallback):
    """Replace the weights by their averages after the last step; measure statistics.

    The last checkpoint is saved afterwards and holds the averages. It loads like any
    other checkpoint, also without TensorFlow Addons.

    Args:
      batches: function of (first, last) to the data set of those steps.
      clock: StepClock.
      batch_norm_momentum: float in [0, 1), decay of the moving statistics.
    """

    def __init__(self, batches, clock, *, batch_norm_momentum):
        super().__init__()
        self._batches, self._clock = batches, clock
        self._momentum = batch_norm_momentum

    def on_epoch_end(self, epoch, logs=None):
        averages = getattr(self.model.optimizer, "averages", None)
        if averages is None or not self._clock.is_run_end:
            return
        for weight, average in zip(
            self.model.trainable_variables, averages, strict=True
        ):
            weight.assign(average)
        total = self._clock.total_steps
        number = min(batches_to_forget(self._momentum), total)
        measure_statistics(self.model, self._batches(total - number, total), number)


def batches_to_forget(momentum):
    """Count the batches after which a moving statistic keeps FORGOTTEN of its value.

    Example:
      >>> batches_to_forget(0.9)
      88
    """
    return 1 if momentum == 0 else math.ceil(math.log(FORGOTTEN) / math.log(momentum))


def measure_statistics(model, dataset, number):
    """Update only the moving statistics of batch norm.

    Args:
      model: PretrainingModel.
      dataset: batches as `PretrainingModel.fit` takes them.
      number: int >= 1, batches to take.
    """

    @tf.function
    def forward(batch):
        model.represent(batch, training=True)

    for _, batch in zip(range(number), dataset, strict=False):
        run_on_replicas(model.distribute_strategy, forward, batch)
