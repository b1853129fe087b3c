"""How a run uses its machine: threads, batches ahead, and steps an execution.

With `steps_per_execution` k Keras calls back once for k steps, the last time in an
epoch for what is left of it, with the number of the last step within the epoch.
"""

import tensorflow as tf

from simclr_tf.errors import ConfigError

PREFETCH_BATCHES = 2


def steps_done(batch, steps_per_execution):
    """How many steps Keras reports at once.

    Args:
      batch: int >= 0, what `on_train_batch_end` is given.
      steps_per_execution: int >= 1.

    Returns:
      int >= 1.

    Example:
      >>> [steps_done(batch, 4) for batch in (3, 7, 9)]  # An epoch of 10 steps.
      [4, 4, 2]
      >>> steps_done(7, 1)
      1
    """
    return batch % steps_per_execution + 1


def set_threads(options):
    """Give TensorFlow's pools their sizes; call it before TensorFlow is used.

    Args:
      options: PerformanceConfig.

    Raises:
      ConfigError: TensorFlow has begun with pools of another size.
    """
    threading = tf.config.threading
    for name, wanted, give in (
        (
            "intra_op_threads",
            options.intra_op_threads,
            threading.set_intra_op_parallelism_threads,
        ),
        (
            "inter_op_threads",
            options.inter_op_threads,
            threading.set_inter_op_parallelism_threads,
        ),
    ):
        if wanted is None:
            continue
        try:
            give(wanted)  # Nothing happens if it has that size.
        except RuntimeError as error:
            raise ConfigError(
                f"`performance.{name}` must be set before TensorFlow is used: start a "
                f"new process, or leave it unset. Received: {name}={wanted}."
            ) from error


def made_ahead(dataset, options):
    """A data set of batches, made ahead and on the threads that the options say.

    Args:
      dataset: tf.data.Dataset.
      options: PerformanceConfig.

    Returns:
      tf.data.Dataset of the same elements in the same order.
    """
    dataset = dataset.prefetch(options.prefetch_batches or PREFETCH_BATCHES)
    if options.data_threads is None:
        return dataset
    threads = tf.data.Options()
    threads.threading.private_threadpool_size = options.data_threads
    return dataset.with_options(threads)
