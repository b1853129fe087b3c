"""TensorFlow, Keras and NumPy, loaded when a name of them is first used.

The files of guests (objectives, encoders, operators, sources) hold options, which
`--help` and typos need at once, and code, which needs TensorFlow. They take `tf`,
`keras` and `np` from here and use them inside functions only.
"""

import importlib
import sys
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


np = module("numpy")
tf = module("tensorflow")
keras = _LazyModule("keras", lambda: importlib.import_module("simclr_tf._keras").keras)


def public_names(package, homes):
    """Load the public names of a package when they are first used.

    A name may be that of a function and of the file that it is in (`models.resnet`):
    the package then gives the function, whatever was imported before.

    Args:
      package: str, `__name__` of the package.
      homes: dict of submodule to a tuple of its public names.

    Returns:
      list of str, sorted: the package's `__all__`.
    """
    names = {name: home for home, group in homes.items() for name in group}

    class Package(types.ModuleType):
        """A package whose public names are not replaced by files of those names."""

        def __getattr__(self, name):
            if name not in names:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            home = importlib.import_module(f"{package}.{names[name]}")
            value = getattr(home, name)
            self.__dict__[name] = value
            return value

        def __setattr__(self, name, value):
            if name not in names or not isinstance(value, types.ModuleType):
                super().__setattr__(name, value)

        def __dir__(self):
            return sorted({*self.__dict__, *names})

    sys.modules[package].__class__ = Package
    return sorted(names)
