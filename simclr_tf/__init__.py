"""SimCLR for TensorFlow 2 and Keras, with SavedModel export.

Names are loaded when they are first used: importing this package is instant and
does not import TensorFlow.

Example:
  >>> import simclr_tf
  >>> "pretrain" in dir(simclr_tf)
  True
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "pretrain": "simclr_tf.training.run",
    "load_encoder": "simclr_tf.training.load",
    "zoo": "simclr_tf.encoder_zoo",
    "SimCLR": "simclr_tf.training.pretraining_model",
    "open_source": "simclr_tf.data.opening",
    "get_preset": "simclr_tf.config.presets",
    "Config": "simclr_tf.config",
}
_SUBPACKAGES = (
    "augment",
    "data",
    "evaluation",
    "export",
    "losses",
    "metrics",
    "models",
    "objectives",
    "optim",
    "report",
    "studies",
    "training",
)

__all__ = [*_HOMES, *_SUBPACKAGES]


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"simclr_tf.{name}")
    raise AttributeError(f"module 'simclr_tf' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
