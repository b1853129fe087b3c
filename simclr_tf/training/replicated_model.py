"""The base of all our Keras models: a training step over the global batch."""

import contextlib
import types

import tensorflow as tf

from simclr_tf._keras import keras, refuse_keras3
from simclr_tf.distribution import (
    SAME_ON_ALL_REPLICAS,
    is_tpu,
    keep_or_restore,
    sum_over_replicas,
)
from simclr_tf.errors import unknown_choice
from simclr_tf.models.kernel_gradients import (
    faster_kernel_gradients,
    prepare_kernel_gradients,
)
from simclr_tf.optim import step_counters
from simclr_tf.training.compilation import on_gpu

ON_NONFINITE = ("stop", "skip")


class RunningMean(keras.metrics.Mean):
    """The mean over an epoch's steps of a value that is equal on all replicas.

    Each replica keeps the same numbers, so one worker can show or save them without a
    collective.
    """

    def add_weight(self, *args, **kwargs):
        """Add a weight that is equal on all replicas instead of summed."""
        return super().add_weight(
            *args, **{**kwargs, "aggregation": SAME_ON_ALL_REPLICAS}
        )


class RunCount(keras.metrics.Sum):
    """A counter of events since the run began."""

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
      on_nonfinite: what to do in a step whose loss or gradient is not finite. "stop":
        nothing; a callback (`HealthCheck`) stops the run. "skip": undo the step in all
        variables but the step counter, on all replicas, and count it in
        `skipped_steps` (of the whole run) instead of the other metrics.

    On a processor, without XLA, the gradients of kernels are computed by other sums
    where that is faster (`simclr_tf.models.kernel_gradients`); a model whose
    `uses_kernel_gradients` is set to False, once compiled, leaves all to TensorFlow.

    Raises:
      ConfigError: an unknown choice.
    """

    def __init__(self, figures, *, on_nonfinite="stop", **kwargs):
        super().__init__(**kwargs)
        if on_nonfinite not in ON_NONFINITE:
            raise unknown_choice("on_nonfinite", on_nonfinite, ON_NONFINITE)
        # Read-only: Keras would track a dict and save the means a second time.
        self._means = types.MappingProxyType(
            {name: RunningMean(name=name) for name in figures}
        )
        self._skipped_steps = RunCount(name="skipped_steps")
        self.skips_nonfinite = on_nonfinite == "skip"
        self.uses_kernel_gradients = False  # Until it is compiled.
        # A step returns the same on every replica, so Keras need not sum it.
        self.distribute_reduction_method = "first"

    def compile(self, optimizer="rmsprop", loss=None, **options):
        """Set the optimizer, or a list of them, of the Keras 2 API."""
        remedy = (
            'Make one by its name, simclr_tf.optim.make_optimizer("adamw", 1e-3), or '
            f"with {keras.__name__}.optimizers."
        )
        for given in optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]:
            refuse_keras3(remedy, optimizer=given)
        refuse_keras3("The objective is the loss: see simclr_tf.objectives.", loss=loss)
        super().compile(optimizer=optimizer, loss=loss, **options)
        on_processor = not on_gpu() and not is_tpu(self.distribute_strategy)
        self.uses_kernel_gradients = on_processor and not options.get("jit_compile")
        if self.uses_kernel_gradients:
            for layer in self.layers:
                prepare_kernel_gradients(layer)

    @contextlib.contextmanager
    def tape(self):
        """Record a forward pass of a step with a `tf.GradientTape`."""
        with (
            faster_kernel_gradients(self.uses_kernel_gradients),
            tf.GradientTape() as tape,
        ):
            yield tape

    def update(self, gradients, variables, shares):
        """Sum gradients and figures over the replicas, and change the weights.

        Args:
          gradients: list of tensors, this replica's; None where there is none.
          variables: list of the variables of these gradients.
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
        """Snapshot everything that a step changes; None if steps are never skipped.

        Returns:
          List of (variable, tensor of its value): all variables of networks, objective
          and optimizer, except counters of steps.
        """
        if not self.skips_nonfinite:
            return None
        with tf.init_scope():  # Creates the optimizer's slots.
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
          former: result of `values_before_update`.
          figures: dict, of `update`.

        Returns:
          bool scalar: whether the step is kept; None if steps are never skipped.
        """
        if former is None:
            return None
        is_finite = tf.math.is_finite(figures["loss"] + figures["gradient_norm"])
        keep_or_restore(is_finite, *zip(*former, strict=True))
        return is_finite

    def record(self, figures, weights=None, is_finite=None):
        """Add a step's figures to the running means of the epoch.

        Args:
          figures: dict of name to scalar; figures without a value in this batch are
            absent.
          weights: dict of name to the weight of this step; 1 for those left out.
          is_finite: bool scalar or None, of `undo_unless_finite`.

        Returns:
          dict of name to running mean, the result of a Keras step.
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
        """int, skipped steps of the whole run."""
        return int(self._skipped_steps.result())
