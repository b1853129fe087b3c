"""Layer-wise adaptive moments for batch training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Schedule, Tensor, Variable
from simclr_tf.errors import require
from simclr_tf.optim.layer_wise import LayerWiseOptimizer


@keras.utils.register_keras_serializable(package="simclr_tf")
class LAMB(LayerWiseOptimizer):
    """Adam whose update is scaled for each variable by ||w|| / ||u||.

    With g the gradient, m and v the moving averages of g and of g^2, t the number of
    the step from 1 on, and trust(u) = ||w|| / ||u|| (1 if either norm is 0):

      m <- b1 m + (1 - b1) g          v <- b2 v + (1 - b2) g^2
      u = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) + weight_decay * w
      w <- w - lr trust(u) u.

    Norms are computed in float32. Excluded variables are handled as by `LARS`.

    Args:
      learning_rate: float >= 0, or a Keras `LearningRateSchedule`.
      beta_1: float in [0, 1), decay of m.
      beta_2: float in [0, 1), decay of v.
      epsilon: float > 0, added to the root.
      weight_decay: float >= 0; decoupled from the moments, inside the trust ratio.
      name: str.
      **kwargs: of `keras.optimizers.Optimizer` (`clipnorm`, `use_ema`, ...).

    Raises:
      ConfigError: for a value outside its range.

    Example:
      >>> weight = tf.Variable([3.0, 4.0])
      >>> optimizer = LAMB(0.1)
      >>> _ = optimizer.apply_gradients([(tf.constant([2.0, -2.0]), weight)])
      >>> weight.numpy()  # The first u is the sign: lr * 5 / sqrt(2) * [1, -1].
      array([2.6464467, 4.3535533], dtype=float32)

    Source: You et al., Large Batch Optimization for Deep Learning: Training BERT in 76
    minutes (2020), Algorithm 2 with phi(z) = z; arXiv 1904.00962.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        name: str = "LAMB",
        **kwargs: Any,
    ) -> None:
        require(0 <= beta_1 < 1, "`beta_1` must be in [0, 1).", beta_1=beta_1)
        require(0 <= beta_2 < 1, "`beta_2` must be in [0, 1).", beta_2=beta_2)
        require(epsilon > 0, "`epsilon` must be > 0.", epsilon=epsilon)
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            trust_coefficient=1.0,
            name=name,
            **kwargs,
        )
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)

    def build(self, var_list: Sequence[Variable]) -> None:
        """Make the two moments, zeros, for each variable.

        Args:
          var_list: list of variables, all that will ever be updated.
        """
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self.means, self.squares = (
            [
                self.add_variable_from_reference(
                    model_variable=variable, variable_name=slot
                )
                for variable in var_list
            ]
            for slot in ("m", "v")
        )
        self._built = True

    def update_step(self, gradient: Tensor, variable: Variable) -> None:
        """Update one variable and its moments by the class's formula.

        Args:
          gradient: tensor or `tf.IndexedSlices`.
          variable: tf.Variable, one of those in `build`.
        """
        dtype = variable.dtype
        index = self._index_dict[self._var_key(variable)]
        gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
        step = tf.cast(self.iterations + 1, dtype)
        # 1 - beta in Python: in float32, 1 - 0.999 is off by 5e-5.
        mean = self.beta_1 * self.means[index] + (1 - self.beta_1) * gradient
        square = self.beta_2 * self.squares[index] + (1 - self.beta_2) * gradient**2
        unbiased_mean = mean / _one_minus_power(self.beta_1, step)
        unbiased_square = square / _one_minus_power(self.beta_2, step)
        direction = self.decayed(
            unbiased_mean / (tf.sqrt(unbiased_square) + self.epsilon), variable
        )
        self.means[index].assign(mean)
        self.squares[index].assign(square)
        learning_rate = tf.cast(self.learning_rate, dtype)
        trust = self.trust_ratio(direction, variable)
        variable.assign_sub(learning_rate * trust * direction)

    def get_config(self) -> dict[str, Any]:
        """Return all constructor arguments, as JSON-able values; not the exclusions."""
        config = super().get_config()
        del config["trust_coefficient"]
        return {
            **config,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def _one_minus_power(base, exponent):
    """Compute 1 - base^exponent without cancellation for a base close to 1."""
    if base == 0:
        return tf.ones_like(exponent)
    return -tf.math.expm1(exponent * math.log(base))
