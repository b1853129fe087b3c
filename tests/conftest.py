"""Four logical CPU devices for the whole session: replicas without hardware.

And no rewriting of graphs: Grappler needs longer to improve the graphs of tests than it
takes to run them as they are. Tools in processes of their own run with it.
"""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

NUM_DEVICES = 4

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES,
)

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_finish():
    """What has been imported stays: collecting garbage need not look there again."""
    gc.freeze()
