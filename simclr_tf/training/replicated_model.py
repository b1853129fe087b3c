"""The Keras model whose step updates the global batch: the base of all our models."""

import types

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.distribution import (
    SAME_ON_ALL_REPLICAS,
    keep_or_restore,
    sum_over_replicas,
)
from simclr_tf.errors import unknown_choice
from simclr_tf.optim import step_counters

ON_NONFINITE = ("stop", "skip")


class RunningMean(keras.metrics.Mean):
    """Mean over the steps of an epoch of a value that all replicas agree on.

    Each replica keeps the same numbers for itself: showing or saving them takes no
    collective, and one worker can do it alone.
    """

    def add_weight(self, *args, **kwargs):
        """Add a weight that is equal on all replicas instead of summed."""
        return super().add_weight(
            *args, **{**kwargs, "aggregation": SAME_ON_ALL_REPLICAS}
        )


class RunCount(keras.metrics.Sum):
    """Number of times that something has happened since the run began."""

    def add_weight(self, *args, **kwargs):
        """Add a weight as `RunningMean` does."""
        return super().add_weight(
            *args, **{**kwargs, "aggregation": SAME_ON_ALL_REPLICAS}
        )

    def reset_state(self):
        """Keep the count: Keras resets metrics at every epoch."""


class ReplicatedModel(keras.Model):
    """Gradients, figures and rollback of a step over all replicas.

    A subclass computes, on each replica, its shares of the global figures (their sum
    over the replicas is the global value) and the gradients of shares["loss"], and
    gives both to `update`; `record` keeps the running means of an epoch.

    Args:
      figures: tuple of str, names of the figures of a step.
      on_nonfinite: "stop": a step whose loss or gradient is not finite is like any
        other, for a callback (`HealthCheck`) to stop at; "skip": it leaves no trace in
        any variable on any replica but the step counter, and is counted in
        `skipped_steps` (of the whole run) instead of the other metrics.

    Raises:
      ConfigError: an unknown choice.
    """

    def __init__(self, figures, *, on_nonfinite="stop", **kwargs):
        super().__init__(**kwargs)
        if on_nonfinite not in ON_NONFINITE:
            raise unknown_choice("on_nonfinite", on_nonfinite, ON_NONFINITE)
        # Read-only: Keras would track a dict, and checkpoints hold the means elsewhere.
        self._means = types.MappingProxyType(
            {name: RunningMean(name=name) for name in figures}
        )
        self._skipped_steps = RunCount(name="skipped_steps")
        self._skips = on_nonfinite == "skip"
        # What a step returns is the same on every replica: Keras need not add it up.
        self.distribute_reduction_method = "first"

    def update(self, gradients, variables, shares):
        """Sum gradients and figures over the replicas, and change the weights.

        Args:
          gradients: list of tensors, this replica's; None where there is none.
          variables: list of the variables that they belong to.
          shares: dict of figure name to scalar, this replica's share.

        Returns:
          dict of the global figures, with "gradient_norm".
        """
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        gradients, variables = zip(*pairs, strict=True)
        # The one collective of the update: gradients and figures together.
        gradients, figures = sum_over_replicas((gradients, shares))
        self.apply(gradients, variables)
        return {**figures, "gradient_norm": tf.linalg.global_norm(gradients)}

    def apply(self, gradients, variables):
        """Give global gradients to the optimizer."""
        self.optimizer.apply_gradients(
            zip(gradients, variables, strict=True), skip_gradients_aggregation=True
        )

    def values_before_update(self):
        """Snapshot everything that a step changes; None where no step is skipped.

        Returns:
          List of (variable, tensor of its value): networks, objective and optimizer,
          whatever they hold, but no counter of steps.
        """
        if not self._skips:
            return None
        with tf.init_scope():  # The optimizer's slots must exist by now.
            self.optimizer.build(self.trainable_variables)
        counters = {id(v) for v in step_counters(self.optimizer)}
        changing = [
            variable
            for layer in self.layers
            if not isinstance(layer, keras.metrics.Metric)
            for variable in layer.variables
        ]
        changing += [v for v in self.optimizer.variables if id(v) not in counters]
        unique = {id(variable): variable for variable in changing}
        return [(variable, variable.read_value()) for variable in unique.values()]

    def undo_unless_finite(self, former, figures):
        """Roll a step back whose loss or gradient is not finite.

        Args:
          former: what `values_before_update` returned.
          figures: dict, of `update`.

        Returns:
          bool scalar: whether the step counts; None where none is skipped.
        """
        if former is None:
            return None
        is_finite = tf.math.is_finite(figures["loss"] + figures["gradient_norm"])
        keep_or_restore(is_finite, *zip(*former, strict=True))
        return is_finite

    def record(self, figures, weights=None, is_finite=None):
        """Add a step's figures to the running means of the epoch.

        Args:
          figures: dict of name to scalar; figures that a batch has none of are absent.
          weights: dict of name to the weight of this step; 1 for those left out.
          is_finite: bool scalar or None, of `undo_unless_finite`.

        Returns:
          dict of name to running mean: what a step of Keras returns.
        """
        counts = 1.0 if is_finite is None else tf.cast(is_finite, tf.float32)
        for name, value in figures.items():
            if is_finite is not None:
                value = tf.where(is_finite, value, 0.0)
            weight = (weights or {}).get(name, 1.0)
            self._means[name].update_state(value, sample_weight=weight * counts)
        logs = {name: self._means[name].result() for name in figures}
        if is_finite is not None:
            self._skipped_steps.update_state(1.0 - counts)
            logs["skipped_steps"] = self._skipped_steps.result()
        return logs

    @property
    def metrics(self):
        return [*self._means.values(), self._skipped_steps]

    @property
    def skipped_steps(self):
        """int, steps of the whole run whose update was left out."""
        return int(self._skipped_steps.result())
