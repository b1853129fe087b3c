"""Input batches: each replica gets its rows of the global batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from simclr_tf.array_types import Dataset, Strategy
from simclr_tf.distribution.strategies import is_distributed
from simclr_tf.errors import ConfigError, received_text

_BATCHES_ON_DEVICE = 2


def require_divisible(
    size: int,
    replicas: int,
    *,
    name: str = "global_batch_size",
    largest: int | None = None,
) -> None:
    """Refuse a batch that cannot be divided equally among the replicas.

    Args:
      size: int >= 1, rows of the batch.
      replicas: int >= 1.
      name: str, the option with the size.
      largest: int or None, the largest value of the option.

    Raises:
      ConfigError: the message has the two nearest sizes that can be divided.

    Example:
      >>> require_divisible(496, 8)
      >>> try: require_divisible(500, 8)
      ... except ConfigError as error: print(error)
      `global_batch_size` must be divisible by the number of replicas. \
Use 496 or 504. Received: global_batch_size=500, replicas=8.
    """
    if size % replicas == 0:
        return
    nearest = nearest_divisible(size, replicas, largest)
    remedy = (
        f"Use {' or '.join(map(str, nearest))}."
        if nearest
        else (f"There are only {largest} images: use fewer replicas.")
    )
    raise ConfigError(
        f"`{name}` must be divisible by the number of replicas. {remedy} "
        + received_text(**{name: size, "replicas": replicas})
    )


def nearest_divisible(size, replicas, largest=None):
    """Return the (at most) two multiples of `replicas` nearest to `size`, in order.

    Example:
      >>> nearest_divisible(500, 8), nearest_divisible(3, 8)
      ([496, 504], [8, 16])
      >>> nearest_divisible(250, 4, largest=250), nearest_divisible(3, 4, largest=3)
      ([244, 248], [])
    """
    below = size - size % replicas
    around = range(below - replicas, below + 3 * replicas, replicas)
    fitting = [n for n in around if n > 0 and (largest is None or n <= largest)]
    return sorted(sorted(fitting, key=lambda n: abs(n - size))[:2])


def distribute_batches(
    strategy: Strategy, batches_of_worker: Callable[[int, int], Dataset]
) -> Iterable[Any]:
    """Make a data set that gives every replica its rows of each global batch.

    Replica r of R gets rows [r G / R, (r + 1) G / R) of a batch of G: the replicas of
    worker 0 come first. TensorFlow divides nothing: each worker builds its own rows and
    cuts them, in order, for its replicas.

    For a single GPU, the next two batches are copied to it while a step runs. No GPU
    has run this yet; it is tested on a second logical CPU device.

    Args:
      strategy: tf.distribute.Strategy.
      batches_of_worker: function (worker, number of workers) to a tf.data.Dataset of
        dicts of tensors with that worker's rows, all of the same static shape.

    Returns:
      tf.data.Dataset for one device, else tf.distribute.DistributedDataset. It has no
      known end: `fit` must be given the number of steps.
    """
    if not is_distributed(strategy):
        batches, gpus = batches_of_worker(0, 1), _gpus()
        if not gpus:
            return batches
        return batches.apply(
            tf.data.experimental.prefetch_to_device(gpus[0].name, _BATCHES_ON_DEVICE)
        )

    def rows_of_replicas(context):
        workers = context.num_input_pipelines
        local_replicas = context.num_replicas_in_sync // workers
        batches = batches_of_worker(context.input_pipeline_id, workers)
        parts = batches.map(lambda batch: _cut(batch, local_replicas)).unbatch()
        # For an endless data set TensorFlow does not check in every step whether a
        # worker has reached the end.
        return parts.apply(
            tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        )

    return strategy.distribute_datasets_from_function(rows_of_replicas)


def requests_batches_ahead(strategy: Strategy) -> bool:
    """Tell whether the batches of `distribute_batches` are taken ahead of their step.

    Args:
      strategy: tf.distribute.Strategy.

    Returns:
      bool; if not, a step itself takes its batch from the data set.
    """
    return is_distributed(strategy) or bool(_gpus())


def _gpus():
    return tf.config.list_logical_devices("GPU")


def _cut(batch, parts):
    """Reshape every tensor `[B, ...]` to `[parts, B / parts, ...]`."""
    return {
        name: tf.reshape(value, [parts, value.shape[0] // parts, *value.shape[1:]])
        for name, value in batch.items()
    }
