"""The named places inside an encoder from which one can read."""

from simclr_tf._keras import keras
from simclr_tf.errors import require

ENDPOINTS = (
    "initial_conv",
    "initial_max_pool",
    "block_group1",
    "block_group2",
    "block_group3",
    "block_group4",
    "final_avg_pool",
)


def endpoints(encoder):
    """The symbolic outputs of an encoder's endpoints, by name.

    Args:
      encoder: keras.Model with a graph of layers (functional or sequential). The
        endpoints are the layers with the names in `ENDPOINTS`; of other encoders
        the features alone are known, as "final_avg_pool".

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
    found = {name: layers[name].output for name in ENDPOINTS if name in layers}
    # Last in the order as well, whatever the user's layer is called.
    found.pop("final_avg_pool", None)
    return {**found, "final_avg_pool": encoder.output}


def with_endpoints(encoder):
    """The same encoder, sharing its weights, that returns all of its endpoints.

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
    """Whether a model is a graph of layers that Keras can look into."""
    return bool(model.inputs) and bool(model.outputs)
