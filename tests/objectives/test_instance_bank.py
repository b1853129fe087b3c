"""The bank of instance discrimination: rows by image, and a normalizer."""

import dataclasses
import math

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
from tests.oracles import losses_contrastive

IMAGES, WIDTH = 10, 4


def an_objective(**options):
    objective = InstanceDiscrimination(**{"temperature": 0.5, **options})
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


def test_with_a_momentum_of_one_the_rows_stay():
    objective = an_objective(negatives=0, bank_momentum=1.0)
    old = objective.bank.numpy()
    objective.after_update(with_step(outputs_of([7, 2]), 0))
    np.testing.assert_allclose(objective.bank, old, atol=1e-6)


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


def test_the_loss_is_that_of_the_loops_with_the_drawn_noise_and_the_normalizer():
    objective = an_objective(negatives=3)
    outputs = with_step(outputs_of([7, 2]), 4)
    z, bank, ids = outputs.projections[0].numpy(), objective.bank.numpy(), [7, 2]
    drawn = objective._negatives(outputs).numpy()
    for normalizer in (None, 12.0):  # Estimated by the first step, or kept.
        if normalizer is None:
            unit = z / np.linalg.norm(z, axis=1, keepdims=True)
            places = np.concatenate([np.array(ids)[:, None], drawn], axis=1)
            cosines = np.einsum("nd,nmd->nm", unit, bank[places])
            expected_normalizer = IMAGES * np.exp(cosines / 0.5).mean()
        else:
            objective.normalizer.assign(normalizer)
            expected_normalizer = normalizer
        loss, figures = objective.loss(outputs)
        expected = losses_contrastive.instance_nce(
            z, ids, bank, drawn, 0.5, expected_normalizer
        )
        np.testing.assert_allclose(loss, expected, rtol=1e-4)
    own, noise = cosines[:, 0], cosines[:, 1:]
    np.testing.assert_allclose(figures["bank_similarity"], own, rtol=1e-4)
    others = np.where(drawn == np.array(ids)[:, None], -np.inf, noise)
    np.testing.assert_array_equal(figures["instance_accuracy"], own > others.max(1))
    objective.written.assign(np.arange(IMAGES))
    np.testing.assert_array_equal(objective.loss(outputs)[1]["bank_age"], [-3, 2])


@pytest.mark.parametrize("negatives", [0, 3])
def test_a_temperature_of_a_hundredth_is_finite_in_every_step(negatives):
    objective = an_objective(temperature=0.01, negatives=negatives)
    outputs = with_step(outputs_of([7, 2]), 0)
    objective.bank.assign(tf.tile(outputs.projections[0][:1], [IMAGES, 1]))
    objective.bank.assign(tf.math.l2_normalize(objective.bank, axis=1))
    for _ in range(2):  # With equal rows exp(s / t) is exp(100).
        assert np.all(np.isfinite(objective.loss(outputs)[0]))
        objective.after_update(outputs)
        assert np.isfinite(objective.normalizer)


def test_a_softmax_that_cannot_distinguish_the_images_is_told():
    objective = an_objective(negatives=0)
    figures = {"instance_loss": math.log(IMAGES)}
    ((name, text),) = objective.diagnose(figures, 8)
    assert name == "stuck" and f"{math.log(IMAGES):.3f} is the loss of" in text
    assert not list(objective.diagnose({"instance_loss": 1.0}, 8))


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
    with tf.device("CPU:1"):  # As a GPU: what is not placed lies here.
        small = an_objective(negatives=3)
        monkeypatch.setattr(instance_discrimination, "HOST_MEMORY_BYTES", 159)
        assert 4 * IMAGES * WIDTH == 160
        large = an_objective(negatives=3)
        large.after_update(with_step(outputs_of([7, 2]), 0))
        assert small.bank.device.endswith("CPU:1")
        assert large.bank.device.endswith("CPU:0")
        assert large.written.device.endswith("CPU:1")


def test_the_own_row_among_the_noise_is_no_other_row():
    objective = an_objective(negatives=100)
    ids = [7, 2]
    outputs = with_step(outputs_of(ids), 0)._replace(
        projections=(tf.gather(objective.bank, ids),)
    )
    drawn = objective._negatives(outputs).numpy()
    assert all(one in row for one, row in zip(ids, drawn, strict=True))
    np.testing.assert_array_equal(objective.loss(outputs)[1]["instance_accuracy"], 1)


def test_a_batch_without_a_fixed_size_has_the_loss_of_one_with_it():
    objective, outputs = an_objective(negatives=3), with_step(outputs_of([7, 2]), 4)
    loss = tf.function(
        lambda z, ids: objective.loss(outputs._replace(projections=(z,), ids=ids))[0],
        input_signature=[
            tf.TensorSpec([None, WIDTH]),
            tf.TensorSpec([None], tf.int64),
        ],
    )
    found = loss(outputs.projections[0], outputs.ids)
    np.testing.assert_allclose(found, objective.loss(outputs)[0], rtol=1e-5)


@pytest.mark.parametrize("is_stream", [False, True])
def test_images_of_a_stream_are_told_to_need_one_order(is_stream, caplog):
    objective = an_objective(negatives=0)
    setting = dataclasses.replace(objective.setting, is_stream=is_stream)
    InstanceDiscrimination().create_variables(setting)
    assert ("same in every epoch" in caplog.text) == is_stream


def test_batches_without_ids_are_refused_with_the_way_out():
    with pytest.raises(ConfigError, match="objective=moco"):
        an_objective().loss(outputs_of([1])._replace(ids=None))
