"""A network as a `.keras` file of Keras 3: layers and weights, no code.

An export is made by a process that has Keras 3 and not this package: it builds the
file, reads it back in safe mode and compares the features. A fine-tuned network, and
one with a user's Keras 3 network inside, is built, read and compared in this process.
"""

import importlib.util
import json
from importlib import metadata

import numpy as np

from simclr_tf._keras import keras3
from simclr_tf.errors import ConfigError
from simclr_tf.export.parity import (
    PROGRAMS,
    check_difference,
    difference_in_fresh_process,
    parity_cases,
)
from simclr_tf.limits import parse_json
from simclr_tf.models import describe_network
from simclr_tf.models.keras3_network import Keras3Network, known_classes, network_of

FILE = "encoder.keras"

# Options without effect in Keras 2 that Keras 3 refuses.
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
      ConfigError: Keras 3 is missing.
    """
    try:
        version = metadata.version("keras")
    except metadata.PackageNotFoundError:
        version = "none"
    if not version.split(".")[0].isdecimal() or int(version.split(".")[0]) < 3:
        raise ConfigError(
            "A file for Keras 3 needs Keras 3, which comes with TensorFlow 2.16 "
            f"and later. Installed here: keras {version}."
        )


def write_keras3(path, encoder, network, cases):
    """Write a `.keras` file and check it in a process with Keras 3 only.

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
            # By their order: a depthwise kernel has another name in Keras 3.
            **{
                f"weight:{layer.name}/{index}": array
                for layer in encoder.layers
                for index, array in enumerate(layer.get_weights())
            },
        },
        what="The Keras 3 file",
    )


def write_keras3_here(path, network, cases=None):
    """Write a `.keras` file of Keras 3 in this process, and read it back.

    Args:
      path: path of the file, with the suffix `.keras`.
      network: keras.Model of the Keras 2 API, of `plain_copy`.
      cases: dict of `parity_cases`; made from the network if None.

    Returns:
      float, the largest absolute difference of the outputs.

    Raises:
      ConfigError: Keras 3 is missing, or a layer does not exist there.
      ParityError: the outputs differ.
    """
    check_keras3()
    try:
        twin = _twin(network)
        twin.save(path)
        twin = keras3().saving.load_model(
            path, custom_objects=known_classes(), compile=False, safe_mode=True
        )
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise ConfigError(
            f"Keras 3 cannot build {network.name}: {' '.join(str(error).split())[:200]}"
        ) from error
    cases = cases or parity_cases(network, network)
    differences = [
        np.abs(np.asarray(twin(cases[f"images{n}"], training=False)) - values).max()
        for n in range(len(cases))
        if (values := cases.get(f"features{n}")) is not None
    ]
    return check_difference(float(max(differences)), cases, "The Keras 3 file")


def _twin(network):
    """Build the network in Keras 3, with its weights."""
    if network_of(network) is not None:
        return _twin_of_chain(network)
    description = describe_network(network)
    if description is None:
        raise ValueError("it has custom layers, or nested networks")
    program = PROGRAMS / "keras3_operations.py"
    spec = importlib.util.spec_from_file_location(f"{__name__}_operations", program)
    operations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(operations)
    twin = operations.in_operations(parse_json(_in_keras3(description["config"])))
    own = [layer for layer in network.layers if layer.weights]
    others = [layer for layer in twin.layers if layer.weights]
    for layer, other in zip(own, others, strict=True):
        other.set_weights(layer.get_weights())
    return twin


def _twin_of_chain(network):
    """Build a network around a user's Keras 3 network: layers one after the other."""
    module = keras3()
    images = module.Input(network.input_shape[1:], name="images")
    x, made = images, []
    for layer in network.layers[1:]:
        if isinstance(layer, Keras3Network):
            x = layer.network(x)
            continue
        entry = {
            "class_name": type(layer).__name__,
            "module": "keras.layers",
            "config": layer.get_config(),
            "inbound_nodes": [],
        }
        made.append((layer, module.layers.deserialize(_layer(entry))))
        x = made[-1][1](x)
    twin = module.Model(images, x, name=network.name)
    for layer, other in made:
        other.set_weights(layer.get_weights())
    return twin


def _in_keras3(config):
    """Return the graph's config as JSON in the terms of Keras 3."""
    config = {**config, "layers": [_layer(layer) for layer in config["layers"]]}
    for ends in ("input_layers", "output_layers"):
        # A single tensor must not be a list: users call the model on one array.
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
    layer.pop("build_config", None)  # Keras 3 builds layers when it calls them.
    return layer


def _node(node):
    """Return a call of a layer in the format of Keras 3."""
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
    # Keras 3 finds the tensor by its history, but requires a shape.
    history = {"keras_history": reference[:3], "shape": [None], "dtype": "float32"}
    return {"class_name": "__keras_tensor__", "config": history}
