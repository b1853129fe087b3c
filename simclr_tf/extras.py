"""Optional packages: imported when asked for, or one clear line about the way out."""

from __future__ import annotations

import importlib
import importlib.util
import types

from simclr_tf.errors import ConfigError


def import_extra(module: str, *, extra: str, wanted: str) -> types.ModuleType:
    """Import a module of an optional package.

    Args:
      module: str, what to import, e.g. "safetensors.numpy".
      extra: str, the extra of this package that brings it along.
      wanted: str, what the user asked for, e.g. `--formats=safetensors`.

    Returns:
      The module.

    Raises:
      ConfigError: it is not installed.

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
    """Raise unless an optional package is installed; it is not imported.

    Args:
      package: str, e.g. "onnxruntime".
      extra, wanted: as in `import_extra`.

    Raises:
      ConfigError: it is not installed.

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
