"""BYOL, SimSiam and MoCo v3: prediction, the held target, the schedule of the mean."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.models import AveragedNetwork, PredictionHead, vision_transformer
from simclr_tf.objectives import BYOL, MoCo, MoCoV3, NTXent, Outputs, SimSiam
from simclr_tf.objectives.byol import cosine_momentum
from tests.objectives.small_models import a_batch, a_model, stepper, values
from tests.oracles import losses_contrastive


def test_a_prediction_head_is_a_hidden_layer_with_batch_norm_and_a_linear_one():
    head = PredictionHead(hidden_features=3, seed=1, batch_norm_epsilon=1e-3)
    z = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    head.build((None, 4))
    for v in head.trainable_variables:
        v.assign(np.random.default_rng(1).normal(size=v.shape))
    hidden = z @ head.hidden.kernel.numpy()
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-3)
    hidden = np.maximum(hidden * head.norm.gamma + head.norm.beta, 0)
    expected = hidden @ head.last.kernel.numpy() + head.last.bias.numpy()
    np.testing.assert_allclose(head(z, training=True), expected, 1e-4, 1e-5)
    copy = PredictionHead.from_config(head.get_config())
    assert copy(z).shape == (6, 4)
    assert [v.shape for v in copy.variables] == [v.shape for v in head.variables]


def test_byol_of_perfect_predictions_is_zero():
    objective = a_model(BYOL(predictor_features=4)).objective
    a, b = np.random.default_rng(0).normal(size=(2, 8, 5)).astype("float32")
    objective.predictor = lambda z, training: z
    # The same weights see the same view: the target equals the projection.
    loss, _ = objective.loss(Outputs((), (a, b), (b, a)))
    np.testing.assert_allclose(loss, np.zeros(8), atol=1e-6)


def cosine(a, b):
    return np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("name", ["simsiam", "byol", "moco_v3"])
def test_the_loss_is_that_of_both_directions(name):
    cls = {"simsiam": SimSiam, "byol": BYOL, "moco_v3": MoCoV3}[name]
    objective = a_model(cls(predictor_features=32)).objective
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 8, 5)).astype("float32")
    loss, _ = objective.loss(Outputs((), (a, b), (c, d), training=False))
    p_a, p_b = objective.predictor(a).numpy(), objective.predictor(b).numpy()
    if name == "simsiam":
        expected = -(cosine(p_a, b) + cosine(p_b, a)) / 2
    elif name == "moco_v3":  # Its temperature is 1.
        expected = losses_contrastive.moco_v3(p_a, p_b, c, d, temperature=1.0)
    else:
        expected = (2 - 2 * cosine(p_a, d)) + (2 - 2 * cosine(p_b, c))
    np.testing.assert_allclose(loss, expected, 1e-4, 1e-5)


def test_simsiam_takes_a_gradient_through_predictions_alone():
    objective = a_model(SimSiam(predictor_features=4)).objective
    a, b = np.random.default_rng(0).normal(size=(2, 8, 5)).astype("float32")
    a, b = tf.Variable(a), tf.Variable(b)
    weights = objective.predictor.trainable_variables
    for v in weights:
        v.assign(tf.zeros_like(v))
    weights[-1].assign([1.0, 0.0, 0.0, 0.0, 0.0])  # It predicts the same of every z.
    with tf.GradientTape() as tape:
        loss, _ = objective.loss(Outputs((), (a, b)))
    gradients = tape.gradient(loss, [a, b, weights[-1]])
    assert np.abs(gradients[2]).max() > 0.1
    np.testing.assert_array_equal(gradients[0], np.zeros([8, 5]))
    np.testing.assert_array_equal(gradients[1], np.zeros([8, 5]))


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_moco_v3_of_equal_keys_is_4_t_ln_g_and_the_gradient_is_that_of_the_loops(
    temperature,
):
    objective = a_model(MoCoV3(predictor_features=4, temperature=temperature)).objective
    rng = np.random.default_rng(0)
    weights = objective.predictor.trainable_variables
    for v in weights:
        v.assign(rng.normal(size=v.shape))
    a, b, c, d = (tf.Variable(z) for z in rng.normal(size=(4, 8, 5)).astype("float32"))
    same = tf.ones_like(c)
    loss, figures = objective.loss(Outputs((), (a, b), (same, same)))
    np.testing.assert_allclose(loss, np.full(8, 4 * temperature * np.log(8)), 1e-5)
    assert np.mean(figures["contrastive_accuracy"]) == 0  # A tie is not found.
    with tf.GradientTape() as tape:
        outputs = Outputs((), (a, b), (c, d), training=False)
        loss = tf.reduce_mean(objective.loss(outputs)[0])
    gradients = tape.gradient(loss, [a, b, c, d, weights[-1]])
    assert gradients[2:4] == [None, None]

    def loss_in_loops(shift):
        weights[-1].assign(kernel + shift)
        rows = [np.float64(objective.predictor(view)) for view in (a, b)]
        rows += [c.numpy(), d.numpy()]
        return np.mean(losses_contrastive.moco_v3(*rows, temperature))

    kernel = weights[-1].numpy()
    direction = rng.normal(size=kernel.shape)
    slope = (loss_in_loops(0.01 * direction) - loss_in_loops(-0.01 * direction)) / 0.02
    assert np.sum(gradients[-1] * direction) == pytest.approx(slope, rel=1e-2)
    assert np.abs(gradients[0]).max() > 1e-3 and np.abs(gradients[1]).max() > 1e-3


def test_moco_v3_leaves_the_patch_embedding_of_a_transformer_at_its_random_start():
    encoder = vision_transformer(8, 1, 2, patch_size=4, image_size_pixels=8, seed=0)
    model = a_model(MoCoV3(predictor_features=4), encoder=encoder)
    before = values(encoder.trainable_variables)
    model.train_step({name: tf.constant(value) for name, value in a_batch(0).items()})
    stays = {v.name for v in encoder.get_layer("patches").variables}
    for variable, old in zip(encoder.trainable_variables, before, strict=True):
        is_equal = np.array_equal(variable, old)
        assert is_equal == (variable.name in stays), variable.name
    free = a_model(MoCoV3(predictor_features=4, freeze_patches=False), encoder=encoder)
    assert free.objective.frozen(0) == []


@pytest.mark.parametrize("step, expected", [(0, 0.9), (5, 0.95), (10, 1.0), (20, 1.0)])
def test_the_momentum_rises_to_one_by_a_cosine(step, expected):
    assert float(cosine_momentum(0.9, step, 10)) == pytest.approx(expected, abs=1e-6)


def test_the_target_follows_the_weights_after_the_update_with_statistics_of_its_own():
    model = a_model(BYOL(predictor_features=4, target_momentum=0.75))
    target, encoder = model.objective.target.encoder.network, model.encoder
    start = values(encoder.trainable_variables)
    statistics = values(encoder.non_trainable_variables)
    for own, copied in zip(target.weights, encoder.weights, strict=True):
        np.testing.assert_array_equal(own, copied)
    stepper(model)(a_batch(0))
    averaged = zip(
        target.trainable_variables, start, encoder.trainable_variables, strict=True
    )
    for own, old, new in averaged:
        np.testing.assert_allclose(own, 0.75 * old + 0.25 * new, 1e-5, 1e-7)
    for own, old in zip(target.non_trainable_variables, statistics, strict=True):
        assert np.any(own != old)


def test_an_average_of_decay_one_stays_and_of_decay_zero_is_a_copy():
    network = a_model(BYOL(predictor_features=4)).encoder
    average = AveragedNetwork(network)
    start = values(average.network.trainable_variables)
    for variable in network.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    for decay, shift in ((1.0, 0.0), (0.0, 1.0)):
        average.average(network, decay)
        for own, old in zip(average.network.trainable_variables, start, strict=True):
            np.testing.assert_array_equal(own, old + np.float32(shift))


@pytest.mark.parametrize("cls", [SimSiam, BYOL, MoCoV3])
def test_validation_changes_nothing(cls):
    model = a_model(cls(predictor_features=4))
    before = values(model.objective.variables)
    logs = model.test_step({k: tf.constant(v) for k, v in a_batch(0).items()})
    assert np.isfinite(float(logs["loss"]))
    for old, variable in zip(before, model.objective.variables, strict=True):
        np.testing.assert_array_equal(variable, old)


@pytest.mark.parametrize(
    "objective, name",
    [
        (BYOL(predictor_features=4), "target"),
        (MoCoV3(predictor_features=4), "target"),
        (MoCo(queue_length=12, batch_norm_groups=2), "averaged"),
        (NTXent(memory_size=12), "averaged"),
    ],
    ids=["byol", "moco_v3", "moco", "nt_xent"],
)
def test_averaged_networks_take_weights_that_were_loaded(objective, name):
    model = a_model(objective)
    for variable in (*model.encoder.variables, *model.projection_head.variables):
        variable.assign(variable + 1.0)
    objective.weights_loaded()
    averaged = getattr(objective, name)
    for target, network in (
        (averaged.encoder, model.encoder),
        (averaged.head, model.projection_head),
    ):
        for own, loaded in zip(target.weights, network.weights, strict=True):
            np.testing.assert_array_equal(own, loaded)
