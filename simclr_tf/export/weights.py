"""Writing and verifying weights.safetensors."""

import numpy as np
import tensorflow as tf

from simclr_tf.export.parity import check_difference
from simclr_tf.extras import import_extra
from simclr_tf.models import (
    network_from_description,
    set_weights_by_name,
    weights_by_name,
)

FILE = "weights.safetensors"
KIND = "simclr_tf.weights/1"


def check_safetensors():
    """Raise unless the package safetensors is installed.

    Returns:
      The module safetensors.numpy.

    Raises:
      ConfigError: the package is missing.
    """
    return import_extra(
        "safetensors.numpy", extra="safetensors", wanted="--formats=safetensors"
    )


def write_weights(path, encoder, network, cases):
    """Write the weights by name; check them in a network rebuilt from its description.

    Args:
      path: pathlib.Path of the file.
      encoder: keras.Model, plain.
      network: dict of `describe_network`.
      cases: dict of `parity_cases`.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: the features differ.
    """
    files = check_safetensors()
    path.write_bytes(files.save(weights_by_name(encoder), metadata={"format": KIND}))
    copy = network_from_description(network)
    set_weights_by_name(copy, files.load_file(path), str(path))
    worst = 0.0
    with tf.device("/CPU:0"):
        for name in [name for name in cases if name.startswith("images")]:
            found = tf.function(copy)(tf.constant(cases[name]), training=False)
            expected = cases[name.replace("images", "features")]
            worst = np.maximum(worst, np.max(np.abs(found - expected)))
    return check_difference(float(worst), cases, "The safetensors file")
