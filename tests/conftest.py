"""Four logical CPU devices for the whole session: replicas without hardware.

And what only pays off in long runs is switched off, as the time here is the tracing of
graphs that take a few steps: Grappler needs longer to improve such a graph than to run
it as it is, and a sixth of the tracing is TensorFlow noting for every operation the
lines of Python that made it, through all of pytest's. Tools in processes of their own
run with both.
"""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from tensorflow.python.util import tf_stack

NUM_DEVICES = 4

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES,
)

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

_ONE_STACK = tf_stack.extract_stack()
tf_stack.extract_stack = lambda stacklevel=1: _ONE_STACK


def pytest_collection_finish():
    """What has been imported stays: collecting garbage need not look there again."""
    gc.freeze()
