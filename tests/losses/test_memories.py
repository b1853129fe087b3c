"""Losses over a queue or a bank: closed forms, limits, and where no gradient flows."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import info_nce, instance_nce, instance_softmax


def vectors(rows, seed=0, width=4):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_info_nce_of_a_perfect_key_and_an_empty_queue(temperature):
    q = vectors(3)
    loss = info_nce(q, 5 * q, tf.zeros([100, 4]), temperature=temperature)
    expected = math.log1p(100 * math.exp(-1 / temperature))
    np.testing.assert_allclose(loss, [expected] * 3, rtol=1e-3, atol=1e-7)


def test_info_nce_of_equal_vectors_is_the_log_of_the_number_of_logits():
    same = tf.fill([2, 4], 0.5)  # Unit rows.
    loss = info_nce(same, same, tf.fill([4096, 4], 0.5), temperature=0.07)
    np.testing.assert_allclose(loss, [math.log(4097)] * 2, rtol=1e-6)


def test_the_order_of_the_queue_does_not_matter_and_its_length_does():
    q, k, queue = vectors(3), vectors(3, 1), vectors(8, 2)
    loss = info_nce(q, k, queue, temperature=0.2)
    np.testing.assert_allclose(
        info_nce(q, k, queue[::-1], temperature=0.2), loss, rtol=1e-6
    )
    doubled = info_nce(q, k, 2 * queue, temperature=0.2)
    assert np.abs(doubled - loss).min() > 1e-2


def test_no_gradient_reaches_keys_queues_and_banks():
    q, k, memory = (tf.constant(vectors(5, seed)) for seed in range(3))
    ids, drawn = tf.range(5), tf.zeros([5, 2], tf.int32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([q, k, memory])
        results = [
            info_nce(q, k, memory, temperature=0.2),
            instance_softmax(q, ids, memory, temperature=0.2),
            instance_nce(q, ids, memory, drawn, temperature=0.2, normalizer=3.0),
        ]
    for loss in results:
        assert np.abs(tape.gradient(loss, q)).max() > 1e-3
        assert tape.gradient(loss, [k, memory]) == [None, None]


def test_a_bank_of_equal_rows_gives_the_log_of_the_number_of_images():
    bank = tf.tile(vectors(1), [300, 1])
    loss = instance_softmax(vectors(3, 1), [0, 7, 299], bank, temperature=0.1)
    np.testing.assert_allclose(loss, [math.log(300)] * 3, rtol=1e-5)


def test_renumbering_the_images_changes_nothing():
    features, bank, order = vectors(3), vectors(6, 1), np.array([3, 5, 0, 1, 4, 2])
    ids, drawn = np.array([2, 0, 5]), np.array([[1, 1], [2, 4], [0, 3]])
    new = np.argsort(order)  # Row i of the bank is now row new[i] of bank[order].
    for loss_of in (
        lambda i, j, bank: instance_softmax(features, i, bank, temperature=0.2),
        lambda i, j, bank: instance_nce(
            features, i, bank, j, temperature=0.2, normalizer=9.0
        ),
    ):
        moved = loss_of(new[ids], new[drawn], bank[order])
        np.testing.assert_allclose(moved, loss_of(ids, drawn, bank), rtol=1e-5)


@pytest.mark.parametrize("noise", [1, 16])
def test_noise_as_likely_as_the_image_costs_ln_2_for_each_row(noise):
    n = 64  # p = exp(0) / Z = m / n.
    drawn = np.zeros([2, noise], int)
    loss = instance_nce(
        vectors(2),
        [0, 1],
        tf.zeros([n, 4]),
        drawn,
        temperature=1.0,
        normalizer=n / noise,
    )
    np.testing.assert_allclose(loss, [(1 + noise) * math.log(2)] * 2, rtol=1e-6)


def test_a_bank_that_tells_nothing_gives_the_value_of_chance():
    # p = 1 / n for every row.
    loss = instance_nce(
        vectors(1),
        [0],
        tf.zeros([5000, 4]),
        np.zeros([1, 4096], int),
        temperature=0.07,
        normalizer=5000.0,
    )
    expected = math.log(1 + 4096) + 4096 * math.log1p(1 / 4096)
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)
    assert expected == pytest.approx(9.3179, abs=1e-4)


def test_with_all_images_as_noise_many_times_nce_has_the_gradient_of_the_softmax():
    n, times, temperature = 6, 2000, 0.5
    feature, bank = tf.constant(vectors(1)), vectors(n, 1)
    unit = tf.math.l2_normalize(feature, axis=1)
    normalizer = float(tf.reduce_sum(tf.exp(unit @ bank.T / temperature)))
    drawn = np.tile(np.arange(n), times)[np.newaxis]
    gradients = []
    for loss_of in (
        lambda v: instance_softmax(v, [2], bank, temperature=temperature),
        lambda v: instance_nce(
            v, [2], bank, drawn, temperature=temperature, normalizer=normalizer
        ),
    ):
        with tf.GradientTape() as tape:
            tape.watch(feature)
            loss = loss_of(feature)
        gradients.append(tape.gradient(loss, feature).numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=2e-3, atol=1e-4)


def test_a_normalizer_may_be_a_variable_or_too_large_for_float32():
    arguments = vectors(2), [0, 1], vectors(4, 1), [[2], [3]]
    number = instance_nce(*arguments, temperature=0.2, normalizer=7.0)
    variable = instance_nce(*arguments, temperature=0.2, normalizer=tf.Variable(7.0))
    np.testing.assert_allclose(variable, number, rtol=1e-6)
    huge = instance_nce(*arguments, temperature=0.01, normalizer=1e44)
    assert np.isfinite(huge).all()


GOOD = {
    "features": tf.zeros([2, 3]),
    "ids": [0, 1],
    "bank": tf.zeros([5, 3]),
    "negative_ids": [[1, 2], [3, 4]],
    "temperature": 0.1,
    "normalizer": 5.0,
}


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("features", tf.zeros([2]), r"`features` must be floating point \[N, D\]"),
        ("ids", [0.0, 1.0], r"`ids` must be integers \[N\].*float32"),
        ("ids", [0, 1, 2], r"`ids` must be integers \[N\].*\(3,\)"),
        ("bank", tf.zeros([5, 4]), r"`bank` must.*rows as wide.*\(5, 4\)"),
        ("negative_ids", [1, 2], r"`negative_ids` must be integers \[N, m\]"),
        ("negative_ids", [[1, 2]], r"`negative_ids` must be integers \[N, m\]"),
        ("normalizer", -1.0, "`normalizer` must be > 0.*normalizer=-1.0"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, value, message):
    with pytest.raises(ConfigError, match=message):
        instance_nce(**{**GOOD, name: value})


def test_a_queue_of_another_width_is_refused():
    with pytest.raises(ConfigError, match="`queue` must be floating point, with rows"):
        info_nce(tf.zeros([2, 3]), tf.zeros([2, 3]), tf.zeros([4, 2]), temperature=0.1)
