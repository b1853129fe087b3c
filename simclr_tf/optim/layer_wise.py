"""Base of the optimizers with one learning rate for each layer (LARS, LAMB).

Such an optimizer scales the update of a variable w in direction u by a trust ratio,
coefficient * ||w|| / ||u||. This class has the ratio, the two lists of excluded
variables and the weight decay; a subclass has the direction: its `build` makes the
slots, its `update_step` the update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Schedule, Tensor, Variable
from simclr_tf.errors import require


class LayerWiseOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer with a trust ratio for each variable.

    Weight decay is coupled: it is part of the direction and so of the trust ratio.
    Keras's own, decoupled decay is switched off.

    Args:
      learning_rate: float >= 0, or a Keras `LearningRateSchedule`.
      weight_decay: float >= 0.
      trust_coefficient: float > 0.
      name: str.
      **kwargs: of `keras.optimizers.Optimizer` (`clipnorm`, `use_ema`, ...).

    Raises:
      ConfigError: for a value outside its range.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        *,
        weight_decay: float,
        trust_coefficient: float,
        name: str,
        **kwargs: Any,
    ) -> None:
        weight_decay = 0.0 if weight_decay is None else weight_decay
        if isinstance(learning_rate, (int, float)):
            require(
                learning_rate >= 0,
                "`learning_rate` must be >= 0.",
                learning_rate=learning_rate,
            )
        require(
            weight_decay >= 0, "`weight_decay` must be >= 0.", weight_decay=weight_decay
        )
        require(
            trust_coefficient > 0,
            "`trust_coefficient` must be > 0.",
            trust_coefficient=trust_coefficient,
        )
        super().__init__(name=name, weight_decay=float(weight_decay), **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.trust_coefficient = float(trust_coefficient)
        # Frozen sets: Keras would track lists and save them in checkpoints.
        self._undecayed = frozenset()
        self._unadapted = frozenset()

    def exclude_from_weight_decay(self, var_list: Sequence[Variable]) -> None:
        """Exclude variables from weight decay, in addition to those excluded before.

        Exclusions are kept by the identity of the variable. They are not part of
        `get_config`: state them again for an optimizer made from one, as
        `simclr_tf.optim.apply_exclusions` does by role.

        Args:
          var_list: list of variables.

        Raises:
          ConfigError: once the optimizer is built (at the first `apply_gradients`),
            when traced steps would ignore the change.
        """
        self._undecayed |= self._keys(var_list)

    def exclude_from_layer_adaptation(self, var_list: Sequence[Variable]) -> None:
        """Give variables a trust ratio of 1, in addition to those excluded before.

        Independent of the weight decay's list; otherwise like it.

        Args:
          var_list: list of variables.

        Raises:
          ConfigError: once the optimizer is built.
        """
        self._unadapted |= self._keys(var_list)

    def _keys(self, var_list):
        require(
            not getattr(self, "_built", False),
            "Variables can be excluded only before the optimizer's first step; make "
            "a new optimizer.",
            optimizer=self.name,
        )
        return frozenset(self._var_key(variable) for variable in var_list)

    def decayed(self, direction: Tensor, variable: Variable) -> Tensor:
        """Return `direction + weight_decay * variable`, or `direction` if excluded.

        Args:
          direction: tensor or `tf.IndexedSlices` of the variable's shape.
          variable: tf.Variable.

        Returns:
          Dense tensor of the variable's dtype.
        """
        direction = tf.cast(tf.convert_to_tensor(direction), variable.dtype)
        if self.weight_decay and self._var_key(variable) not in self._undecayed:
            direction += tf.cast(self.weight_decay, variable.dtype) * variable
        return direction

    def trust_ratio(self, direction: Tensor, variable: Variable) -> Tensor:
        """Compute trust_coefficient * ||variable|| / ||direction||, norms in float32.

        Args:
          direction: tensor of the variable's shape.
          variable: tf.Variable.

        Returns:
          Scalar of the variable's dtype: 1 if the variable is excluded, or if one of
          the norms is 0.
        """
        if self._var_key(variable) in self._unadapted:
            return tf.ones([], variable.dtype)
        variable_norm, direction_norm = _norm(variable), _norm(direction)
        ratio = tf.where(
            (variable_norm > 0) & (direction_norm > 0),
            self.trust_coefficient
            * tf.math.divide_no_nan(variable_norm, direction_norm),
            1.0,
        )
        return tf.cast(ratio, variable.dtype)

    def _apply_weight_decay(self, variables):
        """Replace Keras's decoupled decay by nothing: `decayed` applies the decay."""

    def get_config(self) -> dict[str, Any]:
        """Return all constructor arguments, as JSON-able values; not the exclusions."""
        learning_rate = self._serialize_hyperparameter(self._learning_rate)
        if not isinstance(learning_rate, dict):
            learning_rate = float(learning_rate)
        return {
            **super().get_config(),
            "learning_rate": learning_rate,
            "weight_decay": self.weight_decay,
            "trust_coefficient": self.trust_coefficient,
        }


def _norm(tensor):
    """Compute the l2 norm in float32; `tf.norm` would write the squares first."""
    return tf.sqrt(2.0 * tf.nn.l2_loss(tf.cast(tensor, tf.float32)))
