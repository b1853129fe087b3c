"""What trainings write to stderr goes to a file, while a study speaks for itself."""

import contextlib
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
