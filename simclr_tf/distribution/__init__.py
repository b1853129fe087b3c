"""The only part of the package that knows about replicas."""

from simclr_tf.distribution.collectives import (
    gather_across_replicas,
    num_replicas,
    replica_offset,
    run_on_replicas,
)

__all__ = [
    "gather_across_replicas",
    "num_replicas",
    "replica_offset",
    "run_on_replicas",
]
