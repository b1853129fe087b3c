"""The encoder as a `.keras` file of Keras 3: layers and weights, no program.

Keras 3 and the Keras 2 API in one process disturb each other, so another process
builds the file, reads it back in safe mode and compares the features.
"""

import json
from importlib import metadata

from simclr_tf.errors import ConfigError
from simclr_tf.export.parity import COMPARE, difference_in_fresh_process
from simclr_tf.models import weights_by_name

FILE = "encoder.keras"

_PROGRAM = (
    """
import json, sys
import keras, numpy as np
path, cases = sys.argv[1], np.load(sys.argv[2])
model = keras.Model.from_config(json.loads(str(cases["network"])))
for layer in model.layers:
    layer.set_weights([cases[f"weight:{layer.name}/{weight.name}"]
                       for weight in layer.weights])
model.save(path)
model = keras.saving.load_model(path, safe_mode=True)
foreign = ["simclr_tf"]
def outputs(images):
    found = model(images, training=False)
    return [("features", keras.ops.convert_to_numpy(found))]
"""
    + COMPARE
)


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
      network: dict as of `describe_network`.
      cases: dict as of `parity_cases`.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: the features differ, or Keras 3 cannot build the network.
    """
    weights = weights_by_name(encoder)
    return difference_in_fresh_process(
        _PROGRAM,
        path,
        {
            **cases,
            "network": _in_keras3(network["config"]),
            **{f"weight:{name}": array for name, array in weights.items()},
        },
        what="The Keras 3 file",
    )


def _in_keras3(config):
    """The graph's config as JSON in the words of Keras 3."""
    config = {**config, "layers": [_layer(layer) for layer in config["layers"]]}
    for ends in ("input_layers", "output_layers"):
        # One tensor is itself, not a list: users call the model on one array.
        config[ends] = config[ends][0] if len(config[ends]) == 1 else config[ends]
    return json.dumps(config)


def _layer(layer):
    config = dict(layer["config"])
    # Keras 2 keeps the axis of a normalization in a list.
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]
    if "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    return {**layer, "config": config}
