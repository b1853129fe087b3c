"""Python functions called from inside a tf.data pipeline."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from simclr_tf.lazy import tf


def on_host(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    types: Any,
    *,
    stateful: bool = False,
) -> Any:
    """Call a Python function on NumPy values from a graph.

    The function lives as long as the data set whose pipeline calls it.
    `tf.numpy_function` would keep it until the process ends, with everything it refers
    to: the images of every run, and the model.

    Args:
      function: from NumPy values to one value or a tuple; `plain_errors` restores the
        exceptions that it raises.
      inputs: list of tensors.
      types: tf.DType or list of them, of the results.
      stateful: bool, whether the result depends on more than the inputs. With
        deterministic operations TensorFlow then runs the surrounding work serially.

    Returns:
      One tensor, or a list of them, of unknown shape.

    Example:
      >>> dataset = tf.data.Dataset.range(3)
      >>> dataset = dataset.map(lambda n: on_host(lambda i: i * i, [n], tf.int64))
      >>> [int(number) for number in dataset]
      [0, 1, 4]
    """
    return tf.numpy_function(_lent(function), inputs, types, stateful=stateful)


def _lent(function):
    """Return `function`, kept alive by the outermost function graph that calls it."""
    graph = tf.compat.v1.get_default_graph()
    if getattr(graph, "outer_graph", None) is None:
        return function  # Eager: called at once.
    while getattr(graph.outer_graph, "outer_graph", None) is not None:
        graph = graph.outer_graph
    # Inner graphs may be deleted after tracing; a data set keeps the outermost one.
    graph.host_functions = [*getattr(graph, "host_functions", []), function]
    reference = weakref.ref(function)

    @tf.autograph.experimental.do_not_convert  # It would lengthen tracebacks.
    def call(*values):
        return reference()(*values)

    return call
