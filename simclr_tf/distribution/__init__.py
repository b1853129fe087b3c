"""The only part of the package that knows about replicas."""

from simclr_tf.distribution.collectives import (
    gather_across_replicas,
    num_replicas,
    replica_offset,
    run_on_replicas,
)
from simclr_tf.distribution.local_copies import local_copies

__all__ = [
    "gather_across_replicas",
    "local_copies",
    "num_replicas",
    "replica_offset",
    "run_on_replicas",
]
