"""The encoder as a `.keras` file of Keras 3: layers and weights, no code.

Keras 3 and the Keras 2 API in one process disturb each other, so another process
builds the file, reads it back in safe mode and compares the features.
"""

import json
from importlib import metadata

from simclr_tf.errors import ConfigError
from simclr_tf.export.parity import PROGRAMS, difference_in_fresh_process

FILE = "encoder.keras"

# Options that say nothing in Keras 2 either, and that Keras 3 refuses.
_ONLY_IN_KERAS_2 = {
    "DepthwiseConv2D": ("groups",),
    "MultiHeadAttention": (
        "query_shape",
        "key_shape",
        "value_shape",
        "softmax_robust_masking",
    ),
    "SeparableConv2D": (
        "groups",
        "kernel_initializer",
        "kernel_regularizer",
        "kernel_constraint",
    ),
    "SpatialDropout2D": ("noise_shape", "trainable"),
}


def check_keras3():
    """Raise unless Keras 3 is installed.

    Raises:
      ConfigError: it is not.
    """
    try:
        version = metadata.version("keras")
    except metadata.PackageNotFoundError:
        version = "none"
    if not version.split(".")[0].isdecimal() or int(version.split(".")[0]) < 3:
        raise ConfigError(
            "--formats=keras3 needs Keras 3, which comes with TensorFlow 2.16 and "
            f"later. Installed here: keras {version}."
        )


def write_keras3(path, encoder, network, cases):
    """Write a `.keras` file and check it where only Keras 3 is known.

    Args:
      path: path of the file.
      encoder: keras.Model, plain, for its weights.
      network: dict of `describe_network`.
      cases: dict of `parity_cases`.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: the features differ, or Keras 3 cannot build the network.
    """
    return difference_in_fresh_process(
        PROGRAMS / "make_keras3.py",
        path,
        {
            **cases,
            "network": _in_keras3(network["config"]),
            # By their places: a depthwise kernel has another name in Keras 3.
            **{
                f"weight:{layer.name}/{index}": array
                for layer in encoder.layers
                for index, array in enumerate(layer.get_weights())
            },
        },
        what="The Keras 3 file",
    )


def _in_keras3(config):
    """Return the graph's config as JSON in the terms of Keras 3."""
    config = {**config, "layers": [_layer(layer) for layer in config["layers"]]}
    for ends in ("input_layers", "output_layers"):
        # One tensor is itself, not a list: users call the model on one array.
        config[ends] = config[ends][0] if len(config[ends]) == 1 else config[ends]
    return json.dumps(config)


def _layer(layer):
    config, kind = dict(layer["config"]), layer["class_name"]
    # Keras 2 keeps the axis of a normalization in a list.
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]
    for option in _ONLY_IN_KERAS_2.get(kind, ()):
        config.pop(option, None)
    if kind == "PatchEmbedding":  # Without its check of the images' sides.
        layer = {**layer, "class_name": "Conv2D", "module": "keras.layers"}
        layer["registered_name"] = None
    if "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    nodes = [_node(node) for node in layer["inbound_nodes"]]
    layer = {**layer, "config": config, "inbound_nodes": nodes}
    layer.pop("build_config", None)  # Keras 3 builds what it calls.
    return layer


def _node(node):
    """Return a call of a layer; only one with named tensors is written otherwise."""
    if not any(isinstance(v, list) for item in node for v in item[3].values()):
        return node
    return {
        "args": [_tensor(item) for item in node],
        "kwargs": {
            name: _tensor(value) if isinstance(value, list) else value
            for item in node
            for name, value in item[3].items()
        },
    }


def _tensor(reference):
    # Keras 3 finds the tensor by its history; it wants some shape.
    history = {"keras_history": reference[:3], "shape": [None], "dtype": "float32"}
    return {"class_name": "__keras_tensor__", "config": history}
