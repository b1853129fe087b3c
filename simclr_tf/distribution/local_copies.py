"""The values of a variable on this machine, read without a collective."""

from __future__ import annotations

from simclr_tf.array_types import Variable


def local_copies(variable: Variable) -> tuple[Variable, ...]:
    """Return the plain variables behind a variable, one a replica of this worker.

    Reading or assigning them needs no collective, so one worker can do it alone.

    Args:
      variable: tf.Variable, distributed or not.

    Returns:
      tuple of tf.Variable.

    Example:
      >>> import tensorflow as tf
      >>> len(local_copies(tf.Variable(1.0)))
      1
    """
    return tuple(getattr(variable, "values", (variable,)))
