"""Optimizers, learning-rate schedules, and which variables they spare."""

from simclr_tf.optim.catalogue import make_optimizer
from simclr_tf.optim.lars import LARS
from simclr_tf.optim.layer_wise import LayerWiseOptimizer
from simclr_tf.optim.roles import apply_exclusions, variables_by_role
from simclr_tf.optim.schedules import WarmupCosine, scaled_learning_rate

__all__ = [
    "LARS",
    "LayerWiseOptimizer",
    "WarmupCosine",
    "apply_exclusions",
    "make_optimizer",
    "scaled_learning_rate",
    "variables_by_role",
]
