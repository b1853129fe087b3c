"""AdamW with one operation for the update of a variable."""

from __future__ import annotations

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Tensor, Variable


@keras.utils.register_keras_serializable(package="simclr_tf")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW, with one operation for the update of a variable and its moments.

    With g the gradient, m and v the moving averages of g and of g^2, t the number of
    the step from 1 on:

      w <- w - lr weight_decay w
      m <- m + (1 - b1) (g - m)       v <- v + (1 - b2) (g^2 - v)
      w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon).

    Keras computes the same with an operation for each sign of the formula, which takes
    time in the step of a small network, and in its tracing. Variables and checkpoints
    are those of Keras.

    Args:
      learning_rate: float >= 0, or a Keras `LearningRateSchedule`.
      weight_decay, beta_1, beta_2, epsilon, amsgrad, name, ...: of
        `keras.optimizers.AdamW`; with `amsgrad`, and for the rows of a sparse
        gradient, the update is Keras's own.

    Example:
      >>> weight = tf.Variable([1.0, -1.0])
      >>> optimizer = AdamW(0.1, weight_decay=0.0)
      >>> _ = optimizer.apply_gradients([(tf.constant([3.0, -2.0]), weight)])
      >>> weight.numpy().round(4)  # The first step is lr * sign(g).
      array([ 0.9, -0.9], dtype=float32)

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019); arXiv
    1711.05101.
    """

    def update_step(self, gradient: Tensor, variable: Variable) -> None:
        """Update one variable and its moments by the class's formula.

        Args:
          gradient: tensor or `tf.IndexedSlices`.
          variable: tf.Variable, one of those in `build`.
        """
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        dtype, index = variable.dtype, self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = (tf.cast(b, dtype) for b in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(self.learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=gradient,
        )
