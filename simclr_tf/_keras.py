"""Import of Keras and TensorFlow Addons, for both lanes.

The project is written against the Keras 2 API: it is the one that supports
`tf.distribute.MultiWorkerMirroredStrategy` and `TPUStrategy` with a custom
`train_step`, and its batch normalization is fused. On TensorFlow 2.16 and later (the
main lane) that API is the package `tf_keras`; before (the Addons lane, TensorFlow
2.15), it is `tf.keras` itself, and TensorFlow Addons can be imported.

`TF_USE_LEGACY_KERAS` is deliberately not set here: it would change what
`tf.keras` means for every other package in the user's process.
"""

from __future__ import annotations

import types
import warnings

import tensorflow as tf

from simclr_tf.errors import ConfigError

ADDONS_LANE = tuple(int(part) for part in tf.__version__.split(".")[:2]) < (2, 16)

if ADDONS_LANE:
    keras = tf.keras
else:
    import tf_keras as keras  # type: ignore[no-redef]

# The module names of classes in Keras files of either lane.
KERAS_PACKAGES = ("keras", "tf_keras")

__all__ = ["ADDONS_LANE", "KERAS_PACKAGES", "addons", "keras"]


def addons(wanted: str) -> types.ModuleType:
    """Import TensorFlow Addons.

    Args:
      wanted: str, the option that needs it, e.g. `--optimizer.wrapper=swa`.

    Returns:
      The module tensorflow_addons.

    Raises:
      ConfigError: TensorFlow Addons is not installed, or does not exist for this lane.
    """
    if ADDONS_LANE:
        try:
            with warnings.catch_warnings():  # Its notice that development has ended.
                warnings.simplefilter("ignore", UserWarning)
                import tensorflow_addons
            return tensorflow_addons
        except ImportError:
            pass
    raise ConfigError(
        f"{wanted} comes from TensorFlow Addons, whose last release works on "
        f"TensorFlow 2.15 only; this is TensorFlow {tf.__version__}"
        f"{' without it' if ADDONS_LANE else ''}. Use Python 3.10 or 3.11 and "
        '`pip install "simclr-tf[addons]"` in an environment of its own.'
    )
