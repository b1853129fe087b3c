"""What every loss of an objective promises, whatever it computes."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import losses
from simclr_tf.errors import ConfigError
from tests.losses.every_loss import CASES, DCLW, inputs_of, value_and_gradients
from tests.oracles import losses_contrastive

EVERY = pytest.mark.parametrize("name", CASES)


@EVERY
def test_equals_the_loops(name):
    case = CASES[name]
    trained, fixed = inputs_of(case)
    loss = case.loss(*trained, *fixed)
    expected = case.oracle(*(np.float64(array) for array in trained), *fixed)
    assert loss.dtype == tf.float32 and loss.shape == np.shape(expected)
    np.testing.assert_allclose(loss, expected, rtol=2e-5, atol=1e-6)


@EVERY
def test_gradient_equals_finite_differences_of_the_loops(name):
    case = CASES[name]
    trained, fixed = inputs_of(case, rows=3)
    oracle = case.oracle
    if case is DCLW:
        weights = losses_contrastive.dclw_weights(*np.float64(trained), 0.4)
        oracle = functools.partial(oracle, weights=weights)
    _, gradients = value_and_gradients(case.loss, trained, fixed)
    for place, gradient in enumerate(gradients):
        expected = np.zeros(gradient.shape)
        for index in np.ndindex(expected.shape):
            values = []
            for shift in (1e-5, -1e-5):
                moved = np.float64(trained)
                moved[place][index] += shift
                values.append(np.mean(oracle(*moved, *fixed)))
            expected[index] = (values[0] - values[1]) / 2e-5
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@EVERY
def test_low_precision_is_computed_in_float32_also_at_temperature_a_hundredth(
    name, dtype
):
    case = CASES[name]
    trained, fixed = inputs_of(case)
    trained = [tf.cast(array, dtype) for array in trained]
    exact = [tf.cast(array, tf.float32) for array in trained]
    for loss_of in filter(None, (case.loss, case.cold)):
        loss, gradients = value_and_gradients(loss_of, trained, fixed)
        expected, of_exact = value_and_gradients(loss_of, exact, fixed)
        assert loss.dtype == tf.float32
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
        for gradient, other in zip(gradients, of_exact, strict=True):
            assert np.isfinite(other).all() and np.abs(other).max() > 1e-3
            np.testing.assert_array_equal(gradient, tf.cast(other, dtype))


@EVERY
def test_rows_of_zeros_give_finite_values_and_gradients(name):
    case = CASES[name]
    trained, fixed = inputs_of(case)
    for array in trained:
        array[:] = 0
    for loss_of in filter(None, (case.loss, case.cold)):
        loss, gradients = value_and_gradients(loss_of, trained, fixed)
        assert np.isfinite(loss) and np.isfinite(gradients).all()


def test_every_loss_compiles_with_xla_and_an_unknown_batch_size():
    cases = {n: c for n, c in CASES.items() if "blocks" not in n}
    inputs = [inputs_of(case) for case in cases.values()]

    def all_losses(inputs):
        return [
            value_and_gradients(case.loss, *arrays)
            for case, arrays in zip(cases.values(), inputs, strict=True)
        ]

    spec = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype), inputs
    )
    expected = tf.nest.flatten(all_losses(inputs))
    unknown = tf.function(all_losses, input_signature=[spec], autograph=False)(inputs)
    compiled = tf.function(all_losses, jit_compile=True, autograph=False)(inputs)
    for values in (unknown, compiled):
        for value, known in zip(tf.nest.flatten(values), expected, strict=True):
            np.testing.assert_allclose(value, known, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.cold])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_not_positive_is_refused_in_one_line(name, temperature):
    case = CASES[name]
    trained, fixed = inputs_of(case)
    key = "student_temperature" if name.startswith("dino") else "temperature"
    with pytest.raises(ConfigError, match=f"`{key}` must be > 0.*Received: {key}="):
        case.loss(*trained, *fixed, **{key: temperature})


PAIRS = {
    "dcl": functools.partial(losses.dcl, temperature=0.5),
    "dclw": functools.partial(losses.dclw, temperature=0.5),
    "info_nce": lambda a, b: losses.info_nce(a, b, [[1.0, 0.0, 0.0]], temperature=1.0),
    "batch_logits": functools.partial(losses.batch_logits, temperature=1.0),
    "swapped_prediction": losses.swapped_prediction,
    "dino": lambda a, b: losses.dino_cross_entropy(a, b, [0.0, 0.0, 0.0]),
    "negative_cosine": losses.negative_cosine,
    "barlow_twins": losses.barlow_twins,
    "vicreg": losses.vicreg,
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_that_do_not_match_are_refused_in_one_line(name):
    for a, b, message in [
        (tf.zeros([4, 3]), tf.zeros([5, 3]), r"one shape \[N, D\].*\(5, 3\)"),
        (tf.zeros([4]), tf.zeros([4]), r"one shape \[N, D\]"),
        (tf.zeros([4, 3], tf.int32), tf.zeros([4, 3]), "floating point.*int32"),
    ]:
        with pytest.raises(ConfigError, match=message):
            PAIRS[name](a, b)


@pytest.mark.parametrize("name", ["dcl", "dclw", "barlow_twins", "vicreg"])
def test_a_batch_of_one_image_is_refused_where_it_means_nothing(name):
    with pytest.raises(ConfigError, match="two images or more.*images=1"):
        PAIRS[name](tf.ones([1, 3]), tf.ones([1, 3]))
