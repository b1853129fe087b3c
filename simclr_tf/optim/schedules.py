"""Learning-rate schedules: scaled with the batch, warmed up, decayed by a cosine."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.errors import require, unknown_choice

_SCALINGS = {
    "linear": lambda base, batch: base * batch / 256,
    "sqrt": lambda base, batch: base * math.sqrt(batch),
    "none": lambda base, batch: base,
}


def scaled_learning_rate(
    base_learning_rate: float, global_batch_size: int, scaling: str
) -> float:
    """Compute the peak learning rate for a batch size.

    `"linear"`: base * B / 256 (SimCLR, section 2.2: base 0.3); `"sqrt"`:
    base * sqrt(B) (appendix B.1: base 0.075, better for small batches and short
    training); `"none"`: base.

    Args:
      base_learning_rate: float > 0.
      global_batch_size: int >= 1, images a step over all replicas.
      scaling: `"linear"`, `"sqrt"` or `"none"`.

    Returns:
      float.

    Raises:
      ConfigError: for an unknown scaling or a value that is not positive.

    Example:
      >>> scaled_learning_rate(0.3, 4096, "linear")
      4.8
      >>> scaled_learning_rate(0.075, 4096, "sqrt")
      4.8
    """
    if scaling not in _SCALINGS:
        raise unknown_choice("scaling", scaling, _SCALINGS)
    require(
        base_learning_rate > 0,
        "`base_learning_rate` must be > 0.",
        base_learning_rate=base_learning_rate,
    )
    require(
        global_batch_size >= 1,
        "`global_batch_size` must be at least 1.",
        global_batch_size=global_batch_size,
    )
    return _SCALINGS[scaling](base_learning_rate, global_batch_size)


@keras.utils.register_keras_serializable(package="simclr_tf")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to the peak, then half a cosine to 0.

      step < warmup_steps: peak * step / warmup_steps
      afterwards:          peak * (1 + cos(pi t / T)) / 2,  t = step - warmup_steps,
                           T = total_steps - warmup_steps;  0 from total_steps on.

    Steps count from 0, as in the authors' code: with a warm-up, the first update has
    a learning rate of 0 (it only moves batch norm's statistics), and published
    recipes give the same learning rate at the same step. A warm-up that is longer
    than the run is simply cut off.

    Args:
      peak_learning_rate: float >= 0.
      warmup_steps: int >= 0.
      total_steps: int >= 1.

    Raises:
      ConfigError: for a value outside its range.

    Example:
      >>> schedule = WarmupCosine(2.0, warmup_steps=10, total_steps=110)
      >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 60, 110)]
      [0.0, 1.0, 2.0, 1.0, 0.0]

    Source: Chen et al., SimCLR (2020), section 2.2; Loshchilov & Hutter, SGDR (2017).
    """

    def __init__(
        self, peak_learning_rate: float, warmup_steps: int, total_steps: int
    ) -> None:
        super().__init__()
        require(
            0 <= peak_learning_rate < math.inf,
            "`peak_learning_rate` must be >= 0 and finite.",
            peak_learning_rate=peak_learning_rate,
        )
        require(
            warmup_steps >= 0, "`warmup_steps` must be >= 0.", warmup_steps=warmup_steps
        )
        require(
            total_steps >= 1,
            "`total_steps` must be at least 1.",
            total_steps=total_steps,
        )
        self.peak_learning_rate = float(peak_learning_rate)
        self.warmup_steps = int(warmup_steps)
        self.total_steps = int(total_steps)

    def __call__(self, step: int | float | TensorLike) -> Tensor:
        """Compute the learning rate of the update that is number `step`, from 0.

        Args:
          step: integer or float scalar, or a tensor of any shape.

        Returns:
          float32, of the shape of `step`.
        """
        step = tf.cast(tf.convert_to_tensor(step), tf.float32)
        warmup = step / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / max(
            self.total_steps - self.warmup_steps, 1
        )
        cosine = 0.5 * (1.0 + tf.cos(math.pi * progress))
        fraction = tf.where(step < self.warmup_steps, warmup, cosine)
        return self.peak_learning_rate * tf.where(
            step < self.total_steps, fraction, 0.0
        )

    def get_config(self) -> dict[str, Any]:
        """Return all constructor arguments."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }
