"""The dice: Threefry against its published vectors, and what depends on what."""

import numpy as np
import pytest
import tensorflow as tf

from simclr_tf import seeding

# Random123's known-answer file, threefry2x32 with 20 rounds: counter, key, output.
KNOWN_ANSWERS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize("counter, key, expected", KNOWN_ANSWERS)
@pytest.mark.parametrize("library", ["numpy", "tensorflow"])
def test_threefry_gives_the_published_answers(counter, key, expected, library):
    words = [np.array([w], np.uint32) for w in (*key, *counter)]
    if library == "tensorflow":
        words = [tf.constant(w) for w in words]
    result = seeding.threefry(*words)
    assert tuple(int(np.asarray(word)[0]) for word in result) == expected


def test_each_epoch_visits_each_example_once_in_its_own_order():
    orders = [seeding.epoch_order(3, epoch, 1000) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(1000))
    # Two independent permutations agree in one place on average.
    assert (orders[0] == orders[1]).sum() < 10
    assert (orders[1] == orders[2]).sum() < 10
    np.testing.assert_array_equal(orders[1], seeding.epoch_order(3, 1, 1000))


def test_the_order_is_uniform_over_the_permutations_of_three():
    counts = {}
    for seed in range(3000):
        order = tuple(seeding.epoch_order(seed, 0, 3))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    # Binomial(3000, 1/6): standard deviation 20.4; five of them.
    assert max(abs(count - 500) for count in counts.values()) < 102


def test_seeds_of_an_example_do_not_depend_on_its_batch():
    together = seeding.example_seeds(0, 2, np.arange(50))
    alone = np.concatenate([seeding.example_seeds(0, 2, [i]) for i in range(50)])
    np.testing.assert_array_equal(together, alone)


def test_seeds_differ_between_examples_epochs_and_runs():
    seeds = [
        tuple(row)
        for run in (0, 1, 2**40)
        for epoch in range(3)
        for row in seeding.example_seeds(run, epoch, np.arange(200))
    ]
    assert len(set(seeds)) == len(seeds)


def test_uniform_draws_fill_their_interval():
    seeds = seeding.example_seeds(1, 0, np.arange(20000))
    draws = seeding.uniform(seeds, (3,), -2.0, 4.0).numpy()
    assert draws.shape == (20000, 3) and draws.dtype == np.float32
    assert draws.min() >= -2.0 and draws.max() < 4.0
    # Standard error of the mean: 6 / sqrt(12 * 20000) = 0.0122; five of them.
    np.testing.assert_allclose(draws.mean(0), 1.0, atol=0.061)
    np.testing.assert_allclose(draws.std(0), 6 / np.sqrt(12), atol=0.04)
    correlations = np.corrcoef(draws.T) - np.eye(3)
    assert np.abs(correlations).max() < 5 / np.sqrt(20000)


def test_normal_draws_have_the_moments_of_a_normal():
    draws = seeding.normal(seeding.example_seeds(1, 0, np.arange(40000))).numpy()
    assert np.isfinite(draws).all()
    assert abs(draws.mean()) < 5 / np.sqrt(40000)
    assert abs(draws.var() - 1) < 5 * np.sqrt(2 / 40000)
    assert abs((draws**4).mean() - 3) < 5 * np.sqrt(96 / 40000)


def test_folding_separates_operations_and_never_repeats_a_draw():
    seeds = seeding.example_seeds(5, 0, np.arange(100))
    words = [
        tuple(row) for data in range(20) for row in seeding.fold_in(seeds, data).numpy()
    ]
    draws = seeding._bits(seeds, (20,))
    words += [
        tuple(pair)
        for pair in np.stack([np.asarray(d).view(np.int32).ravel() for d in draws], -1)
    ]
    assert len(set(words)) == 4000


def test_traced_draws_keep_their_shape_and_share_the_rounds():
    @tf.function(autograph=False)
    def draw(seeds):
        folded = [seeding.fold_in(seeds, data) for data in range(10)]
        return [seeding.uniform(seeds, (3, 2)) for seeds in folded]

    seeds = tf.constant(seeding.example_seeds(5, 0, np.arange(8)))
    traced = draw.get_concrete_function(seeds)
    assert {output.shape for output in traced.outputs} == {(8, 3, 2)}
    # The 20 rounds are a hundred operations; here every draw calls them.
    calls = [op.type for op in traced.graph.get_operations()].count("PartitionedCall")
    assert calls == 20 and len(traced.graph.get_operations()) < 20 * 40
    for output, data in zip(draw(seeds), range(10), strict=True):
        np.testing.assert_array_equal(
            output, seeding.uniform(seeding.fold_in(seeds, data), (3, 2))
        )


def test_xla_draws_the_same_numbers():
    seeds = tf.constant(seeding.example_seeds(5, 0, np.arange(8)))

    def draw(seeds):
        return seeding.uniform(seeding.fold_in(seeds, 3), (4,))

    compiled = tf.function(draw, jit_compile=True, autograph=False)
    np.testing.assert_array_equal(draw(seeds), compiled(seeds))
