"""Errors about a lost worker: TensorFlow's errors become a message with its name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from simclr_tf.array_types import Strategy
from simclr_tf.distribution.strategies import cluster_of
from simclr_tf.errors import LostPeerError

# TensorFlow's errors on a worker whose peer is gone or late.
_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
)
_TASK = re.compile(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)")
_SIGNS = re.compile(
    r"collective|grpc|remote target|coordination|heartbeat|socket", re.IGNORECASE
)


@contextlib.contextmanager
def named_lost_peers(
    strategy: Strategy, how_to_continue: Callable[[], str]
) -> Iterator[None]:
    """Turn TensorFlow's errors about a lost worker into an error that names the worker.

    Args:
      strategy: tf.distribute.Strategy.
      how_to_continue: function without arguments that returns the last sentence.

    Raises:
      LostPeerError: another worker is gone, or did not answer in time.
    """
    try:
        yield
    except _ERRORS as error:
        cluster = cluster_of(strategy)
        if cluster is None or not _SIGNS.search(str(error)):
            raise
        raise LostPeerError(
            f"{_what_happened(cluster, error)} {how_to_continue()}"
        ) from error


def _what_happened(cluster, error):
    gone = cluster.unreachable_peers()
    tasks = {(job, int(number)) for job, number in _TASK.findall(str(error))}
    named = [peer for peer in cluster.peers if (peer.job, peer.number) in tasks]
    lost = [peer for peer in named if peer in gone] or list(gone) or named
    if lost:
        return (
            f"{_join(lost)} stopped answering, so {cluster.own} stops too; see the "
            "output there for the cause."
        )
    return (
        f"A step was not finished in time, although all workers answer "
        f"({_join(cluster.peers)}): one of them is stuck, or "
        "--collective_timeout_seconds is too short."
    )


def _join(workers):
    return ", ".join(map(str, workers))
