"""Sinkhorn codes, swapped predictions and DINO: loops, properties, closed forms."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import dino_cross_entropy, sinkhorn, swapped_prediction
from tests.losses.test_losses_over_replicas import ROWS, on_replicas
from tests.oracles import losses_without_negatives as oracle


def scores(rows=ROWS, prototypes=5, seed=0):
    values = np.random.default_rng(seed).uniform(-1, 1, (rows, prototypes))
    return values.astype(np.float32)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize("iterations", [1, 3])
def test_codes_equal_the_loops_and_rows_sum_to_one(epsilon, iterations):
    codes = sinkhorn(scores(), epsilon=epsilon, iterations=iterations)
    expected = oracle.sinkhorn(np.float64(scores()), epsilon, iterations)
    np.testing.assert_allclose(codes, expected, rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(np.sum(codes, axis=1), np.ones(ROWS), rtol=1e-5)


def test_two_images_and_two_prototypes_have_a_closed_form():
    values, epsilon = np.array([[0.4, -0.1], [0.2, 0.3]], np.float32), 0.1
    codes = sinkhorn(values, epsilon=epsilon, iterations=200)
    odds = (values[0, 0] + values[1, 1] - values[0, 1] - values[1, 0]) / (2 * epsilon)
    expected = 1 / (1 + math.exp(-odds))
    np.testing.assert_allclose(
        codes, [[expected, 1 - expected], [1 - expected, expected]], rtol=1e-5
    )


def test_after_many_iterations_prototypes_share_the_batch_equally():
    codes = sinkhorn(scores(), epsilon=0.2, iterations=200).numpy()
    np.testing.assert_allclose(codes.sum(axis=0), [ROWS / 5] * 5, rtol=1e-5)


def test_after_many_iterations_a_prototype_takes_no_more_than_its_share():
    codes = sinkhorn(scores(3, 12), epsilon=0.2, iterations=200).numpy()
    assert codes.max() <= 3 / 12 + 1e-5  # Images / prototypes.


def test_random_directions_fill_all_prototypes_and_leave_codes_broad():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3256, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = sinkhorn(vectors[:256] @ vectors[256:].T).numpy().astype(np.float64)
    shares = codes.sum(axis=0) / (256 / 3000)
    assert 0.98 < shares.min() <= shares.max() < 1.01
    # With 256 images no code is sharper than ln(3000 / 256); equal ones have ln(3000).
    entropies = -np.sum(codes * np.log(np.maximum(codes, 1e-30)), axis=1)
    assert math.log(3000 / 256) < entropies.mean() == pytest.approx(6.6, abs=0.1)


@pytest.mark.parametrize("values", [scores(1), np.tile(scores(1), [ROWS, 1])])
def test_one_image_or_equal_images_get_uniform_codes(values):
    np.testing.assert_allclose(sinkhorn(values), np.full(values.shape, 0.2), rtol=1e-5)


def test_what_is_added_to_a_prototype_or_to_all_scores_changes_nothing():
    codes = sinkhorn(scores())
    for shift in (3.0, np.float32([5, 0, -2, 1, 0.5])):
        np.testing.assert_allclose(sinkhorn(scores() + shift), codes, 1e-3, 1e-6)


def test_views_have_codes_of_their_own_and_a_row_of_minus_infinity_has_no_part():
    views = [scores(seed=1), scores(seed=2)]
    expected = [sinkhorn(view) for view in views]
    np.testing.assert_allclose(sinkhorn(np.stack(views)), expected, 1e-6)
    absent = np.full([3, views[0].shape[1]], -np.inf, np.float32)
    codes = sinkhorn(np.concatenate([absent, views[0]])).numpy()
    assert not codes[:3].any()
    np.testing.assert_allclose(codes[3:], expected[0], 1e-5, 1e-7)
    views[0][1, 2] = np.nan
    assert np.isnan(sinkhorn(views[0])).any()  # Not taken for absent.


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_codes_are_finite_in_low_precision_and_at_a_tiny_epsilon(dtype):
    values = tf.cast(scores(), dtype)
    for epsilon in (0.05, 0.001):
        codes = sinkhorn(values, epsilon=epsilon)
        assert codes.dtype == tf.float32 and np.isfinite(codes).all()
        np.testing.assert_allclose(
            codes, sinkhorn(tf.cast(values, tf.float32), epsilon=epsilon)
        )
    np.testing.assert_allclose(np.sum(codes, axis=1), np.ones(ROWS), rtol=1e-5)


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_share_their_prototypes_over_the_global_batch(replicas):
    parts = on_replicas(replicas, lambda inputs: sinkhorn(inputs[0]), [scores()])
    codes = np.concatenate(parts)
    np.testing.assert_allclose(codes, sinkhorn(scores()), rtol=1e-4, atol=1e-7)
    parts = on_replicas(
        replicas, lambda inputs: sinkhorn(tf.stack([-inputs[0], inputs[0]])), [scores()]
    )
    codes = np.concatenate(parts, axis=1)[1]
    np.testing.assert_allclose(codes, sinkhorn(scores()), rtol=1e-4, atol=1e-7)


def test_no_gradient_flows_through_codes_teachers_and_centres():
    student, other, center = (
        tf.constant(scores()),
        tf.constant(scores(seed=1)),
        scores(1),
    )
    center = tf.constant(center)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([student, other, center])
        results = [
            swapped_prediction(student, sinkhorn(other)),
            dino_cross_entropy(student, other, center),
        ]
        codes = sinkhorn(student)
    assert tape.gradient(codes, student) is None
    for loss in results:
        assert np.abs(tape.gradient(loss, student)).max() > 1e-3
        assert tape.gradient(loss, [other, center]) == [None, None]


@pytest.mark.parametrize("prototypes", [2, 4096])
def test_equal_scores_give_the_log_of_the_number_of_prototypes(prototypes):
    flat, codes = tf.fill([3, prototypes], 0.7), sinkhorn(scores(3, prototypes))
    expected = [math.log(prototypes)] * 3
    np.testing.assert_allclose(swapped_prediction(flat, codes), expected, rtol=1e-5)
    teacher = scores(3, prototypes)
    loss = dino_cross_entropy(flat, teacher, tf.zeros([prototypes]))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_prediction_costs_at_least_the_entropy_of_its_target():
    codes = sinkhorn(scores()).numpy()
    entropy = -np.sum(codes * np.log(codes), axis=1)
    exact = swapped_prediction(0.1 * np.log(codes), codes, temperature=0.1)
    np.testing.assert_allclose(exact, entropy, rtol=1e-4, atol=1e-5)
    assert (swapped_prediction(scores(seed=1), codes).numpy() > entropy).all()


def test_a_teacher_at_its_centre_is_uniform_and_a_centre_sharpens_what_is_above_it():
    teacher, student = scores(2), scores(2, seed=1)
    np.testing.assert_allclose(
        dino_cross_entropy(student, np.tile(teacher[:1], [2, 1]), teacher[0]),
        swapped_prediction(student, np.full([2, 5], 0.2, np.float32)),
        rtol=1e-5,
    )
    center = np.zeros([1, 5], np.float32)
    center[0, teacher[0].argmax()] = 1e3  # The dimension that dominated is left out.
    loss = dino_cross_entropy(student, teacher, center)
    kept = np.delete(teacher[0], teacher[0].argmax())
    log_softmax = tf.nn.log_softmax(student[0] / 0.1).numpy()
    log_softmax = np.delete(log_softmax, teacher[0].argmax())
    expected = -np.sum(tf.nn.softmax(kept / 0.04) * log_softmax)
    np.testing.assert_allclose(loss[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sinkhorn(scores(), epsilon=0), "`epsilon` must be > 0.*epsilon=0"),
        (lambda: sinkhorn(scores(), iterations=0), "`iterations` must be >= 1"),
        (lambda: sinkhorn(tf.zeros([3])), r"`scores` must be floating point \[N, K\]"),
        (
            lambda: dino_cross_entropy(scores(2), scores(2), [0.0, 1.0]),
            r"`center` must be \[K\] or \[1, K\].*\(2,\)",
        ),
        (
            lambda: dino_cross_entropy(scores(2), scores(2), scores(2)),
            r"`center` must be \[K\] or \[1, K\]",
        ),
        (
            lambda: dino_cross_entropy(
                scores(2), scores(2), scores(1), teacher_temperature=0
            ),
            "`teacher_temperature` must be > 0",
        ),
    ],
)
def test_values_outside_their_range_are_refused_in_one_line(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
