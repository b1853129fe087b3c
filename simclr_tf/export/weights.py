"""Writing and verifying weights.safetensors."""

import numpy as np
import tensorflow as tf

from simclr_tf.errors import ConfigError
from simclr_tf.export.parity import TOLERANCE, check_difference
from simclr_tf.extras import import_extra
from simclr_tf.models import (
    network_from_description,
    set_weights_by_name,
    weights_by_name,
)

FILE = "weights.safetensors"
KIND = "simclr_tf.weights/1"
# float16 has 11 significant bits; the errors of some tens of layers add up.
FLOAT16_TOLERANCE = 0.01


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


def write_weights(path, encoder, network, cases, float16=False):
    """Write the weights by name; check them in a network rebuilt from its description.

    Args:
      path: pathlib.Path of the file.
      encoder: keras.Model, plain.
      network: dict of `describe_network`.
      cases: dict of `parity_cases`.
      float16: bool, write float32 arrays as float16.

    Returns:
      float, the largest absolute difference.

    Raises:
      ParityError: the features differ.
      ConfigError: a weight that is too large for float16.
    """
    files = check_safetensors()
    weights = weights_by_name(encoder)
    if float16:
        weights = {name: _halved(name, array) for name, array in weights.items()}
    path.write_bytes(files.save(weights, metadata={"format": KIND}))
    copy = network_from_description(network)
    set_weights_by_name(copy, files.load_file(path), str(path))
    worst = 0.0
    with tf.device("/CPU:0"):
        for name in [name for name in cases if name.startswith("images")]:
            found = tf.function(copy)(tf.constant(cases[name]), training=False)
            expected = cases[name.replace("images", "features")]
            worst = np.maximum(worst, np.max(np.abs(found - expected)))
    tolerance = FLOAT16_TOLERANCE if float16 else TOLERANCE
    return check_difference(float(worst), cases, "The safetensors file", tolerance)


def _halved(name, array):
    """Return a float32 array as float16, and any other as it is."""
    if array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        halved = array.astype(np.float16)
    if np.any(np.isinf(halved) & np.isfinite(array)):
        raise ConfigError(
            f"The weight {name} is too large for float16 (up to 65504): leave "
            f"`float16_weights` out. Received: {np.max(np.abs(array)):.4g}."
        )
    return halved
