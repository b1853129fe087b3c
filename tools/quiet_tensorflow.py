"""Import of TensorFlow without its banner.

TensorFlow's C++ code writes start-up notices to file descriptor 2 before any log level
applies. Most users cannot use them; they are shown only if the import fails.
"""

import importlib.metadata
import os
import sys
import tempfile


def import_tensorflow():
    """Import TensorFlow; its start-up notices are shown only if that fails."""
    if "tensorflow" in sys.modules:
        return
    # Important errors are exceptions; a level that the user set is kept.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _leave_keras_3_out()
    with tempfile.TemporaryFile() as notices:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # Loads the GPU drivers.
            imported = True
        except BaseException:
            imported = False
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            if not imported:
                notices.seek(0)
                os.write(2, notices.read())


def _leave_keras_3_out():
    """Keep TensorFlow from importing a second Keras beside ours.

    TensorFlow would import Keras 3, and Keras 3 scikit-learn and matplotlib: a third of
    the start-up time. The environment variable holds for the whole process, so only
    the tools set it, never the library.
    """
    if importlib.metadata.version("keras").startswith("3."):
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
