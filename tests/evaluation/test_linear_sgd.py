"""Linear layers trained by steps: against loops, each other, and L-BFGS."""

import numpy as np
import pytest

from simclr_tf.data.batch_schedule import BatchSchedule
from simclr_tf.errors import ConfigError, DataError, NonFiniteError
from simclr_tf.evaluation import linear_probe, linear_sgd_probe
from simclr_tf.evaluation.linear_layers import LinearLayers
from tests.oracles import evaluation_linear_sgd as oracle

RATES = {"sgd": [0.03, 0.5, 2.0], "lars": [0.3, 2.0, 8.0]}
QUICK = {"epochs": 4, "batch_size": 16, "base_learning_rates": [1.0]}


def blobs(num_images, seed=0, distance=1.0, num_features=5, num_classes=3):
    rng = np.random.default_rng(seed)
    centers = distance * np.random.default_rng(42).normal(
        size=(num_classes, num_features)
    )
    labels = np.arange(num_images) % num_classes
    x = centers[labels] + rng.normal(size=(num_images, num_features))
    return x.astype(np.float32), labels


def some_batches(num_steps=5, num_images=6):
    return [blobs(num_images, seed=step) for step in range(num_steps)]


def trained(rates, optimizer, **settings):
    batches = some_batches()
    layers = LinearLayers(
        5, 3, rates, total_steps=len(batches), optimizer=optimizer, **settings
    )
    start = layers.kernels.numpy()
    for x, y in batches:
        layers.train_step(x, y)
    return start, layers.kernels.numpy(), layers.biases.numpy()


def assert_same_moves(found, expected):
    """Equal up to float32's rounding, on the scale of the largest move."""
    largest = np.abs(expected).max()
    assert largest > 1e-5
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * largest)


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_each_layer_takes_the_steps_of_the_oracle(optimizer, weight_decay):
    rates = RATES[optimizer]
    start, kernels, biases = trained(rates, optimizer, weight_decay=weight_decay)
    for layer, rate in enumerate(rates):
        kernel, bias = oracle.train(
            some_batches(),
            start[layer],
            rate,
            optimizer=optimizer,
            weight_decay=weight_decay,
        )
        assert_same_moves(kernels[layer] - start[layer], kernel - start[layer])
        assert_same_moves(biases[layer], bias)


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
def test_layers_at_once_equal_layers_by_themselves(optimizer):
    start, kernels, biases = trained(RATES[optimizer], optimizer)
    for layer, rate in enumerate(RATES[optimizer]):
        _, kernel, bias = trained([rate], optimizer)
        assert_same_moves(kernels[layer] - start[layer], kernel[0] - start[layer])
        assert_same_moves(biases[layer], bias[0])


def test_all_layers_start_alike_and_by_the_seed():
    first, again, other = (
        LinearLayers(5, 3, [0.1, 1.0], total_steps=1, seed=seed).kernels.numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.ptp(first, axis=0).max() == 0 and np.abs(first - other).max() > 0
    assert 0.003 < first[0].std() < 0.03


@pytest.mark.parametrize("optimizer, epochs", [("sgd", 10), ("lars", 40)])
def test_separable_classes_are_learnt_as_well_as_by_lbfgs(optimizer, epochs):
    (x, y), (new, new_labels) = blobs(240, distance=4), blobs(90, seed=1, distance=4)
    lbfgs = linear_probe(x, y, new, new_labels)
    probe = linear_sgd_probe(
        x, y, new, new_labels, optimizer=optimizer, epochs=epochs, batch_size=32
    )
    assert lbfgs.accuracy_percent >= 98
    assert probe.accuracy_percent >= lbfgs.accuracy_percent - 1.2  # One image.


def test_the_tested_layer_is_that_of_the_chosen_rate_on_all_training_images():
    (x, y), (new, new_labels) = blobs(60), blobs(40, seed=1)
    probe = linear_sgd_probe(
        x, y, new, new_labels, base_learning_rates=[0.5], epochs=2, batch_size=20
    )
    mean, scale = x.mean(axis=0), np.sqrt(x.var(axis=0).mean())
    z, new_z = (x - mean) / scale, (new - mean) / scale
    schedule = BatchSchedule(60, 20, seed=0)
    order = [schedule.examples(step)[1] for step in range(6)]
    start = LinearLayers(5, 3, [1.0], total_steps=1).kernels.numpy()[0]
    kernel, bias = oracle.train(
        [(z[rows], y[rows]) for rows in order], start, 0.5 * 20 / 256, optimizer="sgd"
    )
    logits = np.sort(new_z @ kernel + bias, axis=1)
    clear = logits[:, -1] - logits[:, -2] > 1e-3
    expected = (new_z @ kernel + bias).argmax(axis=1)
    np.testing.assert_array_equal(probe.predictions[clear], expected[clear])
    assert clear.mean() > 0.9 and len(set(expected)) == 3
    assert probe.accuracy_percent == pytest.approx(
        100 * np.mean(probe.predictions == new_labels)
    )


def test_the_choice_fits_no_held_out_image_and_the_test_all():
    # More features than images and random labels: what is fitted is known by heart.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 200)), rng.integers(0, 4, 80)
    probe = linear_sgd_probe(x, y, x, y, base_learning_rates=[2.0], epochs=20)
    assert probe.accuracy_percent == 100
    assert probe.held_out_accuracies_percent[2.0] < 60
    assert (probe.num_held_out, probe.batch_size) == (17, 63)


def test_the_best_rate_on_the_held_out_part_wins_whatever_the_test_labels():
    (x, y), (new, new_labels) = blobs(90), blobs(30, seed=1)
    settings = {"base_learning_rates": [1e-9, 1.0, 3.0], "epochs": 4, "batch_size": 16}
    first = linear_sgd_probe(x, y, new, new_labels, **settings)
    second = linear_sgd_probe(x, y, new, np.roll(new_labels, 1), **settings)
    held_out = first.held_out_accuracies_percent
    assert list(held_out) == [1e-9, 1.0, 3.0]
    assert held_out[first.base_learning_rate] == max(held_out.values()) > held_out[1e-9]
    assert second.held_out_accuracies_percent == held_out
    np.testing.assert_array_equal(first.predictions, second.predictions)
    assert first.learning_rate_is_at_edge == (first.base_learning_rate == 3.0)


def test_a_rate_that_diverges_loses_and_is_marked():
    x, y = blobs(60)
    decayed = {"weight_decay": 100.0, "epochs": 60, "batch_size": 16}
    probe = linear_sgd_probe(x, y, x, y, base_learning_rates=[0.01, 50.0], **decayed)
    assert probe.held_out_accuracies_percent[50.0] is None
    assert probe.base_learning_rate == 0.01
    with pytest.raises(NonFiniteError, match=r"diverged.*\[50.0\]"):
        linear_sgd_probe(x, y, x, y, base_learning_rates=[50.0], **decayed)


def test_labels_need_not_start_at_zero_and_unlabelled_images_are_left_out():
    x, y = blobs(60)
    plain = linear_sgd_probe(x, y, x, y, **QUICK)
    strange = np.concatenate([x, 1e3 * np.ones_like(x)])
    partly = np.concatenate([y * 7 + 4, np.full(60, -1)])
    sparse = linear_sgd_probe(strange, partly, x, y * 7 + 4, **QUICK)
    np.testing.assert_array_equal(sparse.predictions, plain.predictions * 7 + 4)
    assert plain.accuracy_percent > 60


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"base_learning_rates": []}, "base_learning_rates"),
        ({"base_learning_rates": [0.1, -1.0]}, "base_learning_rate=-1.0"),
        ({"base_learning_rates": [np.inf]}, "finite"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"optimizer": "larz"}, "Did you mean lars"),
        ({"held_out_fraction": 0.0}, "held_out_fraction"),
        ({"scaling": "centre"}, "Did you mean center"),
    ],
)
def test_settings_outside_their_range_are_refused(wrong, named):
    x, y = blobs(30)
    with pytest.raises(ConfigError, match=named):
        linear_sgd_probe(x, y, x, y, **{**QUICK, **wrong})


def test_sets_without_labels_get_one_clear_error():
    x, y = blobs(30)
    with pytest.raises(DataError, match="training set has no labels"):
        linear_sgd_probe(x, None, x, y)
    with pytest.raises(DataError, match="test set has no labels"):
        linear_sgd_probe(x, y, x, None)
    with pytest.raises(DataError, match="two classes"):
        linear_sgd_probe(x, np.zeros(30, int), x, y)
