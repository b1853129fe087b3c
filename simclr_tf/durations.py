"""Numbers of steps from epochs, examples and fractions, as exact integers.

An epoch is `num_examples // global_batch_size` steps: each epoch visits the
examples in its own order and leaves out the last, incomplete batch.
"""

from __future__ import annotations

from collections.abc import Iterator

from simclr_tf.errors import require

_MOST_EPOCHS = 2**31 - 1


def steps_per_epoch(num_examples: int, global_batch_size: int) -> int:
    """Count the full batches in one pass over the data.

    Args:
      num_examples: int, images in the training set.
      global_batch_size: int, images a step over all replicas.

    Returns:
      int >= 1.

    Raises:
      ConfigError: if the batch is larger than the set.

    Example:
      >>> steps_per_epoch(50_000, 512)
      97
    """
    require(
        global_batch_size <= num_examples,
        "`global_batch_size` must not exceed the number of training images; "
        f"use at most {num_examples}.",
        global_batch_size=global_batch_size,
        num_examples=num_examples,
    )
    return num_examples // global_batch_size


def total_steps(epochs: int, steps: int | None, epoch_steps: int) -> int:
    """Return the length of a run: `steps` if given, else `epochs` whole epochs.

    Example:
      >>> total_steps(epochs=10, steps=None, epoch_steps=23)
      230
    """
    return steps if steps is not None else epochs * epoch_steps


def warmup_steps(warmup_epochs: float, steps: int | None, epoch_steps: int) -> int:
    """Return the length of the warm-up: `steps` if given, else `warmup_epochs`.

    Raises:
      ConfigError: a warm-up that no run could come to the end of.

    Example:
      >>> warmup_steps(warmup_epochs=0.5, steps=None, epoch_steps=23)
      12
    """
    if steps is not None:
        return steps
    require(
        warmup_epochs <= _MOST_EPOCHS,
        f"`warmup_epochs` must be at most {_MOST_EPOCHS:,}.",
        warmup_epochs=warmup_epochs,
    )
    return round(warmup_epochs * epoch_steps)


def segments(
    start: int, total: int, epoch_steps: int
) -> Iterator[tuple[int, int, int]]:
    """Split steps start .. total - 1 at epochs: (first, last, steps an epoch) each.

    First the rest of an interrupted epoch, then full epochs, then a part of the last.

    Example:
      >>> list(segments(5, 36, 10))
      [(5, 10, 5), (10, 30, 10), (30, 36, 6)]
    """
    while start < total:
        boundary = start - start % epoch_steps + epoch_steps
        if start % epoch_steps == 0 and start + epoch_steps <= total:
            last = total - total % epoch_steps
            yield start, last, epoch_steps
        else:
            last = min(boundary, total)
            yield start, last, last - start
        start = last
