"""The encoder at a path: its config, its channels, and the folder for its results."""

import pathlib

from simclr_tf.config import Config
from simclr_tf.errors import ConfigError, WorkdirError
from simclr_tf.training import Workdir
from simclr_tf.training.load import inspect_path


def config_at(path, chosen):
    """Find the config that belongs to an encoder.

    Args:
      path: pathlib.Path, see `simclr_tf.training.load.inspect_path`.
      chosen: dict of flags; they describe the data where the path does not.

    Returns:
      (Config, bool): the config of the run, or one made from flags; whether `path` is
      a workdir.

    Raises:
      ConfigError: flags are missing.
      DataError, WorkdirError: there is no encoder at the path.
    """
    place = inspect_path(path)
    config = place.config()
    if config is not None:
        return config, place.is_run
    for name in ("data", "image_size_pixels"):
        if name not in chosen:
            raise ConfigError(
                f"{path} has no record of its training data: --{name} is required."
            )
    return Config(), False


def channels_of(encoder, path, is_run):
    """Return the channels of the images that an encoder takes; None if not known."""
    if is_run:
        return Workdir(path).read()["data"]["channels"]
    return (
        encoder.num_channels
        if hasattr(encoder, "num_channels")
        else encoder.input_shape[-1]
    )


def output_folder(path, is_run, output, home="evaluations"):
    """Make the folder for results: `output`, the workdir, or one under `home`.

    Raises:
      WorkdirError: it cannot be made.
    """
    folder = (
        pathlib.Path(output)
        if output
        else (path if is_run else pathlib.Path(home) / path.name)
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkdirError(f"Cannot write to {folder}: {error.strerror}.") from error
    return folder
