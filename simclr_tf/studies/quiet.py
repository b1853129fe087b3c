"""What trainings write to stderr goes to a file, while a study speaks for itself."""

import contextlib
import logging
import sys
import threading


class _Switched:
    """A stream whose target changes. Loggers keep the stream that they first saw: one
    of these they can keep, where a log that is closed would fail them later.
    """

    def __init__(self, target):
        self.target = target

    def write(self, text):
        return self.target.write(text)

    def flush(self):
        self.target.flush()

    def isatty(self):
        return False


_STREAM = _Switched(sys.stderr)


@contextlib.contextmanager
def stderr_to(file):
    """Send to a file what is written to stderr inside a `with`.

    The stream is the whole process's: from another thread than the main one, nothing
    is changed.

    Args:
      file: an open text stream.

    Example:
      >>> import io
      >>> text = io.StringIO()
      >>> with stderr_to(text):
      ...     print("epoch 1", file=sys.stderr)
      >>> text.getvalue()
      'epoch 1\\n'
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _STREAM.target = file
    before, sys.stderr = sys.stderr, _STREAM
    try:
        yield
    finally:
        sys.stderr = _STREAM.target = before


@contextlib.contextmanager
def without_warnings_of_retracing():
    """Without TensorFlow's warning of functions that are traced again and again.

    It takes the networks of one cell after the other for one that is retraced. Other
    warnings of TensorFlow's are kept.

    Example:
      >>> with without_warnings_of_retracing():
      ...     logging.getLogger("tensorflow").warning("triggered tf.function retracing")
    """

    def is_kept(record):
        return "tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_kept)
    try:
        yield
    finally:
        logger.removeFilter(is_kept)
