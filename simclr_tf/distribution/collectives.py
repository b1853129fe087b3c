"""What replicas tell each other.

Global batch semantics: a loss is the mean over the *global* batch, candidates are
gathered from all replicas with their gradients, and gradients are summed once.
"""

import tensorflow as tf


def num_replicas():
    """Number of replicas that run in sync with the calling code (1 outside)."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def _in_several_replicas():
    return num_replicas() > 1 and tf.distribute.in_cross_replica_context() is False


def gather_across_replicas(tensor):
    """Concatenate a per-replica tensor over all replicas, in replica order.

    The gradient flows back to every replica that contributed. With one replica, or
    outside `strategy.run`, the tensor comes back unchanged.

    Args:
      tensor: `[N, ...]`, with the same static shape on every replica.

    Returns:
      `[replicas * N, ...]`.
    """
    if not _in_several_replicas():
        return tensor
    return tf.distribute.get_replica_context().all_gather(tensor, axis=0)


def replica_offset(per_replica_batch_size):
    """Row of the global batch at which this replica's part starts.

    Args:
      per_replica_batch_size: int or int32 scalar.

    Returns:
      int32 scalar (0 outside `strategy.run`).
    """
    if not _in_several_replicas():
        return tf.constant(0, tf.int32)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.cast(replica, tf.int32) * tf.cast(per_replica_batch_size, tf.int32)


def run_on_replicas(function, *values):
    """Call `function` once on every replica, each with its own part of the values.

    Args:
      function: callable of tensors, e.g. a `tf.function`.
      *values: elements of a distributed data set; any tensors with one replica.
    """
    tf.distribute.get_strategy().run(function, args=values)
