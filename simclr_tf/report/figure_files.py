"""Figures as PNG files; matplotlib without the state of pyplot."""

import io

from simclr_tf.errors import ConfigError
from simclr_tf.files import write_atomically


def save_figure(figure, path):
    """Write a figure as PNG; a reader sees the old one or the whole new one.

    Args:
      figure: matplotlib.figure.Figure with an Agg canvas.
      path: path of the file; its folder is made.

    Raises:
      WorkdirError: the file cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue(), make_folder=True)


def matplotlib_parts():
    """matplotlib's (figure module, canvas module), without pyplot's global state.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure
    except ImportError as error:
        raise ConfigError(
            'Pictures need matplotlib: pip install "simclr-tf[plots]".'
        ) from error
    return matplotlib.figure, matplotlib.backends.backend_agg
