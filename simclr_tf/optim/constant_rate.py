"""Variables whose learning rate stays at the peak of the schedule."""

from __future__ import annotations

from collections.abc import Sequence

from simclr_tf.array_types import Optimizer, Variable


def keep_rate_constant(optimizer: Optimizer, variables: Sequence[Variable]) -> None:
    """Update some variables with the peak learning rate from now on.

    Decoupled weight decay (`sgd`, `adamw`) follows the schedule all the same. A
    schedule without `peak_learning_rate`, such as a number, stays as it is.

    Args:
      optimizer: `keras.optimizers.Optimizer`, or a `Wrapped` one.
      variables: list of variables of the optimizer; more may follow by another call.

    Example:
      >>> import tensorflow as tf
      >>> from simclr_tf.optim import WarmupCosine, make_optimizer
      >>> optimizer = make_optimizer("sgd", WarmupCosine(0.5, 4, 8), momentum=0.0)
      >>> a, b = tf.Variable(1.0), tf.Variable(1.0)
      >>> keep_rate_constant(optimizer, [b])  # The warm-up begins at 0.
      >>> _ = optimizer.apply_gradients([(tf.constant(1.0), v) for v in (a, b)])
      >>> float(a), float(b)
      (1.0, 0.5)
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not variables:
        return
    known = getattr(inner, "_at_constant_rate", None)
    # A frozen set: Keras would track others and save them in checkpoints.
    inner._at_constant_rate = (known or frozenset()) | {
        inner._var_key(variable) for variable in variables
    }
    if known is not None:
        return
    usual = inner.update_step

    def update_step(gradient, variable):
        schedule = inner._learning_rate
        if inner._var_key(variable) in inner._at_constant_rate:
            inner._learning_rate = getattr(schedule, "peak_learning_rate", schedule)
        try:
            return usual(gradient, variable)
        finally:
            inner._learning_rate = schedule

    inner.update_step = update_step
