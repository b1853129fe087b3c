"""Callbacks called as Keras calls them, without a training."""


def after_steps(batch, logs, *callbacks):
    """The end of an execution whose last step is number `batch` of the epoch."""
    for callback in callbacks:
        callback.on_train_batch_end(batch, logs)
