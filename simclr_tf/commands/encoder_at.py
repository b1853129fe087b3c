"""An encoder that a path names: its config, its channels, the place for results."""

import pathlib

from simclr_tf.config import Config
from simclr_tf.errors import ConfigError
from simclr_tf.files import require_writable
from simclr_tf.training import Workdir
from simclr_tf.training.load import look_at


def config_of(path, chosen):
    """The config that belongs to an encoder.

    Args:
      path: pathlib.Path, as of `simclr_tf.training.load.look_at`.
      chosen: dict of flags; what they must say where the path does not.

    Returns:
      (Config, bool): the run's, or made up from flags; whether `path` is a workdir.

    Raises:
      ConfigError: flags are missing.
      DataError, WorkdirError: nothing there.
    """
    place = look_at(path)
    config = place.config()
    if config is not None:
        return config, place.is_run
    for name in ("data", "image_size_pixels"):
        if name not in chosen:
            raise ConfigError(
                f"{path} does not say what it was trained on: --{name} is required."
            )
    return Config(), False


def channels_of(encoder, path, is_run):
    """Channels of the images that an encoder takes; None if it does not say."""
    if is_run:
        return Workdir(path).read()["data"]["channels"]
    return (
        encoder.num_channels
        if hasattr(encoder, "num_channels")
        else encoder.input_shape[-1]
    )


def output_folder(path, is_run, output, home="evaluations"):
    """The folder for results: `output`, the workdir, or one under `home`.

    It is made when the first result is written.

    Raises:
      WorkdirError: nothing can be written there.
    """
    if output:
        return require_writable(output)
    return require_writable(path if is_run else pathlib.Path(home) / path.name)
