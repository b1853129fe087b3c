"""Optimizers, learning-rate schedules, and exclusions from decay and adaptation."""

from simclr_tf.optim.adamw import AdamW
from simclr_tf.optim.catalogue import (
    learning_rate_schedule,
    make_optimizer,
    step_counters,
)
from simclr_tf.optim.constant_rate import keep_rate_constant
from simclr_tf.optim.lamb import LAMB
from simclr_tf.optim.lars import LARS
from simclr_tf.optim.layer_wise import LayerWiseOptimizer
from simclr_tf.optim.roles import apply_exclusions, slots_of, variables_by_role
from simclr_tf.optim.schedules import WarmupCosine, scaled_learning_rate
from simclr_tf.optim.wrappers import wrap_optimizer

__all__ = [
    "AdamW",
    "LAMB",
    "LARS",
    "LayerWiseOptimizer",
    "WarmupCosine",
    "apply_exclusions",
    "keep_rate_constant",
    "learning_rate_schedule",
    "make_optimizer",
    "scaled_learning_rate",
    "slots_of",
    "step_counters",
    "variables_by_role",
    "wrap_optimizer",
]
