"""Copies of a network in which the heavy layers compute in bfloat16."""

from __future__ import annotations

from simclr_tf._keras import keras
from simclr_tf.array_types import Layer, Model
from simclr_tf.models.synchronized_batch_norm import SynchronizedBatchNormalization
from simclr_tf.models.tokens import Attention

# Keras's policy of each precision; under all of them variables are float32.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_layers = keras.layers
# Matrix products, for which there are instructions.
_PRODUCTS = (
    _layers.Dense,
    _layers.EinsumDense,
    _layers.MultiHeadAttention,
    _layers.Conv2D,
    _layers.DepthwiseConv2D,
    _layers.SeparableConv2D,
    Attention,
)
# They keep the precision of what they are given; a sum that of its longest input.
_ELEMENTWISE = (
    _layers.Activation,
    _layers.Add,
    _layers.BatchNormalization,
    _layers.Concatenate,
    _layers.Cropping2D,
    _layers.Dropout,
    _layers.Flatten,
    _layers.ReLU,
    _layers.LeakyReLU,
    _layers.MaxPooling2D,
    _layers.AveragePooling2D,
    _layers.Multiply,
    _layers.Rescaling,
    _layers.Reshape,
    _layers.ZeroPadding2D,
    SynchronizedBatchNormalization,
)


def precision_copy(network: Model, precision: str) -> Model:
    """Copy a float32 network into another precision; the same network for float32.

    Convolutions and dense layers compute in bfloat16, and so do the layers between them
    that change element by element. Means over an image, softmax, normalization of
    layers, all other layers and the last one keep float32: as in a network of ours that
    is built in bfloat16. All variables are float32.

    Args:
      network: keras.Model with a graph of layers; called in the strategy's scope.
      precision: "float32" or "bfloat16".

    Returns:
      keras.Model with the same layers, names and weights, and variables of its own.

    Example:
      >>> from simclr_tf.models import resnet
      >>> network = resnet(18, 0.1, stem="small")
      >>> precision_copy(network, "float32") is network
      True
      >>> copy = precision_copy(network, "bfloat16")
      >>> copy.get_layer("initial_conv").compute_dtype, copy.output.dtype.name
      ('bfloat16', 'float32')
    """
    if precision == "float32":
        return network
    policy, short = POLICIES[precision], set()
    for layer in network.layers:  # Each one after those that it takes from.
        is_short = isinstance(layer, _PRODUCTS) or (
            isinstance(layer, _ELEMENTWISE)
            and (all if isinstance(layer, _layers.Add) else any)(
                id(before) in short for before in _before(layer)
            )
        )
        if is_short and layer is not network.layers[-1] and not _is_softmax(layer):
            short.add(id(layer))

    def changed(layer):
        config = layer.get_config()
        if id(layer) in short:
            config["dtype"] = policy
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=changed)
    copy.set_weights(network.get_weights())
    return copy


def _before(layer: Layer) -> list[Layer]:
    """List the layers whose outputs a layer takes."""
    return [
        before
        for node in layer.inbound_nodes
        for before in (n.layer for n in node.parent_nodes)
    ]


def _is_softmax(layer: Layer) -> bool:
    """Tell whether a layer ends in a softmax, whose sum needs float32."""
    return getattr(layer, "activation", None) is keras.activations.softmax
