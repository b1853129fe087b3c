"""Cross-entropy between what a teacher and a student say."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import distillation_cross_entropy


def probabilities(row, temperature):
    """P(y | x; t) of one image, in float64."""
    powers = [math.exp(float(logit) / temperature) for logit in row]
    return [power / sum(powers) for power in powers]


def some_logits(seed, shape=(5, 4)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
def test_equals_the_loops_of_the_paper(temperature):
    teacher, student = some_logits(0), some_logits(1)
    expected = []
    for said, learned in zip(teacher, student, strict=True):
        pairs = zip(
            probabilities(said, temperature),
            probabilities(learned, temperature),
            strict=True,
        )
        expected.append(-sum(p * math.log(q) for p, q in pairs))
    loss = distillation_cross_entropy(teacher, student, temperature=temperature)
    assert loss.dtype == tf.float32 and loss.shape == (5,)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_teacher_that_knows_nothing_gives_a_student_like_it_the_log_of_the_classes():
    loss = distillation_cross_entropy(
        tf.fill([3, 7], 2.0), tf.zeros([3, 7]), temperature=0.5
    )
    np.testing.assert_allclose(loss, [math.log(7)] * 3, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_student_like_its_teacher_pays_the_entropy_and_any_other_more(temperature):
    teacher = some_logits(2)
    entropies = [
        -sum(p * math.log(p) for p in probabilities(row, temperature))
        for row in teacher
    ]
    shifted = teacher + 3.0  # Another set of logits, the same probabilities.
    loss = distillation_cross_entropy(teacher, shifted, temperature=temperature)
    np.testing.assert_allclose(loss, entropies, rtol=1e-5)
    others = distillation_cross_entropy(
        teacher, some_logits(3), temperature=temperature
    )
    assert (others.numpy() > entropies).all()


def test_a_teacher_that_is_sure_is_a_label():
    teacher = tf.one_hot([2, 0], 4) * 1e4
    student = some_logits(4, (2, 4))
    expected = [
        -math.log(probabilities(student[0], 1.0)[2]),
        -math.log(probabilities(student[1], 1.0)[0]),
    ]
    loss = distillation_cross_entropy(teacher, student, temperature=1.0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_the_gradient_is_the_difference_of_the_predictions_over_the_temperature(
    temperature,
):
    teacher, student = (tf.constant(some_logits(seed)) for seed in (5, 6))
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        loss = tf.reduce_sum(
            distillation_cross_entropy(teacher, student, temperature=temperature)
        )
    to_teacher, to_student = tape.gradient(loss, [teacher, student])
    expected = [
        np.subtract(
            probabilities(learned, temperature), probabilities(said, temperature)
        )
        / temperature
        for said, learned in zip(teacher, student, strict=True)
    ]
    assert to_teacher is None
    np.testing.assert_allclose(to_student, expected, rtol=1e-4, atol=1e-6)


def test_low_precision_logits_give_a_float32_loss_and_large_ones_a_finite_one():
    teacher = tf.constant([[300.0, 0.0]], tf.bfloat16)
    loss = distillation_cross_entropy(teacher, -teacher, temperature=0.1)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, [3000.0])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ConfigError, match="`temperature` must be > 0"):
        distillation_cross_entropy([[0.0]], [[0.0]], temperature=temperature)


@pytest.mark.parametrize("teacher, student", [((2, 3), (2, 4)), ((3,), (3,))])
def test_other_classes_are_refused(teacher, student):
    with pytest.raises(ConfigError, match="the same classes"):
        distillation_cross_entropy(
            tf.zeros(teacher), tf.zeros(student), temperature=1.0
        )
