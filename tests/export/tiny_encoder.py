"""An encoder that is exported in a second."""

import numpy as np

from simclr_tf._keras import keras


def tiny_encoder(channels=3):
    """Two endpoints, batch norm far from its initial values, a penalty."""
    images = keras.Input((None, None, channels), name="images")
    x = keras.layers.Conv2D(
        4, 3, padding="same", name="initial_conv", kernel_regularizer="l2"
    )(images)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.ReLU(name="block_group1")(x)
    x = keras.layers.Conv2D(5, 3, strides=2, name="conv2")(x)
    x = keras.layers.BatchNormalization(name="bn2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="final_avg_pool")(x)
    model = keras.Model(images, x, name="tiny")
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1.0, w.shape) for w in model.get_weights()])
    return model
