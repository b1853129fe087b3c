"""TensorFlow and what stands on it, loaded when a name of it is first used.

The files of guests (objectives, encoders, operators, sources) hold options, which
`--help` and typos need at once, and code, which needs TensorFlow. They take `tf` and
`keras` from here and use them inside functions only.
"""

import importlib
import types


class _LazyModule(types.ModuleType):
    """Stand-in for a module; `load` imports the module at the first attribute."""

    def __init__(self, name, load):
        super().__init__(name)
        self.__dict__["_load"] = load

    def __getattr__(self, name):
        return getattr(self._load(), name)


def module(name):
    """Return a stand-in for a module that is imported at its first use.

    Args:
      name: str, dotted.

    Returns:
      An object with the module's attributes.

    Example:
      >>> losses = module("simclr_tf.losses")  # Nothing is imported yet.
      >>> losses.nt_xent.__name__
      'nt_xent'
    """
    return _LazyModule(name, lambda: importlib.import_module(name))


tf = module("tensorflow")
keras = _LazyModule("keras", lambda: importlib.import_module("simclr_tf._keras").keras)
