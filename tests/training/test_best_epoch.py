"""Early stopping ends with the best epoch's weights, also at the planned end."""

import numpy as np
import pytest

from simclr_tf._keras import keras
from simclr_tf.training.classifier_training import BestEpoch


def after(accuracies, losses=None, patience=2):
    """(kept weight, epochs that ran): epoch e leaves the weight e."""
    network = keras.Sequential([keras.layers.Dense(1, use_bias=False)])
    network.build([None, 1])
    model = keras.Sequential([keras.layers.Dense(1)])
    callback = BestEpoch(network, patience)
    callback.set_model(model)
    model.stop_training, ran = False, 0
    for epoch, accuracy in enumerate(accuracies):
        network.set_weights([np.full([1, 1], epoch)])
        loss = 0.0 if losses is None else losses[epoch]
        callback.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss})
        ran += 1
        if model.stop_training:
            break
    callback.take()
    return network.get_weights()[0].item(), ran


@pytest.mark.parametrize(
    "accuracies, kept, ran",
    [
        ([0.1, 0.5, 0.4, 0.3, 0.9], 1, 4),  # Stops before the late best.
        ([0.1, 0.5, 0.4], 1, 3),  # The planned end: back to the best all the same.
        ([0.1, 0.2, 0.3], 2, 3),
    ],
)
def test_it_keeps_the_best_and_waits_as_long_as_asked(accuracies, kept, ran):
    assert after(accuracies) == (kept, ran)


def test_of_equal_accuracies_the_lower_loss_counts():
    assert after([0.5, 0.5, 0.5], [0.9, 0.7, 0.8]) == (1, 3)
