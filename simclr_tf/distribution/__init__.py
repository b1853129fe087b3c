"""The only part of the package that knows about replicas."""

from simclr_tf.distribution.collectives import (
    SAME_ON_ALL_REPLICAS,
    gather_across_replicas,
    in_several_replicas,
    keep_or_restore,
    num_replicas,
    replica_offset,
    require_equal_rows,
    stack_over_replicas,
    sum_over_replicas,
)
from simclr_tf.distribution.local_copies import local_copies
from simclr_tf.distribution.moments import moments_over_replicas

__all__ = [
    "SAME_ON_ALL_REPLICAS",
    "gather_across_replicas",
    "in_several_replicas",
    "keep_or_restore",
    "local_copies",
    "moments_over_replicas",
    "num_replicas",
    "replica_offset",
    "require_equal_rows",
    "stack_over_replicas",
    "sum_over_replicas",
]
