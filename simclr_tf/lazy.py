"""Lazy imports of TensorFlow, Keras and NumPy, at the first use of a name.

The files of guests (objectives, encoders, operators, sources) have options, which
`--help` needs at once, and code, which needs TensorFlow. They take `tf`, `keras` and
`np` from here and use them only inside functions.
"""

from __future__ import annotations

import ast
import importlib
import pathlib
import sys
import types
from typing import Any


class _LazyModule(types.ModuleType):
    """A stand-in for a module, which is imported when an attribute is first used."""

    def __init__(self, name, load):
        super().__init__(name)
        self.__dict__["_load"] = load

    def __getattr__(self, name):
        return getattr(self._load(), name)


def module(name: str) -> Any:
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


def public_names(package: str, path: str) -> list[str]:
    """Load the public names of a package when they are first used.

    The names are the imports in the package's `if TYPE_CHECKING:` block: type checkers
    follow them, and at run time each is imported when it is first used. If a function
    and its file have the same name (`models.resnet`), the package always has the
    function.

    Args:
      package: str, `__name__` of the package.
      path: str, `__file__` of the package.

    Returns:
      list of str, sorted: the package's `__all__`.
    """
    homes = _imports_for_type_checkers(path)

    class Package(types.ModuleType):
        """A package whose public names are not replaced by its submodules."""

        def __getattr__(self, name):
            if name not in homes:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            if homes[name] == package:
                return importlib.import_module(f"{package}.{name}")
            value = getattr(importlib.import_module(homes[name]), name)
            self.__dict__[name] = value
            return value

        def __setattr__(self, name, value):
            is_module = isinstance(value, types.ModuleType)
            if not is_module or homes.get(name, package) == package:
                super().__setattr__(name, value)

        def __dir__(self):
            return sorted({*self.__dict__, *homes})

    sys.modules[package].__class__ = Package
    return sorted(homes)


def _imports_for_type_checkers(path):
    """Return the module of each name imported in the `if TYPE_CHECKING:` block."""
    tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8"))
    return {
        name.name: statement.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for name in statement.names
    }
