"""Pictures as files that are whole or not there; matplotlib without pyplot's state."""

import io
import os
import pathlib
import uuid

from simclr_tf.errors import ConfigError, WorkdirError


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
    save_bytes(buffer.getvalue(), path)


def save_bytes(content, path):
    """Write a file; a reader sees the old one or the whole new one.

    Args:
      content: bytes.
      path: path of the file; its folder is made.

    Raises:
      WorkdirError: the file cannot be written.

    Example:
      >>> import tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "figures" / "a.png"
      >>> save_bytes(b"pixels", path)
      >>> path.read_bytes()
      b'pixels'
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WorkdirError(f"Cannot write {path}: {error.strerror}.") from error


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
