"""The bank of instance discrimination: rows by image, and a normalizer."""

from contextlib import nullcontext

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.objectives import (
    InstanceDiscrimination,
    Outputs,
    instance_discrimination,
)
from simclr_tf.objectives.objective import Setting

IMAGES, WIDTH = 10, 4


def an_objective(**options):
    objective = InstanceDiscrimination(temperature=0.5, **options)
    objective.setting = Setting(
        None, None, (8, 8, 3), 6, WIDTH, num_examples=IMAGES, seed=5
    )
    objective.create_variables(objective.setting)
    return objective


def outputs_of(ids, seed=0, step=0):
    z = np.random.default_rng(seed).normal(size=[len(ids), WIDTH]).astype("float32")
    return Outputs((), (tf.constant(z),), ids=tf.constant(ids, tf.int64), step=step)


def with_step(outputs, step):
    return outputs._replace(step=tf.constant(step, tf.int64))


def test_rows_of_the_images_of_a_step_move_and_no_others():
    objective = an_objective(negatives=3, bank_momentum=0.25)
    old = objective.bank.numpy()
    outputs = with_step(outputs_of([7, 2]), 4)
    objective.after_update(outputs)
    z = outputs.projections[0].numpy()
    expected = 0.25 * old[[7, 2]] + 0.75 * z / np.linalg.norm(z, axis=1, keepdims=True)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(objective.bank.numpy()[[7, 2]], expected, atol=1e-6)
    others = [i for i in range(IMAGES) if i not in (7, 2)]
    np.testing.assert_array_equal(objective.bank.numpy()[others], old[others])
    assert objective.written.numpy().tolist() == [0, 0, 5, 0, 0, 0, 0, 5, 0, 0]


def test_an_image_that_is_twice_in_a_batch_keeps_its_last_row():
    objective = an_objective(negatives=0, bank_momentum=0.0)
    outputs = with_step(outputs_of([3, 1, 3]), 0)
    objective.after_update(outputs)
    (z,) = outputs.projections
    expected = z[2] / tf.norm(z[2])
    np.testing.assert_allclose(objective.bank[3], expected, atol=1e-6)


@pytest.mark.parametrize("momentum", [1.0, 0.5])
def test_the_normalizer_is_n_times_the_mean_score_and_kept_or_averaged(momentum):
    objective = an_objective(negatives=3, normalizer_momentum=momentum)
    estimates = []
    for step in range(2):
        outputs = with_step(outputs_of([7, 2], seed=step), step)
        places = np.concatenate(
            [outputs.ids[:, None], objective._negatives(outputs)], axis=1
        )
        z = outputs.projections[0].numpy()
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        rows = objective.bank.numpy()[places]
        estimates.append(IMAGES * np.exp(2.0 * np.einsum("nd,nmd->nm", z, rows)).mean())
        objective.after_update(outputs)
    expected = momentum * estimates[0] + (1 - momentum) * estimates[1]
    np.testing.assert_allclose(objective.normalizer, expected, rtol=1e-5)


def test_noise_differs_from_step_to_step_and_is_the_same_for_the_same_step():
    objective = an_objective(negatives=5)
    draws = [
        objective._negatives(with_step(outputs_of([7, 2]), step)).numpy()
        for step in (3, 3, 4)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.any(draws[0] != draws[2])


def test_equal_rows_give_the_log_of_the_number_of_images():
    objective = an_objective(negatives=0)
    objective.bank.assign(tf.ones([IMAGES, WIDTH]) / 2.0)
    loss, figures = objective.loss(with_step(outputs_of([7, 2]), 0))
    np.testing.assert_allclose(loss, np.log(IMAGES), rtol=1e-6)
    assert set(figures) == {figure.name for figure in objective.figures}


def test_the_proximal_term_is_the_squared_distance_to_the_old_row():
    outputs = with_step(outputs_of([7, 2]), 0)
    plain, pulled = (
        an_objective(negatives=0, proximal_weight=weight).loss(outputs)[0]
        for weight in (0.0, 3.0)
    )
    z = outputs.projections[0].numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    distance = ((z - an_objective().bank.numpy()[[7, 2]]) ** 2).sum(axis=1)
    np.testing.assert_allclose(pulled - plain, 3.0 * distance, rtol=1e-4)


@pytest.mark.parametrize("negatives, reads_all", [(3, False), (0, True)])
def test_noise_reads_its_rows_of_the_bank_and_never_the_whole(negatives, reads_all):
    objective = an_objective(negatives=negatives)

    @tf.function
    def step(z, ids, number):
        outputs = Outputs((), (z,), ids=ids, step=number)
        loss, _ = objective.loss(outputs)
        objective.after_update(outputs)
        return loss

    graph = step.get_concrete_function(
        tf.TensorSpec([2, WIDTH]),
        tf.TensorSpec([2], tf.int64),
        tf.TensorSpec([], "int64"),
    ).graph
    whole = [
        operation
        for operation in graph.get_operations()
        if operation.type == "ReadVariableOp"
        and operation.outputs[0].shape == objective.bank.shape
    ]
    assert bool(whole) == reads_all


def test_a_large_bank_is_placed_in_host_memory(monkeypatch):
    places = []
    monkeypatch.setattr(
        tf, "device", lambda place: places.append(place) or nullcontext()
    )
    an_objective()
    monkeypatch.setattr(instance_discrimination, "HOST_MEMORY_BYTES", 159)
    assert 4 * IMAGES * WIDTH == 160
    an_objective()
    assert places == [None, "CPU:0"]


def test_batches_without_ids_are_refused_with_the_way_out():
    with pytest.raises(ConfigError, match="objective=moco"):
        an_objective().loss(outputs_of([1])._replace(ids=None))
