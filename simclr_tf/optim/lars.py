"""Layer-wise adaptive rate scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Schedule, Tensor, Variable
from simclr_tf.errors import require
from simclr_tf.optim.layer_wise import LayerWiseOptimizer


@keras.utils.register_keras_serializable(package="simclr_tf")
class LARS(LayerWiseOptimizer):
    """Momentum SGD whose update is scaled for each variable by ||w|| / ||g||.

    With g the gradient plus `weight_decay * w`, m the momentum, lr the learning rate
    and trust(u) = trust_coefficient * ||w|| / ||u|| (1 if either norm is 0):

      classic momentum:        v <- m v + lr trust(g) g
                               w <- w - v
      classic, Nesterov:       w <- w - (m v + lr trust(g) g)       with the new v
      momentum before trust    v <- m v + g
      (classic_momentum=False): w <- w - lr trust(u) u              with u = v,
                               or u = m v + g for Nesterov.

    Norms are computed in float32. Biases and batch-norm parameters are customarily
    excluded from decay and from adaptation; the two lists are independent, and
    `simclr_tf.optim.apply_exclusions` fills both by role.

    Args:
      learning_rate: float >= 0, or a Keras `LearningRateSchedule`.
      momentum: float in [0, 1). (SimCLR: 0.9.)
      weight_decay: float >= 0. (SimCLR: 1e-6; SimCLRv2: 1e-4.)
      trust_coefficient: float > 0. (SimCLR: 0.001.)
      nesterov: bool.
      classic_momentum: bool, momentum of scaled (SimCLR) or of raw gradients.
      name: str.
      **kwargs: of `keras.optimizers.Optimizer` (`clipnorm`, `use_ema`, ...).

    Raises:
      ConfigError: for a value outside its range.

    Example:
      >>> weight = tf.Variable([3.0, 4.0])
      >>> optimizer = LARS(1.0, trust_coefficient=0.1)
      >>> _ = optimizer.apply_gradients([(tf.constant([0.0, 2.0]), weight)])
      >>> weight.numpy()  # lr * 0.1 * 5 / 2 * g
      array([3. , 3.5], dtype=float32)

    Source: You et al., Large Batch Training of Convolutional Networks (2017);
    Chen et al., SimCLR (2020), section 2.2.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        nesterov: bool = False,
        classic_momentum: bool = True,
        name: str = "LARS",
        **kwargs: Any,
    ) -> None:
        require(0 <= momentum < 1, "`momentum` must be in [0, 1).", momentum=momentum)
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
            name=name,
            **kwargs,
        )
        self.momentum = float(momentum)
        self.nesterov = bool(nesterov)
        self.classic_momentum = bool(classic_momentum)

    def build(self, var_list: Sequence[Variable]) -> None:
        """Make one momentum slot, zeros, for each variable.

        Args:
          var_list: list of variables, all that will ever be updated.
        """
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self.momentums = [
            self.add_variable_from_reference(
                model_variable=variable, variable_name="momentum"
            )
            for variable in var_list
        ]
        self._built = True

    def update_step(self, gradient: Tensor, variable: Variable) -> None:
        """Update one variable and its momentum by the class's formula.

        Args:
          gradient: tensor or `tf.IndexedSlices`.
          variable: tf.Variable, one of those in `build`.
        """
        learning_rate = tf.cast(self.learning_rate, variable.dtype)
        momentum = tf.cast(self.momentum, variable.dtype)
        slot = self.momentums[self._index_dict[self._var_key(variable)]]
        gradient = self.decayed(gradient, variable)
        if self.classic_momentum:
            # v <- m v + step; w <- w - v, or w - (m v + step): one pass over both.
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=slot.handle,
                lr=tf.ones([], variable.dtype),
                grad=learning_rate * self.trust_ratio(gradient, variable) * gradient,
                momentum=momentum,
                use_nesterov=self.nesterov,
            )
            return
        velocity = momentum * slot + gradient
        direction = momentum * velocity + gradient if self.nesterov else velocity
        trust = self.trust_ratio(direction, variable)
        slot.assign(velocity)
        variable.assign_sub(learning_rate * trust * direction)

    def get_config(self) -> dict[str, Any]:
        """Return all constructor arguments, as JSON-able values; not the exclusions."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "classic_momentum": self.classic_momentum,
        }
