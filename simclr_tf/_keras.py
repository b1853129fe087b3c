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
from typing import Any

import tensorflow as tf

from simclr_tf.errors import ConfigError, received_text

ADDONS_LANE = tuple(int(part) for part in tf.__version__.split(".")[:2]) < (2, 16)

if ADDONS_LANE:
    keras = tf.keras
else:
    import tf_keras as keras  # type: ignore[no-redef]

# The module names of classes in Keras files of either lane.
KERAS_PACKAGES = ("keras", "tf_keras")

__all__ = [
    "ADDONS_LANE",
    "KERAS_PACKAGES",
    "addons",
    "is_of_keras3",
    "keras",
    "keras3",
    "refuse_keras3",
]


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


def keras3() -> Any:
    """Import Keras 3, which `tf.keras` is on the main lane.

    Returns:
      The module keras; None on the Addons lane, where Keras 3 does not exist.
    """
    if ADDONS_LANE:
        return None
    import keras as module

    return module


def is_of_keras3(value: Any) -> bool:
    """Tell whether an object is of a class of Keras 3, or of a subclass.

    Example:
      >>> is_of_keras3(keras.layers.Dense(1)), is_of_keras3(1)
      (False, False)
    """
    kinds = type(value).__mro__
    return not ADDONS_LANE and any(k.__module__.split(".")[0] == "keras" for k in kinds)


def refuse_keras3(remedy: str, **received: Any) -> None:
    """Refuse an object of Keras 3 where only the Keras 2 API can be used.

    Args:
      remedy: str, a sentence: what to give instead.
      **received: the object, by the name of its argument.

    Raises:
      ConfigError: it is an object of Keras 3.

    Example:
      >>> refuse_keras3("Use a name.", optimizer=keras.optimizers.SGD(0.1))
    """
    for name, value in received.items():
        if is_of_keras3(value):
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise ConfigError(
                f"`{name}` is an object of Keras 3 (`tf.keras`, `import keras`), and "
                f"the training here is of the Keras 2 API. {remedy} "
                + received_text(**{name: kind})
            )
