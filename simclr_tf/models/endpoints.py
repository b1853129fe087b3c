"""Endpoints: named outputs inside an encoder."""

from __future__ import annotations

from simclr_tf._keras import keras
from simclr_tf.array_types import Model, Tensor
from simclr_tf.errors import require
from simclr_tf.models.encoders import family_among

FEATURES = "final_avg_pool"


def endpoints(encoder: Model) -> dict[str, Tensor]:
    """Return the symbolic outputs of an encoder's endpoints, by name.

    An endpoint is a layer with one of the names in `Family.endpoint_names`: those of
    the ResNets are `initial_conv`,
    `initial_max_pool`, `block_group1` to `block_group4` and `final_avg_pool`, those of
    the transformers `embedding`, `block1`, `block2`, ... and `features`. The last
    endpoint is the features; a custom network has only this one, with the name
    `final_avg_pool`.

    Args:
      encoder: keras.Model with a graph of layers (functional or sequential).

    Returns:
      dict of name to symbolic tensor, in the order of the forward pass.

    Raises:
      ConfigError: the encoder has no graph of layers.

    Example:
      >>> from simclr_tf.models import resnet
      >>> list(endpoints(resnet(18, width_multiplier=0.1)))[:3]
      ['initial_conv', 'initial_max_pool', 'block_group1']
    """
    require(
        has_graph(encoder),
        "Endpoints exist only in functional or sequential models; pass the encoder "
        "through `check_encoder` first.",
        encoder=type(encoder).__name__,
    )
    layers = {layer.name: layer for layer in encoder.layers}
    names = family_among(layers).endpoints_among(layers)
    last = names.pop() if names and _ends_in(encoder, layers[names[-1]]) else FEATURES
    # Also last in the order, for any name of the user's layer.
    found = {name: layers[name].output for name in names if name != FEATURES}
    return {**found, last: encoder.output}


def _ends_in(encoder, layer):
    return layer.output is encoder.output


def with_endpoints(encoder: Model) -> Model:
    """Build a model that shares the encoder's weights and outputs all its endpoints.

    Args:
      encoder: keras.Model as for `endpoints`.

    Returns:
      keras.Model: images to a dict of name to tensor.

    Raises:
      ConfigError: the encoder has no graph of layers.

    Example:
      >>> from simclr_tf.models import resnet
      >>> model = with_endpoints(resnet(18, width_multiplier=0.1, stem="cifar"))
      >>> model.output_shape["block_group4"]
      (None, None, None, 51)
    """
    return keras.Model(
        encoder.inputs, endpoints(encoder), name=f"{encoder.name}_endpoints"
    )


def has_graph(model):
    """Tell whether a model is a graph of layers that Keras can inspect."""
    return bool(model.inputs) and bool(model.outputs)
