"""Agreement between workers: on the run, and on the step at which all stop."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import tensorflow as tf

from simclr_tf.array_types import Strategy
from simclr_tf.distribution.collectives import stack_over_replicas
from simclr_tf.distribution.strategies import cluster_of
from simclr_tf.errors import ClusterError


def require_agreement(strategy: Strategy, **values: str) -> None:
    """Compare the runs of all workers; one exchange, at the start.

    Args:
      strategy: tf.distribute.Strategy; with one worker nothing is compared.
      **values: str each, with names that users know.

    Raises:
      ClusterError: on every worker, with the difference and the two workers.
    """
    cluster = cluster_of(strategy)
    if cluster is None:
        return
    digests = [_digest(values[name]) for name in values]
    rows = _rows_of_workers(strategy, digests, len(cluster.workers))
    for worker, row in zip(cluster.workers, rows, strict=True):
        differing = [
            name
            for name, ours, theirs in zip(values, rows[0], row, strict=True)
            if ours != theirs
        ]
        if differing:
            name = differing[0]
            raise ClusterError(
                f"{cluster.workers[0]} and {worker} differ in {name.replace('_', ' ')}"
                f": start them with the same flags, images and --workdir (a folder "
                f"that all workers share). Here, {cluster.own}: {values[name]}."
            )


def largest_over_workers(strategy: Strategy, number: int) -> int:
    """Return the largest of the workers' numbers, the same on all workers.

    Args:
      strategy: tf.distribute.Strategy.
      number: int >= 0 that fits in 31 bits.

    Returns:
      int.
    """
    cluster = cluster_of(strategy)
    if cluster is None:
        return number
    return int(_rows_of_workers(strategy, [number], len(cluster.workers)).max())


def _digest(value):
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:4], "big") >> 1


def _rows_of_workers(strategy, row, workers):
    """Gather int32 `[workers, n]`: every worker's row of n numbers."""
    replicas = strategy.num_replicas_in_sync // workers
    gathered = _gatherer(strategy)(tf.constant(row, tf.int32))
    return np.asarray(gathered)[::replicas]


@functools.lru_cache(maxsize=2)
def _gatherer(strategy):
    """Return a function of this worker's row `[n]` to all replicas' rows `[R, n]`."""

    @tf.function(autograph=False)
    def gather(row):
        with strategy.scope():
            rows = strategy.run(stack_over_replicas, args=(row,))
        return strategy.experimental_local_results(rows)[0]

    return gather
