"""A queue of unit vectors: keys of earlier steps, the newest first.

The length need not be a multiple of the batch: the oldest rows are dropped. Importing
this file loads no TensorFlow.
"""

import logging

from simclr_tf.lazy import module, tf

distribution = module("simclr_tf.distribution")
candidates = module("simclr_tf.losses.candidates")

LOG = logging.getLogger("simclr_tf")


def random_unit_rows(seed):
    """Make an initializer of variables whose rows are random directions.

    Args:
      seed: int; equal seeds give equal rows, on every replica.

    Returns:
      callable (shape, dtype) -> float tensor, as Keras takes it.
    """

    def initializer(shape, dtype=None, **_):
        rows = tf.random.stateless_normal(shape, [seed, 1], alg="philox")
        return tf.cast(tf.math.l2_normalize(rows, axis=-1), dtype or tf.float32)

    return initializer


def enqueue(queue, vectors):
    """Put the global batch in front of a queue, and drop its oldest rows.

    Inside `strategy.run` every replica gets the same rows in the same order.

    Args:
      queue: float32 `[K, D]`.
      vectors: float `[N, D]`, this replica's; normalised here.

    Returns:
      float32 `[K, D]`.
    """
    newest = distribution.gather_across_replicas(candidates.unit_rows(vectors))
    return tf.concat([newest, queue], axis=0)[: queue.shape[0]]


def warn_if_longer_than_data(setting, **option):
    """Log a warning if a queue holds more images than the data set has.

    Args:
      setting: Setting.
      **option: the objective's option with the length of the queue.
    """
    ((name, length),) = option.items()
    images = setting.num_examples
    if images is not None and length > images:
        LOG.warning(
            "--objective.%s=%s is longer than the data set of %s images, so a batch "
            "finds its own images of earlier epochs in the queue. Use a value below "
            "the number of images.",
            name,
            length,
            f"{images:,}",
        )


def averaged_messages(norm_channels, replicas, groups=1):
    """List the messages of one pass through averaged networks: no gradient, no weights.

    Args:
      norm_channels: tuple of int, channels of each batch norm.
      replicas: int.
      groups: int, of split batch norm.

    Returns:
      list of `simclr_tf.distribution.Message`.
    """
    return [
        distribution.moments_message(channels * groups, "state", replicas)
        for channels in norm_channels
    ]
