"""1, 2 and 4 replicas give one loss, one gradient and one accuracy."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.losses import (
    candidate_logits,
    margin_triplet,
    nt_xent,
    nt_xent_candidates,
)
from simclr_tf.metrics import contrastive_accuracy, contrastive_entropy

LOSSES = {
    "nt_xent": functools.partial(nt_xent, temperature=0.2),
    "streamed": functools.partial(nt_xent, temperature=0.2, chunk_size=3),
    "margin_triplet": functools.partial(margin_triplet, margin=0.4, semi_hard=True),
}
GLOBAL_BATCH_SIZE = 8


def _on_replicas(function, num_replicas):
    """Sum over replicas of `function(images_a, images_b, weight, num_replicas)`."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, GLOBAL_BATCH_SIZE, 5)).astype(np.float32)
    initial = rng.normal(size=(5, 3)).astype(np.float32)
    if num_replicas == 1:
        return function(*images, tf.Variable(initial), 1)
    # Groups of another size in one process need other keys for their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])
    rows = GLOBAL_BATCH_SIZE // num_replicas

    def part_of(view):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                view[context.replica_id_in_sync_group * rows :][:rows]
            )
        )

    with strategy.scope():
        weight = tf.Variable(initial)

    @tf.function
    def run(a, b):
        return strategy.run(function, args=(a, b, weight, num_replicas))

    results = run(*(part_of(view) for view in images))
    return [strategy.reduce("SUM", r, axis=None) for r in results]


@pytest.mark.parametrize("num_replicas", [2, 4])
def test_losses_and_summed_gradients_equal_those_of_one_device(num_replicas):
    def step(a, b, weight, num_replicas):
        results = []
        for loss_of in LOSSES.values():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(loss_of(a @ weight, b @ weight)) / num_replicas
            results += [loss, tape.gradient(loss, weight)]
        return results

    several, single = _on_replicas(step, num_replicas), _on_replicas(step, 1)
    for value, expected in zip(several, single, strict=True):
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_contrastive_metrics_over_replicas_use_the_candidates_of_the_global_batch():
    def step(a, b, weight, num_replicas):
        views = a @ weight, (a + 0.3 * b) @ weight
        return [
            tf.reduce_mean(metric(candidates)) / num_replicas
            for candidates in (
                candidate_logits(*views, temperature=0.2),
                nt_xent_candidates(*views, temperature=0.2, chunk_size=3),
            )
            for metric in (contrastive_accuracy, contrastive_entropy)
        ]

    several, single = _on_replicas(step, 2), _on_replicas(step, 1)
    assert 0 < single[0] < 1
    np.testing.assert_allclose(several, single, rtol=1e-5)
