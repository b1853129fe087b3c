"""Tiny runs to which something happens, for the tests of faults."""

import numpy as np

from simclr_tf import pretrain
from simclr_tf._keras import keras

TINY = {
    "epochs": 3,
    "global_batch_size": 4,
    "precision": "float32",
    "preset": "demo",
    "projection_head": {"out_features": 8, "num_layers": 2},
    "data.image_size_pixels": 16,
    "compile_views": False,
    "checkpoint.every_epochs": 1,
    # Only crops and flips: what the other operators do has its own tests, and tracing
    # them takes longer than all the rest of so small a run.
    "augment.recipe": "finetune",
}


def an_encoder():
    pictures = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(6, 3, 2, use_bias=False)(pictures)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(x))


def run(workdir, data=None, **options):
    if data is None:
        data = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), "uint8")
    return pretrain(
        data,
        workdir,
        encoder=an_encoder(),
        **{"say": lambda line: None, **TINY, **options},
    )


class AtEpoch(keras.callbacks.Callback):
    """Something happens to the disk when an epoch begins, or before the first batch."""

    def __init__(self, epoch, fault):
        super().__init__()
        self.epoch, self.fault = epoch, fault

    def on_train_begin(self, logs=None):
        if self.epoch is None:  # Batches are made ahead, from now on.
            self.fault()

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.fault()


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
