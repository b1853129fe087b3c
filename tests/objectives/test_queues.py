"""Objectives with queues: what is read, and what is written when."""

import numpy as np
import tensorflow as tf

from simclr_tf.losses import info_nce
from simclr_tf.objectives import MoCo
from simclr_tf.objectives.queue import enqueue, random_unit_rows
from tests.objectives.small_models import a_batch, a_model, stepper


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_queue_is_a_list_whose_oldest_rows_fall_out():
    rng = np.random.default_rng(0)
    queue, expected = random_unit_rows(0)([5, 3]), None
    expected = list(queue.numpy())
    for _ in range(4):  # 2 does not divide 5.
        keys = rng.normal(size=[2, 3]).astype("float32")
        queue = enqueue(queue, keys)
        expected = [*unit(keys), *expected][:5]
        np.testing.assert_allclose(queue, expected, rtol=1e-5)


def test_moco_reads_its_queue_before_the_keys_of_the_step_enter_it():
    model = a_model(
        MoCo(queue_length=12, target_momentum=0.5, batch_norm_groups=2, temperature=0.5)
    )
    objective, batch = model.objective, a_batch(0)
    old = objective.queues.numpy()[0]
    tf.config.run_functions_eagerly(True)
    try:
        outputs = model.gradients(batch)[1]
    finally:
        tf.config.run_functions_eagerly(False)
    loss, _ = objective.loss(outputs)
    (keys,) = outputs.targets
    expected = info_nce(outputs.projections[0], keys, old, temperature=0.5)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    objective.after_update(outputs)
    queue = objective.queues.numpy()[0]
    np.testing.assert_allclose(queue[:8], unit(keys.numpy()), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(queue[8:], old[:4])


def test_a_key_of_moco_shares_no_statistics_with_other_groups_of_the_batch():
    model = a_model(MoCo(queue_length=12, batch_norm_groups=2))
    view = tf.constant(a_batch(0)["images"])
    keys = model.objective.averaged(view, training=True)
    changed = tf.tensor_scatter_nd_update(view, [[0], [2]], view[:2] * 0.1)
    others = model.objective.averaged(changed, training=True)
    np.testing.assert_allclose(keys[1::2], others[1::2], rtol=1e-4, atol=1e-5)
    assert np.abs((keys - others)[4]).max() > 1e-4  # Of the changed rows' group.
    assert stepper(model)(a_batch(1))["key_agreement"] < 0.999
