"""SwAV and DINO: prototypes, queue, small views; centre, temperatures, teacher."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import losses
from simclr_tf.errors import ConfigError
from simclr_tf.models import ProjectionHead, resnet, vision_transformer
from simclr_tf.objectives import DINO, Outputs, SwAV
from simclr_tf.objectives.swav import scores_of
from simclr_tf.training import PretrainingModel
from tests.objectives.small_models import (
    BATCH,
    SIZE,
    a_batch,
    a_model,
    stepper,
    values,
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
    scores = [unit(view) @ objective.prototypes.numpy().T for view in z]
    after(objective, some_views(2, 0), step=0)
    alone = [losses.sinkhorn(view) for view in scores]
    np.testing.assert_allclose(objective._codes(scores), alone, 1e-5, 1e-6)
    after(objective, some_views(2, 1), step=1)
    earlier = objective.queue.numpy() @ objective.prototypes.numpy().T
    together = [
        losses.sinkhorn(np.concatenate([of_queue, view]))[16:]
        for of_queue, view in zip(earlier, scores, strict=True)
    ]
    assert np.abs(np.subtract(together, alone)).max() > 1e-2
    np.testing.assert_allclose(objective._codes(scores), together, 1e-5, 1e-6)


def test_a_queue_shorter_than_a_batch_and_odd_crops_are_refused():
    with pytest.raises(ConfigError, match="queue_length=7"):
        a_model(SwAV(**SMALL, queue_length=7))
    with pytest.raises(ConfigError, match="two fractions"):
        SwAV(small_crop_area=(0.5, 0.1))


TINY = {"outputs": 6, "small_views": 2, "small_size_fraction": 0.5}


def test_the_student_is_compared_with_the_teachers_other_views_centred_and_sharpened():
    objective = a_model(DINO(**TINY, teacher_warmup_epochs=1)).objective
    rng = np.random.default_rng(1)
    z, targets = some_views(4), some_views(2, 9)
    for variable in (objective.teacher_layer, objective.center):
        variable.assign(rng.normal(size=variable.shape))
    layer, teacher_layer = (
        unit(v.numpy()) for v in (objective.last_layer, objective.teacher_layer)
    )
    for step, warmth in ((0, 0.04), (1, 0.055), (2, 0.07), (9, 0.07)):
        loss, figures = objective.loss(
            Outputs((), z, targets, step=tf.constant(step, tf.int64))
        )
        terms, entropies = [], []
        for i in (0, 1):
            logits = unit(targets[i]) @ teacher_layer.T - objective.center.numpy()
            log_p = log_softmax(logits / warmth)
            entropies.append(-np.sum(np.exp(log_p) * log_p, 1))
            terms += [
                -np.sum(np.exp(log_p) * log_softmax(unit(z[v]) @ layer.T / 0.1), 1)
                for v in range(4)
                if v != i
            ]
        np.testing.assert_allclose(loss, np.mean(terms, axis=0), 2e-4, 1e-5)
        entropy = np.mean(entropies)
        np.testing.assert_allclose(figures["prediction_entropy"], entropy, 1e-3, 1e-5)
        np.testing.assert_allclose(
            figures["dino_divergence"], np.mean(terms) - entropy, 1e-3, 1e-5
        )


def test_the_centre_moves_after_the_loss_by_the_teachers_own_mean_logit():
    objective = a_model(DINO(**TINY, target_momentum=0.0)).objective
    targets = some_views(2)
    objective.teacher_layer.assign(np.random.default_rng(0).normal(size=[6, 5]))
    logits = unit(np.concatenate(targets)) @ unit(objective.teacher_layer.numpy()).T
    objective.after_update(Outputs((), (), targets, step=tf.constant(0, tf.int64)))
    np.testing.assert_allclose(objective.center, 0.1 * logits.mean(0), 1e-4, 1e-6)
    np.testing.assert_allclose(objective.teacher_layer, objective.last_layer, 1e-6)


def test_the_last_layer_stays_at_first_and_the_student_alone_takes_a_gradient():
    model = a_model(DINO(**TINY, freeze_epochs=1))
    objective = model.objective
    start = values([objective.last_layer, objective.teacher_layer])
    trained = {id(v) for v in model.trainable_variables}
    assert {id(v) for v in objective.variables} & trained == {id(objective.last_layer)}
    step = stepper(model)
    for number in range(3):
        np.testing.assert_array_equal(objective.last_layer, start[0])
        step(a_batch(number))
    assert np.abs(objective.last_layer - start[0]).max() > 1e-4
    assert np.abs(objective.teacher_layer - start[1]).max() > 0


def a_transformer():
    return vision_transformer(8, 1, 2, patch_size=2, image_size_pixels=SIZE)


@pytest.mark.parametrize(
    "encoder",
    [a_transformer, lambda: resnet(10, width_multiplier=0.0625, stem="small")],
)
def test_transformers_and_resnets_take_small_views(encoder):
    model = PretrainingModel(
        encoder=encoder(),
        projection_head=ProjectionHead(num_layers=2, out_features=5, seed=1),
        objective=DINO(**TINY),
        recipe="finetune",
        image_size_pixels=SIZE,
        compile_views=False,
    )
    model.build_from_shape((SIZE, SIZE, 3), total_steps=9, epoch_steps=3)
    model.compile(optimizer="sgd")
    step = stepper(model)
    first, second = (step(a_batch(0))["loss"] for _ in range(2))
    assert np.isfinite(second) and first != second


@pytest.mark.parametrize(
    "cls, options, words",  # Of a run of 10 epochs of 2 steps.
    [
        (SwAV, {"freeze_epochs": 9.5}, []),
        (SwAV, {"freeze_epochs": 10.0}, ["train the prototypes", "freeze_epochs=10.0"]),
        (SwAV, {"queue_length": 16, "queue_start_epoch": 8}, []),
        (
            SwAV,
            {"queue_length": 16, "queue_start_epoch": 9},  # First full after step 20.
            ["use the queue", "queue_start_epoch=9", "queue_length=16", "20 steps"],
        ),
        (DINO, {"teacher_warmup_epochs": 9.5, "freeze_epochs": 9.5}, []),
        (
            DINO,
            {"teacher_warmup_epochs": 1.0, "freeze_epochs": 11.0},
            ["train the last layer", "freeze_epochs=11.0", "22 steps"],
        ),
        (
            DINO,
            {"teacher_warmup_epochs": 30.0},
            ["teacher_temperature=0.07", "teacher_warmup_epochs=30.0", "60 steps"],
        ),
        (DINO, {"teacher_warmup_epochs": 30.0, "first_teacher_temperature": 0.07}, []),
    ],
)
def test_what_begins_after_the_end_of_the_run_is_told(cls, options, words, caplog):
    size = {"prototypes": 6} if cls is SwAV else {"outputs": 6}
    a_model(cls(small_views=0, **size, **options))
    assert len(caplog.records) == bool(words)
    assert all(word in caplog.text for word in words)


def test_a_projection_without_a_direction_has_no_score_and_no_gradient():
    z = tf.Variable([[0.0, 0.0], [0.0, 2.0]])
    with tf.GradientTape() as tape:
        (scores,) = scores_of([z], tf.constant([[0.6, 0.8]]))
    np.testing.assert_allclose(scores, [[0.0], [0.8]], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(scores, z), [[0, 0], [0.3, 0]], atol=1e-6)


def test_the_entropy_of_a_teacher_is_good_neither_high_nor_low():
    of_swav, of_dino = (
        next(one for one in cls.figures if one.name == "prediction_entropy")
        for cls in (SwAV, DINO)
    )
    assert of_swav.better == "lower" and of_dino.better == ""
    assert "teacher" in of_dino.meaning and "teacher" not in of_swav.meaning


@pytest.mark.parametrize("cls", [SwAV, DINO])
def test_small_views_that_are_no_whole_patches_are_refused_with_a_size_that_is(cls):
    model = PretrainingModel(
        encoder=a_transformer(),
        projection_head=ProjectionHead(num_layers=1, out_features=5),
        objective=cls(small_size_fraction=0.4),  # 3 pixels.
        recipe="finetune",
        image_size_pixels=SIZE,
    )
    with pytest.raises(ConfigError, match="small_size_fraction=0.5"):
        model.build_from_shape((SIZE, SIZE, 3), total_steps=9, epoch_steps=3)
