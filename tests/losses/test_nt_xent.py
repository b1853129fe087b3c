"""NT-Xent against loops, closed forms, its symmetries and finite differences."""

import math

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import candidate_logits, nt_xent, nt_xent_from_logits
from tests.oracles import losses_contrastive as oracle


def _projections(number=5, features=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, number, features)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_equals_the_loops(temperature):
    a, b = _projections()
    loss = nt_xent(a, b, temperature=temperature)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, oracle.nt_xent(a, b, temperature), rtol=2e-5)


def test_equals_the_loops_without_normalisation():
    a, b = _projections()
    loss = nt_xent(a, b, temperature=10.0, normalize=False)
    np.testing.assert_allclose(loss, oracle.nt_xent(a, b, 10.0, False), rtol=2e-5)


@pytest.mark.parametrize("number", [1, 2, 16])
def test_equal_projections_give_the_log_of_the_number_of_candidates(number):
    same = tf.ones([number, 3])
    loss = nt_xent(same, same, temperature=0.1)
    np.testing.assert_allclose(loss, [math.log(2 * number - 1)] * number, atol=1e-6)


def test_aligned_views_with_orthogonal_negatives():
    z, temperature = np.eye(6, dtype=np.float32), 0.5
    expected = math.log(1 + 2 * 5 * math.exp(-1 / temperature))
    loss = nt_xent(z, z, temperature=temperature)
    np.testing.assert_allclose(loss, [expected] * 6, rtol=1e-6)


def test_a_small_loss_is_not_lost_to_rounding():
    # Logits near 17, where float32 steps by 2e-6; the loss is 6e-7.
    z, temperature = np.eye(6, dtype=np.float32), 0.06
    expected = math.log1p(10 * math.exp(-1 / temperature))
    loss = nt_xent(z, z, temperature=temperature)
    np.testing.assert_allclose(loss, [expected] * 6, atol=2.5e-7, rtol=0)


def test_swapping_the_views_changes_nothing():
    a, b = _projections()
    there, back = nt_xent(a, b, temperature=0.2), nt_xent(b, a, temperature=0.2)
    np.testing.assert_allclose(there, back, rtol=1e-6)


def test_permuting_the_images_permutes_the_losses():
    a, b = _projections()
    order = [3, 0, 4, 2, 1]
    loss = nt_xent(a, b, temperature=0.2).numpy()
    permuted = nt_xent(a[order], b[order], temperature=0.2)
    np.testing.assert_allclose(permuted, loss[order], rtol=1e-6)


def test_scaling_a_row_changes_nothing_when_normalised():
    a, b = _projections()
    loss = nt_xent(a, b, temperature=0.2)
    a[2] *= 37.0
    np.testing.assert_allclose(nt_xent(a, b, temperature=0.2), loss, rtol=1e-5)
    raw = nt_xent(a, b, temperature=0.2, normalize=False)
    assert abs(raw[2] - loss[2]) > 0.1


def test_gradient_equals_finite_differences_of_the_loops():
    a, b = _projections(number=3, features=4)
    variables = [tf.Variable(a), tf.Variable(b)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(nt_xent(*variables, temperature=0.3))
    for view, gradient in enumerate(tape.gradient(loss, variables)):
        expected = np.zeros(a.shape)
        for index in np.ndindex(a.shape):
            values = []
            for shift in (1e-5, -1e-5):
                moved = [a.astype(np.float64), b.astype(np.float64)]
                moved[view][index] += shift
                values.append(oracle.nt_xent(*moved, 0.3).mean())
            expected[index] = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_loss_and_gradient_are_finite_at_temperature_a_hundredth(dtype, jit_compile):
    a, b = (tf.cast(p, dtype) for p in _projections(number=8))

    @tf.function(jit_compile=jit_compile, autograph=False)
    def value_and_gradient(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            loss = nt_xent(a, b, temperature=0.01)
        return loss, tape.gradient(loss, [a, b])

    loss, gradients = value_and_gradient(a, b)
    assert loss.dtype == tf.float32
    expected = oracle.nt_xent(*(tf.cast(p, tf.float64).numpy() for p in (a, b)), 0.01)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    for gradient in gradients:
        gradient = tf.cast(gradient, tf.float32)
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_rows_of_zeros_give_finite_losses_and_no_gradient(dtype):
    a, b = _projections()
    a[0], b[1:] = 0, 0
    variables = [tf.Variable(tf.cast(p, dtype)) for p in (a, b)]
    with tf.GradientTape() as tape:
        loss = nt_xent(*variables, temperature=0.01)
    assert np.isfinite(loss).all()
    for values, gradient in zip((a, b), tape.gradient(loss, variables), strict=True):
        gradient = tf.cast(gradient, tf.float32).numpy()
        assert np.isfinite(gradient).all()
        assert (gradient[(values == 0).all(axis=1)] == 0).all()
        assert np.abs(gradient).max() > 0


def test_an_anchor_never_competes_with_itself():
    logits, positives = candidate_logits(*_projections(), temperature=0.5)
    probabilities = tf.nn.softmax(logits).numpy()
    assert (np.diag(probabilities) == 0).all()
    assert np.isfinite(logits).all()
    assert positives.numpy().tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def test_a_graph_with_an_unknown_batch_size_gives_the_same_loss():
    spec = tf.TensorSpec([None, 7], tf.float32)
    compiled = tf.function(
        lambda a, b: nt_xent(a, b, temperature=0.2), input_signature=[spec, spec]
    )
    for number in (2, 5):
        a, b = _projections(number)
        np.testing.assert_allclose(
            compiled(a, b), nt_xent(a, b, temperature=0.2), rtol=1e-6
        )


def test_shared_logits_give_the_loss_itself():
    a, b = _projections()
    shared = nt_xent_from_logits(candidate_logits(a, b, temperature=0.2))
    np.testing.assert_array_equal(shared, nt_xent(a, b, temperature=0.2))


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    a, b = _projections()
    with pytest.raises(ConfigError, match="`temperature` must be > 0.*Received"):
        nt_xent(a, b, temperature=temperature)


@pytest.mark.parametrize(
    "a, b, message",
    [
        (tf.zeros([4, 3]), tf.zeros([5, 3]), r"one shape \[N, D\].*\(5, 3\)"),
        (tf.zeros([4, 3]), tf.zeros([4, 2]), r"one shape \[N, D\]"),
        (tf.zeros([4]), tf.zeros([4]), r"one shape \[N, D\]"),
        (tf.zeros([4, 3], tf.int32), tf.zeros([4, 3]), "floating point.*int32"),
    ],
)
def test_projections_that_do_not_match_are_refused(a, b, message):
    with pytest.raises(ConfigError, match=message):
        nt_xent(a, b, temperature=0.5)
