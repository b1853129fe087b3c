"""TensorFlow imported without its banner.

Its C++ side writes start-up notices to file descriptor 2 before any log level holds.
They say nothing to a person who wants to see a loss; if the import fails, all of it
is shown.
"""

import importlib.metadata
import os
import sys
import tempfile


def import_tensorflow():
    """Import TensorFlow; its start-up notices are shown only if that fails."""
    if "tensorflow" in sys.modules:
        return
    # Errors that matter come as exceptions; an explicit level wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _leave_keras_3_out()
    with tempfile.TemporaryFile() as notices:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # Drivers are looked for here.
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
    """Have TensorFlow import no second Keras beside the one that we use.

    It would import Keras 3, and that scikit-learn and matplotlib: a third of a start.
    Only here, where the whole process is ours: the variable decides for everybody in it
    which Keras TensorFlow gives.
    """
    if importlib.metadata.version("keras").startswith("3."):
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
