"""Early stopping that ends with the weights of the best epoch."""

from simclr_tf._keras import keras


class BestEpoch(keras.callbacks.Callback):
    """Stop when the validation accuracy rises no more; keep the best weights.

    Of equal accuracies the lower loss counts. Unlike Keras's `EarlyStopping`, it goes
    back to the best epoch also when training came to its planned end.

    Args:
      network: keras.Model whose weights are kept.
      patience_epochs: int >= 1, epochs without a better one before the end.

    Attributes:
      epoch: int, the best epoch, counted from 0; None before the first.
    """

    def __init__(self, network, patience_epochs):
        super().__init__()
        self._network, self._patience = network, patience_epochs

    def on_train_begin(self, logs=None):
        self.epoch, self._best, self._weights = None, None, None

    def on_epoch_end(self, epoch, logs=None):
        score = (float(logs["val_accuracy"]), -float(logs["val_loss"]))
        if self._best is None or score > self._best:
            self.epoch, self._best = epoch, score
            self._weights = self._network.get_weights()
        elif epoch - self.epoch >= self._patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self._network.set_weights(self._weights)
