"""The optimizers by name."""

from __future__ import annotations

import tensorflow as tf

from simclr_tf._keras import keras, refuse_keras3
from simclr_tf.array_types import Optimizer, Schedule, Variable
from simclr_tf.errors import unknown_choice
from simclr_tf.optim.adamw import AdamW
from simclr_tf.optim.lamb import LAMB
from simclr_tf.optim.lars import LARS


def make_optimizer(
    name: str,
    learning_rate: float | Schedule,
    *,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    nesterov: bool = False,
    trust_coefficient: float = 0.001,
    classic_momentum: bool = True,
) -> Optimizer:
    """Make an optimizer by its name; arguments that it does not have are ignored.

    Weight decay depends on the optimizer: with `"lars"` it is added to the gradient,
    before the momentum; with `"lamb"` to the direction, inside the trust ratio; with
    `"sgd"` and `"adamw"` it is Keras's decoupled decay,
    w <- w - learning_rate * weight_decay * w at each step, outside the momentum (so for
    SGD with momentum 0.9 about a tenth of what the same number does in the gradient).

    Args:
      name: `"lars"`, `"lamb"`, `"sgd"` or `"adamw"`.
      learning_rate: float >= 0, or a Keras `LearningRateSchedule`.
      weight_decay: float >= 0. Exclude variables by `apply_exclusions`.
      momentum: float in [0, 1), for lars and sgd.
      nesterov: bool, for lars and sgd.
      trust_coefficient: float > 0, for lars.
      classic_momentum: bool, for lars.

    Returns:
      `keras.optimizers.Optimizer`, not yet built.

    Raises:
      ConfigError: for an unknown name or a value outside its range.

    Example:
      >>> make_optimizer("lars", 0.3, weight_decay=1e-6).name
      'LARS'
    """
    refuse_keras3(
        "Use simclr_tf.optim.WarmupCosine, or a schedule of "
        f"{keras.__name__}.optimizers.schedules.",
        learning_rate=learning_rate,
    )
    makers = {
        "lars": lambda: LARS(
            learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
            nesterov=nesterov,
            classic_momentum=classic_momentum,
        ),
        "lamb": lambda: LAMB(learning_rate, weight_decay=weight_decay),
        "sgd": lambda: keras.optimizers.SGD(
            learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay or None,
        ),
        "adamw": lambda: AdamW(learning_rate, weight_decay=weight_decay),
    }
    if name not in makers:
        raise unknown_choice("optimizer", name, makers)
    return makers[name]()


def learning_rate_schedule(optimizer: Optimizer) -> Schedule:
    """Return the schedule of an optimizer.

    Args:
      optimizer: `keras.optimizers.Optimizer`, made with a schedule.

    Returns:
      `keras.optimizers.schedules.LearningRateSchedule`, a function of the step.

    Example:
      >>> from simclr_tf.optim import WarmupCosine
      >>> optimizer = make_optimizer("sgd", WarmupCosine(0.4, 10, 100))
      >>> float(learning_rate_schedule(optimizer)(5))
      0.20000000298023224
    """
    return optimizer._learning_rate


def step_counters(optimizer: Optimizer) -> list[Variable]:
    """Return the variables of an optimizer that only count steps.

    Args:
      optimizer: `keras.optimizers.Optimizer`, built.

    Returns:
      list of variables: its iterations, and its learning rate, which follows from them.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    found = [
        optimizer.iterations,
        inner.iterations,
        inner._learning_rate,
        getattr(inner, "_current_learning_rate", None),
    ]
    return [value for value in found if isinstance(value, tf.Variable)]
