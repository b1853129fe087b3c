"""NT-Xent in blocks: the loops, the dense loss, the metrics, bounds of memory."""

import functools
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.losses import (
    BLOCK_BYTES,
    DENSE_LOGITS_BYTES,
    StreamedCandidates,
    block_rows,
    candidate_logits,
    nt_xent,
    nt_xent_candidates,
    nt_xent_from_logits,
)
from simclr_tf.metrics import contrastive_accuracy, contrastive_entropy
from tests.oracles import losses_contrastive as oracle
from tests.oracles import metrics_contrastive as metrics_oracle


def _projections(number=5, features=7, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, number, features)).astype(np.float32)
    return a, a + noise * b


def _value_and_gradients(a, b, compiled=lambda function: function, **options):
    """Losses, and the gradients of a sum in which no two anchors count the same."""
    weights = np.random.default_rng(9).normal(size=len(a)).astype(np.float32)

    @compiled
    def compute(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            losses = nt_xent(a, b, **options)
            total = tf.reduce_sum(losses * weights)
        return losses, tape.gradient(total, [a, b])

    losses, gradients = compute(tf.constant(a), tf.constant(b))
    return losses.numpy(), np.stack(gradients)


@pytest.mark.parametrize("chunk_size", [1, 3, 5, 10, 99])
def test_loss_and_metrics_equal_the_loops_whatever_the_blocks(chunk_size):
    a, b = _projections()
    found = nt_xent_candidates(a, b, temperature=0.2, chunk_size=chunk_size)
    assert isinstance(found, StreamedCandidates)
    for value, expected in (
        (nt_xent_from_logits(found), oracle.nt_xent(a, b, 0.2)),
        (contrastive_accuracy(found), metrics_oracle.contrastive_accuracy(a, b)),
        (contrastive_entropy(found), metrics_oracle.contrastive_entropy(a, b, 0.2)),
    ):
        assert value.dtype == tf.float32 and np.ptp(expected) > 0
        np.testing.assert_allclose(value, expected, rtol=2e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("chunk_size", [4, 7])
def test_loss_and_gradients_equal_the_dense_ones(temperature, chunk_size):
    a, b = _projections(number=8)
    loss, gradients = _value_and_gradients(
        a, b, temperature=temperature, chunk_size=chunk_size
    )
    expected, expected_gradients = _value_and_gradients(a, b, temperature=temperature)
    # A float32 logit of 100 is uncertain by 8e-6.
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-7 / temperature)
    scale = np.abs(expected_gradients).max()
    np.testing.assert_allclose(
        gradients, expected_gradients, rtol=1e-5, atol=1e-5 * scale
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_loss_and_gradients_equal_the_eager_ones(jit_compile):
    a, b = _projections(number=8)
    options = {"temperature": 0.1, "chunk_size": 7}
    found = _value_and_gradients(
        a,
        b,
        functools.partial(tf.function, jit_compile=jit_compile, autograph=False),
        **options,
    )
    for value, expected in zip(
        found, _value_and_gradients(a, b, **options), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_and_raw_lengths_give_the_dense_gradients(dtype):
    a, b = (tf.cast(p, dtype).numpy() for p in _projections())
    options = {"temperature": 10.0, "normalize": False}
    loss, gradients = _value_and_gradients(a, b, chunk_size=3, **options)
    expected, expected_gradients = _value_and_gradients(a, b, **options)
    assert loss.dtype == np.float32 and gradients.dtype == a.dtype
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    bound = {"float16": 1e-3, "bfloat16": 8e-3, "float64": 1e-5}[dtype]
    gradients, expected_gradients = (
        g.astype("float64") for g in (gradients, expected_gradients)
    )
    np.testing.assert_allclose(gradients, expected_gradients, atol=1e-6, rtol=bound)


def test_rows_of_zeros_give_finite_losses_and_no_gradient():
    a, b = _projections()
    a[0], b[1:] = 0, 0
    loss, gradients = _value_and_gradients(a, b, temperature=0.01, chunk_size=4)
    assert np.isfinite(loss).all() and np.isfinite(gradients).all()
    assert (gradients[np.stack([a, b]) == 0] == 0).all() and np.any(gradients)


def test_a_small_loss_keeps_its_digits_and_so_does_its_gradient():
    # Logits near 17, where float32 steps by 2e-6; the loss is 6e-7.
    z, temperature = np.eye(6, dtype=np.float32), 0.06
    loss, gradients = _value_and_gradients(z, z, temperature=temperature, chunk_size=5)
    odds = 10 * math.exp(-1 / temperature)
    np.testing.assert_allclose(loss, [math.log1p(odds)] * 6, rtol=1e-5)
    # Every negative takes an equal part of the small probability.
    weights = np.random.default_rng(9).normal(size=6)
    expected = (
        odds
        / (1 + odds)
        / 10
        / temperature
        * (weights[:, None] + weights[None])
        * (1 - np.eye(6))
    )
    np.testing.assert_allclose(gradients[0], expected, rtol=2e-5, atol=1e-12)


def test_a_tie_counts_as_wrong():
    same = np.float32(np.tile([0.3, -0.7, 0.1, 0.9, 0.2], (6, 1)))
    for chunk_size in (1, 4, 12):
        found = nt_xent_candidates(same, same, temperature=0.1, chunk_size=chunk_size)
        assert not np.any(contrastive_accuracy(found))
        np.testing.assert_allclose(
            contrastive_entropy(found), [math.log(11)] * 6, rtol=1e-6
        )


def test_one_image_alone_has_no_negatives_and_no_loss():
    a, b = _projections(number=1)
    loss, gradients = _value_and_gradients(a, b, temperature=0.1, chunk_size=1)
    assert loss == 0.0 and not np.any(gradients)
    found = nt_xent_candidates(a, b, temperature=0.1, chunk_size=1)
    assert contrastive_accuracy(found) == 1.0 and contrastive_entropy(found) == 0.0


def test_the_figures_of_a_confident_network_are_those_of_the_dense_logits():
    a, b = _projections(number=40, noise=0.05)
    options = {"temperature": 0.05}
    dense = candidate_logits(a, b, **options)
    streamed = nt_xent_candidates(a, b, chunk_size=16, **options)
    for metric in (contrastive_accuracy, contrastive_entropy):
        np.testing.assert_allclose(
            metric(streamed), metric(dense), rtol=1e-4, atol=2e-6
        )


def test_a_graph_with_an_unknown_batch_size_gives_the_same_loss():
    spec = tf.TensorSpec([None, 7], tf.float32)
    compiled = tf.function(
        lambda a, b: nt_xent(a, b, temperature=0.2, chunk_size=4),
        input_signature=[spec, spec],
    )
    for number in (1, 5):
        a, b = _projections(number)
        np.testing.assert_allclose(
            compiled(a, b), nt_xent(a, b, temperature=0.2), rtol=1e-5
        )


def _largest_tensor(function, *shapes):
    """Elements of the largest tensor in the graph of a function, loops included."""
    graph = (
        tf.function(function)
        .get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes))
        .graph.as_graph_def(add_shapes=True)
    )
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return max(
        math.prod(dim.size for dim in shape.dim)
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
    )


def test_beyond_the_budget_the_choice_is_blocks_within_theirs():
    limit = math.isqrt(DENSE_LOGITS_BYTES // 4)
    assert block_rows(limit, limit) is None
    for anchors, candidates in ((limit + 2, limit + 2), (65536, 65536), (96, 2**20)):
        rows = block_rows(anchors, candidates)
        assert 1 <= rows and 4 * rows * candidates <= BLOCK_BYTES
    assert block_rows(2, 2 * BLOCK_BYTES) == 1
    assert block_rows(None, None) is None and block_rows(None, None, 8) == 8


def test_a_large_batch_never_makes_the_whole_matrix():
    number = math.isqrt(DENSE_LOGITS_BYTES // 4) // 2 + 64

    def gradients(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            candidates = nt_xent_candidates(a, b, temperature=0.1)
            loss = tf.reduce_mean(nt_xent_from_logits(candidates))
        figures = contrastive_accuracy(candidates), contrastive_entropy(candidates)
        return tape.gradient(loss, [a, b]), figures

    rows = block_rows(2 * number, 2 * number)
    assert _largest_tensor(gradients, *[[number, 8]] * 2) == rows * 2 * number
    assert 4 * rows * 2 * number <= BLOCK_BYTES


@pytest.mark.parametrize("chunk_size", [0, -3])
def test_a_chunk_without_rows_is_refused(chunk_size):
    a, b = _projections()
    with pytest.raises(ConfigError, match="`chunk_size` must be >= 1.*Received"):
        nt_xent(a, b, temperature=0.1, chunk_size=chunk_size)


LARGE = """
import re, sys
import tensorflow as tf
from simclr_tf.losses import nt_xent

@tf.function
def gradients(a, b):
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        loss = tf.reduce_mean(nt_xent(a, b, temperature=0.1))
    return loss, tape.gradient(loss, [a, b])

def peak():  # (getrusage's would begin with what pytest holds.)
    status = open("/proc/self/status").read()
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", status)[1])

def inputs(images):
    return [tf.random.stateless_normal([images, 128], [0, k]) for k in (1, 2)]

gradients(*inputs(64))  # TensorFlow and its threads.
large = inputs(int(sys.argv[1]))
before = peak()
loss, found = gradients(*large)
assert all(bool(tf.reduce_all(tf.math.is_finite(g))) for g in found)
print(float(loss), peak() - before)
"""


@pytest.mark.slow
def test_32768_images_fit_in_two_gibibytes_above_the_inputs():
    root = pathlib.Path(__file__).parents[2]
    loss, memory = subprocess.run(
        [sys.executable, "-c", LARGE, "32768"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert 10 < float(loss) < 13  # Unrelated views: a little above log(65535) = 11.1.
    assert int(memory) < 2 * 2**30
