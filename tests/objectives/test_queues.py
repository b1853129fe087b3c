"""Objectives with queues: what is read, and what is written when."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import info_nce
from simclr_tf.objectives import NNCLR, MoCo, NTXent, Outputs
from simclr_tf.objectives.nnclr import nearest_rows
from simclr_tf.objectives.queue import enqueue, random_unit_rows
from tests.objectives.small_models import EXAMPLES, a_batch, a_model, stepper
from tests.oracles import losses_contrastive


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


def outputs_of_a_step(model, batch):
    tf.config.run_functions_eagerly(True)
    try:
        return model.gradients(batch)[1]
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("replicas, batch", [(1, 9), (2, 6)])
def test_groups_of_moco_must_divide_the_images_of_a_replica(replicas, batch):
    strategy = tf.distribute.MirroredStrategy(
        tf.config.list_logical_devices("CPU")[:replicas]
    )
    model = a_model(MoCo(batch_norm_groups=2), strategy, build=False)
    with strategy.scope(), pytest.raises(ConfigError, match="batch_norm_groups=2"):
        model.build_from_shape((16, 16, 3), global_batch_size=batch)


def test_groups_of_one_image_are_refused_and_small_ones_told_once(caplog):
    with pytest.raises(ConfigError, match="must have two images or more.*Received"):
        a_model(MoCo(queue_length=12, batch_norm_groups=8))  # Of a batch of 8.
    a_model(MoCo(queue_length=12, batch_norm_groups=8), batch_norm=False)
    a_model(MoCo(queue_length=12, batch_norm_groups=2))
    assert not caplog.records
    model = a_model(MoCo(queue_length=12, batch_norm_groups=4))
    stepper(model)(a_batch(0))
    # TensorFlow warns of retracing or not, by the tests that ran before.
    (record,) = [record for record in caplog.records if record.name == "simclr_tf"]
    assert "4 groups" in record.getMessage() and "only 2 images" in record.getMessage()


def test_groups_of_one_image_of_a_micro_batch_are_refused():
    model = a_model(MoCo(queue_length=12, batch_norm_groups=2), micro_batch_size=2)
    with pytest.raises(ConfigError, match="larger --batch_size or --micro_batch_size"):
        stepper(model)(a_batch(0))


@pytest.mark.parametrize(
    "cls, options, name",
    [
        (MoCo, {"batch_norm_groups": 2}, "queue_length"),
        (NNCLR, {"predictor_features": 4}, "queue_length"),
        (NTXent, {}, "memory_size"),
    ],
)
def test_a_queue_longer_than_the_data_set_is_told(cls, options, name, caplog):
    a_model(cls(**{name: EXAMPLES}, **options))
    assert not caplog.records
    a_model(cls(**{name: EXAMPLES + 1}, **options))
    (record,) = caplog.records
    assert f"--objective.{name}=21 is longer than the data set of 20" in record.message


@pytest.mark.parametrize("symmetric", [False, True])
def test_moco_reads_its_queues_before_the_keys_of_the_step_enter_them(symmetric):
    options = {"queue_length": 12, "batch_norm_groups": 2, "temperature": 0.5}
    model = a_model(MoCo(**options, symmetric=symmetric))
    objective = model.objective
    old = objective.queues.numpy()
    assert len(old) == 1 + symmetric
    outputs = outputs_of_a_step(model, a_batch(0))
    loss, figures = objective.loss(outputs)
    expected = [
        info_nce(query, key, queue, temperature=0.5)
        for query, key, queue in zip(
            outputs.projections[: len(old)], outputs.targets, old, strict=True
        )
    ]
    np.testing.assert_allclose(loss, np.mean(expected, axis=0), rtol=1e-5)
    cosines = np.sum(
        unit(outputs.projections[0].numpy()) * unit(outputs.targets[0].numpy()), axis=1
    )
    np.testing.assert_allclose(np.mean(figures["key_agreement"]), cosines.mean(), 1e-4)
    objective.after_update(outputs)
    for queue, keys, before in zip(
        objective.queues.numpy(), outputs.targets, old, strict=True
    ):
        np.testing.assert_allclose(queue[:8], unit(keys.numpy()), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(queue[8:], before[:4])


def test_the_memory_of_nt_xent_adds_its_rows_to_the_negatives_of_both_directions():
    objective = a_model(NTXent(memory_size=12, temperature=0.5)).objective
    a, b = np.random.default_rng(0).normal(size=(2, 8, 5)).astype("float32")
    memory = objective.queue.numpy()
    a, b = tf.Variable(a), tf.Variable(b)
    with tf.GradientTape() as tape:
        tape.watch(objective.queue)
        loss, _ = objective.loss(Outputs((), (a, b)))
    expected = losses_contrastive.nt_xent_with_memory(a.numpy(), b.numpy(), memory, 0.5)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    gradients = tape.gradient(loss, [a, b, objective.queue])
    assert gradients[2] is None and np.abs(gradients[0]).max() > 1e-3
    # 2 * 8 - 1 of the batch, and 12.
    objective.queue.assign(tf.fill([12, 5], 5.0**-0.5))
    same = tf.ones([8, 5])
    loss, _ = objective.loss(Outputs((), (same, same)))
    np.testing.assert_allclose(loss, np.full(8, np.log(15 + 12)), rtol=1e-5)


def test_keys_of_the_second_view_enter_the_memory_of_nt_xent_after_the_loss():
    model = a_model(NTXent(memory_size=12, memory_momentum=0.5))
    objective, old = model.objective, model.objective.queue.numpy()
    views = [tf.constant(a_batch(seed)["images"]) for seed in (0, 1)]
    (keys,) = objective.targets(views, training=False)
    np.testing.assert_array_equal(keys, objective.averaged(views[1], training=False))
    outputs = outputs_of_a_step(model, a_batch(0))
    before = objective.loss(outputs)[0]
    objective.after_update(outputs)
    queue = objective.queue.numpy()
    np.testing.assert_allclose(queue[:8], unit(outputs.targets[0].numpy()), 1e-5, 1e-6)
    np.testing.assert_array_equal(queue[8:], old[:4])
    assert np.abs(objective.loss(outputs)[0] - before).max() > 1e-3


def test_a_key_of_moco_shares_no_statistics_with_other_groups_of_the_batch():
    model = a_model(MoCo(queue_length=12, batch_norm_groups=2))
    view = tf.constant(a_batch(0)["images"])
    keys = model.objective.averaged(view, training=True)
    changed = tf.tensor_scatter_nd_update(view, [[0], [2]], view[:2] * 0.1)
    others = model.objective.averaged(changed, training=True)
    np.testing.assert_allclose(keys[1::2], others[1::2], rtol=1e-4, atol=1e-5)
    assert np.abs((keys - others)[4]).max() > 1e-4  # Of the changed rows' group.
    assert stepper(model)(a_batch(1))["key_agreement"] < 0.999


@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_the_networks_in_training_see_only_the_queries_of_moco(micro_batch_size):
    """The view of a key has no part in the query's statistics, nor a gradient."""
    options = {"queue_length": 12, "batch_norm_groups": 2}
    models = [
        a_model(
            MoCo(**options),
            batch_norm=micro_batch_size is None,
            micro_batch_size=micro,
        )
        for micro in (None, micro_batch_size)
    ]
    outputs = outputs_of_a_step(models[1], a_batch(0))
    assert [len(rows) for rows in (*outputs.projections, *outputs.targets)] == [8, 8]
    a, b = models[0].views_of(a_batch(0))
    features, projections, _ = models[0].forward((a, b), training=False)
    np.testing.assert_array_equal(features[0], models[0].encoder(a, training=False))
    assert len(projections) == 1
    figures = [stepper(model)(a_batch(0)) for model in models]
    for name, value in figures[0].items():
        np.testing.assert_allclose(figures[1][name], value, 1e-4, 2e-6, err_msg=name)
    both = a_model(MoCo(**options, symmetric=True)).forward((a, b), training=False)
    assert len(both[1]) == 2


def nnclr_in_loops(views, predicted, queue, temperature):
    """Losses of each image, its found neighbours, and who was right."""
    number, losses, places = len(views[0]), [], []
    for i in range(number):
        total = 0.0
        for own, other in ((0, 1), (1, 0)):
            cosines = [float(unit(views[own][i]) @ row) for row in queue]
            place = cosines.index(max(cosines))
            places += [place] if own == 0 else []
            logits = [
                float(queue[place] @ unit(predicted[other][j])) / temperature
                for j in range(number)
            ]
            total += np.log(np.sum(np.exp(logits))) - logits[i]
        losses.append(total / 2)
    return losses, places


def test_nnclr_equals_the_loops_and_takes_a_gradient_through_predictions_alone():
    objective = a_model(
        NNCLR(queue_length=12, predictor_features=4, temperature=0.5)
    ).objective
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 8, 5)).astype("float32")
    weights = objective.predictor.trainable_variables
    for v in weights:
        v.assign(rng.normal(size=v.shape))
    predicted = [objective.predictor(view).numpy() for view in (a, b)]
    loss, figures = objective.loss(Outputs((), (a, b), training=False))
    expected, places = nnclr_in_loops((a, b), predicted, objective.queue.numpy(), 0.5)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(figures["neighbours_in_use"], len(set(places)) / 8)
    # A predictor that gives the same for all: no gradient is left for the views.
    for v in weights:
        v.assign(tf.zeros_like(v))
    weights[-1].assign([1.0, 0.0, 0.0, 0.0, 0.0])
    a, b = tf.Variable(a), tf.Variable(b)
    with tf.GradientTape() as tape:
        loss, _ = objective.loss(Outputs((), (a, b)))
    np.testing.assert_allclose(loss, np.full(8, np.log(8)), rtol=1e-5)
    gradients = tape.gradient(loss, [a, b, weights[-1]])
    np.testing.assert_array_equal(gradients[0], np.zeros([8, 5]))
    np.testing.assert_array_equal(gradients[1], np.zeros([8, 5]))


def test_nnclr_looks_up_before_one_view_of_the_step_enters_the_queue():
    objective = a_model(NNCLR(queue_length=12, predictor_features=4)).objective
    rng = np.random.default_rng(1)
    outputs = Outputs((), tuple(rng.normal(size=(2, 8, 5)).astype("float32")))
    old = objective.queue.numpy()
    first = objective.loss(outputs)[1]["neighbour_similarity"]
    assert np.max(first) < 0.99
    objective.after_update(outputs)
    queue = objective.queue.numpy()
    np.testing.assert_allclose(queue[:8], unit(outputs.projections[0]), 1e-5, 1e-6)
    np.testing.assert_array_equal(queue[8:], old[:4])
    # Written first, each first view would find itself.
    again = nearest_rows(outputs.projections[0], objective.queue)[2]
    np.testing.assert_allclose(again, np.ones(8), rtol=1e-5)
