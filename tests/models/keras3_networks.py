"""Networks of Keras 3, small enough to be trained in a test."""

from simclr_tf._keras import keras3


def nested_network(image_shape=(16, 16, 3), seed=0, dropout=0.0):
    """With all that `keras.applications` has: nesting, arithmetic, batch norm."""
    keras = keras3()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    pixels = keras.Input(image_shape, name="pixels")
    x = layers.Conv2D(6, 3, 2, kernel_regularizer="l2", name="stem")(pixels)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = layers.ReLU()(x * 0.5 + 0.1)
    block = [layers.Conv2D(6, 3), layers.BatchNormalization(momentum=0.9)]
    block += [layers.Dropout(dropout)] if dropout else []
    return keras.Model(pixels, keras.Sequential(block, name="block")(x), name="nested")


def values_of(network):
    """All variables of a network of Keras 3: weights, statistics, seeds."""
    return [variable.numpy() for variable in network.variables]
