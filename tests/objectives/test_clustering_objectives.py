"""SwAV: prototypes, queue, small views."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import losses
from simclr_tf.errors import ConfigError
from simclr_tf.objectives import Outputs, SwAV
from tests.objectives.small_models import (
    BATCH,
    SIZE,
    a_batch,
    a_model,
    stepper,
)

SMALL = {"prototypes": 6, "small_views": 3, "small_size_fraction": 0.5}


def some_views(number, seed=0):
    return list(np.random.default_rng(seed).normal(size=(number, 8, 5)).astype("f4"))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def log_softmax(logits):
    return logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))


def test_each_view_predicts_the_codes_of_the_full_views_but_its_own():
    objective = a_model(SwAV(**SMALL)).objective
    z = some_views(5)
    loss, _ = objective.loss(Outputs((), z))
    scores = [unit(view) @ objective.prototypes.numpy().T for view in z]
    terms = []
    for i in (0, 1):
        codes = losses.sinkhorn(scores[i]).numpy()
        terms += [
            -np.sum(codes * log_softmax(scores[v] / 0.1), 1) for v in range(5) if v != i
        ]
    assert len(terms) == 8
    np.testing.assert_allclose(loss, np.mean(terms, axis=0), 1e-4, 1e-5)


def test_the_encoder_runs_once_for_each_size():
    model = a_model(SwAV(**SMALL))
    sizes = []
    model.encoder.call, call = (
        (
            lambda images, **kwargs: (
                sizes.append(images.shape),
                call(images, **kwargs),
            )[1]
        ),
        model.encoder.call,
    )
    model.forward(model.views_of(a_batch(0)), training=False)
    assert [tuple(size) for size in sizes] == [
        (2 * BATCH, SIZE, SIZE, 3),
        (3 * BATCH, SIZE // 2, SIZE // 2, 3),
    ]


def test_prototypes_have_length_one_and_move_once_they_are_thawed():
    model = a_model(SwAV(**SMALL, freeze_epochs=1))  # Of two steps.
    prototypes = model.objective.prototypes
    start = prototypes.numpy()
    step = stepper(model)
    for number in range(3):
        np.testing.assert_allclose(prototypes, start, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-6)
        step(a_batch(number))
    assert np.abs(prototypes - start).max() > 1e-4
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-6)


def after(objective, z, step):
    objective.after_update(Outputs((), z, step=tf.constant(step, tf.int64)))


def test_the_queue_fills_from_its_epoch_on_newest_first_and_drops_the_oldest():
    objective = a_model(SwAV(**SMALL, queue_length=19, queue_start_epoch=1)).objective
    assert objective.queue.shape == (2, 16, 5)  # Whole batches of 8.
    steps = [some_views(2, seed) for seed in range(4)]
    after(objective, steps[0], step=1)
    assert not objective.queue.numpy().any()
    for number in (1, 2, 3):  # Two steps are an epoch.
        after(objective, steps[number], step=1 + number)
    for view in (0, 1):
        expected = unit(np.concatenate([steps[3][view], steps[2][view]]))
        np.testing.assert_allclose(objective.queue[view], expected, atol=1e-6)


def test_codes_come_from_queue_and_batch_once_the_queue_is_full():
    objective = a_model(SwAV(**SMALL, queue_length=16, queue_start_epoch=0)).objective
    z = some_views(2, 5)
    scores = unit(z[0]) @ objective.prototypes.numpy().T
    after(objective, some_views(2, 0), step=0)
    alone = losses.sinkhorn(scores)
    np.testing.assert_allclose(objective._codes(0, scores), alone, 1e-5, 1e-6)
    after(objective, some_views(2, 1), step=1)
    earlier = objective.queue[0].numpy() @ objective.prototypes.numpy().T
    together = losses.sinkhorn(np.concatenate([earlier, scores]))[16:]
    assert np.abs(together - alone).max() > 1e-2
    np.testing.assert_allclose(objective._codes(0, scores), together, 1e-5, 1e-6)


def test_a_queue_shorter_than_a_batch_and_odd_crops_are_refused():
    with pytest.raises(ConfigError, match="queue_length=7"):
        a_model(SwAV(**SMALL, queue_length=7))
    with pytest.raises(ConfigError, match="two fractions"):
        SwAV(small_crop_area=(0.5, 0.1))
