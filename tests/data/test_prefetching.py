"""Batches ahead: threads as asked, and no thread that the end has to wait for."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.data import evaluation_batches, open_source, training_dataset
from simclr_tf.data.prefetching import prefetched


def test_the_threads_are_those_asked_for():
    threads = [
        prefetched(tf.data.Dataset.range(3), threads=number)
        .options()
        .threading.private_threadpool_size
        for number in (3, None)
    ]
    assert threads == [3, None]


@pytest.mark.parametrize(
    "made",
    [
        lambda source: prefetched(tf.data.Dataset.range(3), 5),
        lambda source: training_dataset(
            source, global_batch_size=2, seed=0, total_steps=3
        ),
        lambda source: evaluation_batches(source, 2, 8),
    ],
    ids=["prefetched", "training", "evaluation"],
)
def test_nothing_tunes_the_parallelism(made):
    """TensorFlow's tuning thread sleeps up to a minute, and the end waits for it."""
    source = open_source(np.zeros([4, 8, 8, 3], np.uint8))
    dataset = made(source).map(lambda batch: batch)  # Options go on to what follows.
    assert dataset.options().autotune.enabled is False
    assert len(list(dataset)) >= 2
