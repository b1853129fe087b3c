"""Optional packages: their import, or an error with the command that installs them."""

from __future__ import annotations

import importlib
import importlib.util
import types

from simclr_tf.errors import ConfigError


def import_extra(module: str, *, extra: str, wanted: str) -> types.ModuleType:
    """Import a module of an optional package.

    Args:
      module: str, the module, e.g. "safetensors.numpy".
      extra: str, the extra of this package that installs it.
      wanted: str, the option that needs it, e.g. `--formats=safetensors`.

    Returns:
      The module.

    Raises:
      ConfigError: the package is not installed.

    Example:
      >>> import_extra("json", extra="none", wanted="an example").loads("1")
      1
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{_missing(module, extra, wanted)} {str(error).splitlines()[0]}"
        ) from error


def require_extra(package: str, *, extra: str, wanted: str) -> None:
    """Raise unless an optional package is installed, without importing it.

    Args:
      package: str, e.g. "onnxruntime".
      extra, wanted: as in `import_extra`.

    Raises:
      ConfigError: the package is not installed.

    Example:
      >>> require_extra("json", extra="none", wanted="an example")
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(_missing(package, extra, wanted))


def _missing(module, extra, wanted):
    return (
        f"{wanted} needs the package `{module.split('.')[0]}`: "
        f'`pip install "simclr-tf[{extra}]"`.'
    )
