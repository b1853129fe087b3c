"""Collectives: sums, gathers and assignments over the replicas.

Global batch semantics: a loss is the mean over the *global* batch, candidates are
gathered from all replicas with their gradients, and gradients are summed once. With
one replica, or outside `strategy.run`, every function here is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from simclr_tf.array_types import Strategy, Tensor, Variable
from simclr_tf.errors import require

# For variables with equal values on all replicas: reading one needs no collective, so
# a single worker can save it.
SAME_ON_ALL_REPLICAS = tf.VariableAggregation.ONLY_FIRST_REPLICA


def num_replicas() -> int:
    """Return the number of replicas that run the calling code in sync (1 outside)."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def in_several_replicas() -> bool:
    """Tell whether several replicas run the calling code at the same time."""
    return num_replicas() > 1 and not tf.distribute.in_cross_replica_context()


def uses_merge_calls() -> bool:
    """Tell whether the strategy uses `merge_call`, with one Python thread a replica.

    A MirroredStrategy does, and `merge_call` cannot run inside a `tf.while_loop`. The
    collectives of other strategies are part of one program, also in loops.
    """
    return not tf.__internal__.distribute.strategy_supports_no_merge_call()


def sum_over_replicas(tensors: Any, *, equal_gradients: bool = False) -> Any:
    """Sum each tensor over all replicas, in one collective for all of them.

    The gradient of a sum is the sum of the gradients, which is another collective.

    Args:
      tensors: tensor, or list or dict of tensors, of the same shapes on every replica.
      equal_gradients: bool, whether all that is computed from the sums is the same on
        every replica. Then the gradients are too, and need no collective.

    Returns:
      The same structure; the values are the same on every replica, bit for bit.
    """
    if not in_several_replicas():
        return tensors
    if not equal_gradients:
        return tf.distribute.get_replica_context().all_reduce("SUM", tensors)

    @tf.custom_gradient
    def sums_of(*parts):
        sums = tf.distribute.get_replica_context().all_reduce("SUM", list(parts))
        replicas = num_replicas()
        return sums, lambda *gradients: [replicas * gradient for gradient in gradients]

    sums = sums_of(*tf.nest.flatten(tensors))
    return tf.nest.pack_sequence_as(tensors, tf.nest.flatten(sums))


def stack_over_replicas(tensor: Tensor) -> Tensor:
    """Stack the tensors of all replicas as the rows of one tensor, on all replicas.

    Each replica fills its row of a tensor of zeros, and the tensors are summed. The sum
    is exact, a NaN stays in its row, the gradient flows back to the replica of the row,
    and every device supports this collective.

    Args:
      tensor: `[...]`, of the same static shape on every replica.

    Returns:
      `[replicas, ...]`.
    """
    if not in_several_replicas():
        return tensor[tf.newaxis]
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    is_own = tf.equal(tf.range(num_replicas()), tf.cast(replica, tf.int32))
    is_own = tf.reshape(is_own, [-1] + [1] * tensor.shape.rank)
    own_row = tf.where(is_own, tensor[tf.newaxis], tf.zeros([], tensor.dtype))
    return sum_over_replicas(own_row)


def gather_across_replicas(tensor: Tensor) -> Tensor:
    """Concatenate a per-replica tensor over all replicas, in replica order.

    The gradient flows back to every replica that contributed.

    Args:
      tensor: `[N, ...]`, with the same static shape on every replica.

    Returns:
      `[replicas * N, ...]`.
    """
    if not in_several_replicas():
        return tensor
    return tf.concat(tf.unstack(stack_over_replicas(tensor)), axis=0)


def replica_offset(per_replica_batch_size: int | Tensor) -> Tensor:
    """Return the row of the global batch at which this replica's part starts.

    Args:
      per_replica_batch_size: int or int32 scalar.

    Returns:
      int32 scalar (0 outside `strategy.run`).
    """
    if not in_several_replicas():
        return tf.constant(0, tf.int32)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.cast(replica, tf.int32) * tf.cast(per_replica_batch_size, tf.int32)


def run_on_replicas(
    strategy: Strategy, function: Callable[..., Any], *values: Any
) -> Any:
    """Call `function` on every replica with that replica's part of the values.

    Args:
      strategy: tf.distribute.Strategy.
      function: callable of tensors, e.g. a `tf.function`.
      *values: elements of a distributed data set; any tensors with one replica.
    """
    strategy.run(function, args=values)


def require_equal_rows(tensor: Tensor) -> None:
    """Refuse a global batch whose parts on the replicas have different sizes.

    Means over the global batch are means of the replicas' means, which would be wrong
    for parts of 3 and 2 rows. The check runs while the step is traced.

    Args:
      tensor: `[N, ...]`, this replica's part of the batch.

    Raises:
      ConfigError: unless N is known and the same on all replicas.
    """
    if not in_several_replicas():
        return

    def check(strategy, parts):
        rows = [part.shape[0] for part in strategy.experimental_local_results(parts)]
        require(
            None not in rows and len(set(rows)) == 1,
            "Every replica needs the same, fixed number of images: use a global batch "
            "size that the replicas divide, and `dataset.batch(global_batch_size, "
            "drop_remainder=True)`.",
            replicas=num_replicas(),
            rows_of_replicas=rows,
        )

    if uses_merge_calls():
        tf.distribute.get_replica_context().merge_call(check, args=(tensor,))
    else:
        check(tf.distribute.get_strategy(), tensor)  # One program for all replicas.


def keep_or_restore(
    keep: Tensor, variables: Sequence[Variable], former_values: Sequence[Tensor]
) -> None:
    """Restore the former values of variables on all replicas, unless `keep`.

    Args:
      keep: bool scalar, the same on every replica.
      variables: list of tf.Variable.
      former_values: list of tensors of their shapes.
    """
    values = [
        tf.where(keep, variable, former)
        for variable, former in zip(variables, former_values, strict=True)
    ]
    assign_on_replicas(variables, values)


def assign_on_replicas(variables: Sequence[Variable], values: Sequence[Tensor]) -> None:
    """Assign values to variables that are the same on every replica.

    Inside `strategy.run` a mirrored variable has no plain `assign`, because TensorFlow
    does not know that the values are equal. Here each replica assigns to its own copy.

    Args:
      variables: list of tf.Variable.
      values: list of tensors of their shapes, the same on every replica.
    """
    mirrored = []
    for variable, value in zip(variables, values, strict=True):
        if variable.synchronization == tf.VariableSynchronization.ON_READ:
            variable.assign(value)  # Each replica has its own variable.
        else:
            mirrored.append((variable, value))

    def assign(strategy, pairs):
        for variable, value in pairs:
            strategy.extended.update(
                variable, lambda v, new: v.assign(new), args=(value,), group=False
            )

    tf.__internal__.distribute.interim.maybe_merge_call(
        assign, tf.distribute.get_strategy(), mirrored
    )


def scatter_on_replicas(variable: Variable, rows: Tensor, values: Tensor) -> None:
    """Replace some rows of a variable, on all replicas, without copying the rest.

    Args:
      variable: tf.Variable `[n, ...]`.
      rows: integers `[N]`, the same on every replica; equal ones with equal values.
      values: tensor `[N, ...]`, the same on every replica.
    """

    def scatter(strategy, rows, values):
        strategy.extended.update(
            variable,
            lambda v, rows, values: v.scatter_nd_update(rows, values),
            args=(rows, values),
            group=False,
        )

    tf.__internal__.distribute.interim.maybe_merge_call(
        scatter, tf.distribute.get_strategy(), rows[:, tf.newaxis], values
    )
