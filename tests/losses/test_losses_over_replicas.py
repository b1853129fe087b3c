"""1, 2 and 4 replicas give one loss, one gradient and one accuracy."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import losses
from simclr_tf.distribution import num_replicas
from simclr_tf.losses import candidate_logits, nt_xent_candidates
from simclr_tf.metrics import contrastive_accuracy, contrastive_entropy
from tests.losses.every_loss import CASES, ROWS, inputs_of, value_and_gradients


def on_replicas(replicas, step, inputs):
    """What `step(inputs)` gives on each replica with its own rows, as lists."""
    # Groups of another size in one process need other keys for their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    rows = ROWS // replicas

    def parts(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                array[context.replica_id_in_sync_group * rows :][:rows]
            )
        )

    run = tf.function(
        lambda inputs: strategy.run(step, args=(inputs,)), autograph=False
    )
    results = run(tf.nest.map_structure(parts, inputs))
    return tf.nest.map_structure(strategy.experimental_local_results, results)


@pytest.mark.parametrize("replicas", [2, 4])
def test_losses_and_gradients_equal_those_of_one_device(replicas):
    def step(inputs):
        return {
            name: value_and_gradients(case.loss, *inputs[name], share=num_replicas())
            for name, case in CASES.items()
        }

    inputs = {name: inputs_of(case) for name, case in CASES.items()}
    single = step(inputs)
    for name, (shares, gradients) in on_replicas(replicas, step, inputs).items():
        loss, expected = single[name]
        np.testing.assert_allclose(sum(shares), loss, 1e-5, 1e-6, err_msg=name)
        if name in ("barlow_twins", "vicreg"):  # Scalars of the global batch.
            assert len({float(share) for share in shares}) == 1, name
        # Of each replica's own rows: also what other replicas' losses owe to them.
        for parts, whole in zip(gradients, expected, strict=True):
            assert np.abs(whole).max() > 1e-3
            joined = np.concatenate(parts)
            np.testing.assert_allclose(joined, whole, 1e-4, 1e-6, err_msg=name)


@pytest.mark.parametrize("replicas", [2, 3])
def test_gradients_of_sums_that_are_used_alike_need_no_message(replicas):
    def of(equal_gradients):
        def loss(a, b):
            options = {"equal_gradients": equal_gradients}
            correlation = losses.cross_correlation(a, b, **options)
            terms = losses.vicreg_terms(a, b, **options)
            return losses.barlow_twins_from_correlation(
                correlation
            ) + losses.vicreg_from_terms(terms)

        return loss

    def step(inputs):
        return [
            value_and_gradients(of(alike), inputs, (), share=replicas)
            for alike in (False, True)
        ]

    views = np.random.default_rng(0).normal(size=[2, ROWS, 3]).astype(np.float32)
    with_message, without = on_replicas(replicas, step, list(views))
    tf.nest.map_structure(
        lambda one, two: np.testing.assert_allclose(one, two, 1e-5, 1e-6),
        with_message,
        without,
    )


def test_contrastive_metrics_over_replicas_use_the_candidates_of_the_global_batch():
    rng = np.random.default_rng(0)
    a = rng.normal(size=[ROWS, 3]).astype(np.float32)
    b = a + 0.5 * rng.normal(size=[ROWS, 3]).astype(np.float32)

    def step(views):
        return [
            tf.reduce_mean(metric(candidates)) / num_replicas()
            for candidates in (
                candidate_logits(*views, temperature=0.2),
                nt_xent_candidates(*views, temperature=0.2, chunk_size=3),
            )
            for metric in (contrastive_accuracy, contrastive_entropy)
        ]

    single = step([a, b])
    several = [sum(values) for values in on_replicas(2, step, [a, b])]
    assert 0 < single[0] < 1
    np.testing.assert_allclose(several, single, rtol=1e-5)
