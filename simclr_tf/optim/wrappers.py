"""Lookahead and weight averages for any optimizer.

The wrappers are those of TensorFlow Addons, written for Keras's legacy optimizers. Here
`Wrapped` is a present Keras optimizer that calls an update of Addons, which in turn
calls the inner present optimizer.
"""

from __future__ import annotations

import types

import tensorflow as tf

from simclr_tf._keras import addons, keras
from simclr_tf.array_types import Optimizer
from simclr_tf.errors import require, unknown_choice

WRAPPERS = ("lookahead", "swa", "moving_average")


def wrap_optimizer(
    name: str,
    optimizer: Optimizer,
    *,
    lookahead_period_steps: int = 6,
    lookahead_step_size: float = 0.5,
    swa_start_step: int = 0,
    swa_period_steps: int = 10,
    average_decay: float = 0.99,
) -> Optimizer:
    """Wrap an optimizer with a rule that averages or resets the weights.

    With w the weights after each step of `optimizer`, k the number of steps done:

    - `"lookahead"`: every `lookahead_period_steps`, s being the slow weights,
      w <- s <- s + lookahead_step_size * (w - s).
    - `"swa"`: the average a is the mean of w at the steps `swa_start_step` + 1,
      + 1 + `swa_period_steps`, ...; training continues with w.
    - `"moving_average"`: a <- average_decay * a + (1 - average_decay) * w, from
      a = w before the first step; training continues with w.

    Args:
      name: one of WRAPPERS.
      optimizer: `keras.optimizers.Optimizer`, not yet built.
      lookahead_period_steps: int >= 1.
      lookahead_step_size: float in (0, 1].
      swa_start_step: int >= 0.
      swa_period_steps: int >= 1.
      average_decay: float in [0, 1).

    Returns:
      `Wrapped`.

    Raises:
      ConfigError: an unknown name, a value outside its range, or an environment
        without TensorFlow Addons.

    Source: Zhang et al. (2019), arXiv 1907.08610; Izmailov et al. (2018), arXiv
    1803.05407.
    """
    require(
        lookahead_period_steps >= 1,
        "`lookahead_period_steps` must be >= 1.",
        lookahead_period_steps=lookahead_period_steps,
    )
    require(
        0 < lookahead_step_size <= 1,
        "`lookahead_step_size` must be in (0, 1].",
        lookahead_step_size=lookahead_step_size,
    )
    require(
        swa_start_step >= 0,
        "`swa_start_step` must be >= 0.",
        swa_start_step=swa_start_step,
    )
    require(
        swa_period_steps >= 1,
        "`swa_period_steps` must be >= 1.",
        swa_period_steps=swa_period_steps,
    )
    require(
        0 <= average_decay < 1,
        "`average_decay` must be in [0, 1).",
        average_decay=average_decay,
    )
    if name not in WRAPPERS:
        raise unknown_choice("wrapper", name, WRAPPERS)
    tfa = addons(f"The optimizer wrapper `{name}`")
    legacy = _AsLegacy(optimizer)
    if name == "lookahead":
        return Wrapped(
            optimizer,
            "slow",
            tfa.optimizers.Lookahead(
                legacy,
                sync_period=lookahead_period_steps,
                slow_step_size=lookahead_step_size,
            ),
        )
    if name == "swa":
        return Wrapped(
            optimizer,
            "average",
            tfa.optimizers.SWA(
                legacy, start_averaging=swa_start_step, average_period=swa_period_steps
            ),
        )
    return Wrapped(
        optimizer,
        "average",
        tfa.optimizers.MovingAverage(legacy, average_decay=average_decay),
    )


class Wrapped(keras.optimizers.Optimizer):
    """A Keras optimizer with one of Addons' wrappers around it.

    Args:
      inner_optimizer: `keras.optimizers.Optimizer`, not yet built.
      slot_name: str, `"slow"` or `"average"`, the wrapper's copy of the weights.
      wrapper: optimizer of Addons around `_AsLegacy(inner_optimizer)`.

    Attributes:
      copies: list of variables, the slow or averaged weights in the order of `build`.
      averages: `copies` if they are averages, else None.
    """

    def __init__(self, inner_optimizer, slot_name, wrapper):
        super().__init__(
            name=f"{wrapper._name}_{inner_optimizer.name}", jit_compile=False
        )
        self.inner_optimizer = inner_optimizer
        self._learning_rate = inner_optimizer._learning_rate
        self._slot_name = slot_name
        # In a namespace, so that a checkpoint has `copies` but no variables in the
        # format of a legacy optimizer.
        self._addons = types.SimpleNamespace(wrapper=wrapper)
        self.copies = []

    @property
    def averages(self):
        return self.copies if self._slot_name == "average" else None

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    def _compute_current_learning_rate(self):
        self.inner_optimizer._compute_current_learning_rate()

    def _apply_weight_decay(self, variables):
        self.inner_optimizer._apply_weight_decay(variables)

    @property
    def variables(self):
        """All variables: the inner optimizer's, and the copies."""
        # The inner optimizer's first variable is its step counter, replaced by ours.
        return [*self._variables, *self.inner_optimizer._variables[1:], *self.copies]

    def build(self, var_list):
        """Make the inner optimizer's slots and a copy of each variable.

        Args:
          var_list: list of variables, all that will ever be updated.
        """
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        wrapper = self._addons.wrapper
        # One step counter for all, made here: inside a graph it would be too late.
        for optimizer in (self.inner_optimizer, wrapper, wrapper._optimizer):
            optimizer.iterations = self.iterations
        self.inner_optimizer.build(var_list)
        wrapper._create_all_weights(var_list)
        self.copies = [
            wrapper.get_slot(variable, self._slot_name) for variable in var_list
        ]
        self._built = True

    def weights_loaded(self, variables):
        """Make the copies anew, after the variables got other values before step 0.

        Args:
          variables: list of variables, those in `build`.
        """
        for copy, variable in zip(self.copies, variables, strict=True):
            copy.assign(variable.read_value())

    def update_step(self, gradient, variable):
        """Update one variable by the inner optimizer, then its copy.

        Args:
          gradient: tensor or `tf.IndexedSlices`.
          variable: tf.Variable, one of those in `build`.
        """
        self._addons.wrapper._resource_apply_dense(
            tf.convert_to_tensor(gradient), variable
        )


class _AsLegacy(keras.optimizers.legacy.Optimizer):
    """A legacy optimizer for Addons' wrappers that calls a present Keras optimizer."""

    def __init__(self, optimizer):
        super().__init__(name=optimizer.name)
        self._present = types.SimpleNamespace(optimizer=optimizer)

    def _create_slots(self, var_list):
        """Do nothing: `Wrapped.build` has made the slots."""

    def _create_hypers(self):
        """Do nothing: the present optimizer has its own."""

    def _prepare_local(self, var_device, var_dtype, apply_state):
        """Do nothing: `Wrapped` computes the learning rate once a step."""

    def _resource_apply_dense(self, grad, var):
        self._present.optimizer.update_step(grad, var)
        return tf.no_op()

    def get_config(self):
        return {
            **super().get_config(),
            "optimizer": keras.optimizers.serialize(self._present.optimizer),
        }
