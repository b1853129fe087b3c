"""The examples of batch k and their seeds: a pure function of (seed, k)."""

import functools

import numpy as np

from simclr_tf.durations import steps_per_epoch
from simclr_tf.errors import require
from simclr_tf.seeding import epoch_order, example_seeds


class BatchSchedule:
    """The examples of every batch of a run, for one of its workers.

    Batch k belongs to epoch e = k // steps_per_epoch. Each epoch has its own order of
    the examples; the last, incomplete batch of an epoch is left out.

    Args:
      num_examples: int, or None for a stream of unknown length, whose examples are
        numbered in their order.
      global_batch_size: int, images a step over all workers.
      seed: int, the run seed.
      in_order: bool, True for a stream: examples in the order of the stream, without
        gaps.
      shard_index, num_shards: int, worker w of W gets rows
        [w * G / W, (w + 1) * G / W) of every global batch.

    Raises:
      ConfigError: if the batch is larger than the set, or not divisible by the workers.

    Example:
      >>> schedule = BatchSchedule(10, 4, seed=0)
      >>> [sorted(schedule.examples(k)[1].tolist()) for k in (0, 1)]
      [[3, 4, 5, 6], [1, 2, 8, 9]]
    """

    def __init__(
        self,
        num_examples,
        global_batch_size,
        seed,
        *,
        in_order=False,
        shard_index=0,
        num_shards=1,
    ):
        require(
            global_batch_size >= 1,
            "`global_batch_size` must be >= 1.",
            global_batch_size=global_batch_size,
        )
        require(
            num_shards >= 1 and global_batch_size % num_shards == 0,
            "`global_batch_size` must be divisible by the number of workers.",
            global_batch_size=global_batch_size,
            num_shards=num_shards,
        )
        require(
            0 <= shard_index < num_shards,
            "`shard_index` must be in [0, num_shards).",
            shard_index=shard_index,
            num_shards=num_shards,
        )
        self._num_examples = num_examples
        self._global_batch_size = global_batch_size
        self._seed = seed
        self._in_order = in_order
        rows = global_batch_size // num_shards
        self._rows = np.arange(shard_index * rows, (shard_index + 1) * rows)
        if not in_order:
            self._steps_per_epoch = steps_per_epoch(num_examples, global_batch_size)
        # Two orders: around the end of an epoch, batches of both epochs are prepared.
        self._order = functools.lru_cache(maxsize=2)(
            lambda epoch: epoch_order(seed, epoch, num_examples)
        )

    def examples(self, step):
        """Return this worker's part of batch `step`.

        Args:
          step: int >= 0.

        Returns:
          (epochs, ids, seeds): int64 `[B]` each, and int32 `[B, 2]`.
        """
        step = int(step)
        if self._in_order:
            position = step * self._global_batch_size + self._rows
            length = self._num_examples or np.iinfo(np.int64).max
            epochs, ids = position // length, position % length
        else:
            epoch, batch = divmod(step, self._steps_per_epoch)
            ids = self._order(epoch)[batch * self._global_batch_size + self._rows]
            epochs = np.full_like(ids, epoch)
        return epochs, ids, example_seeds(self._seed, epochs, ids)


def replacement_example(seeds, example, attempt, num_examples):
    """Return the example that replaces an unreadable one, a new one for each attempt.

    Args:
      seeds: int32 `[2]`, the seed of the unreadable example.
      example: int, its id.
      attempt: int >= 1.
      num_examples: int >= 2.

    Returns:
      int in [0, num_examples), never `example` itself.

    Example:
      >>> seeds = np.array([3, 4], np.int32)
      >>> replacement_example(seeds, example=0, attempt=1, num_examples=2)
      1
    """
    high, low = (int(word) & 0xFFFFFFFF for word in seeds)
    bits = example_seeds(high << 32 | low, int(attempt), [example])[0, 0]
    distance = 1 + (int(bits) & 0xFFFFFFFF) % (num_examples - 1)
    return (int(example) + distance) % num_examples
