"""Four logical CPU devices for the whole session: replicas without hardware."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from tests.quick_tracing import without_grappler

NUM_DEVICES = 4

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES,
)
without_grappler()


def pytest_collection_finish():
    """What has been imported stays: collecting garbage need not look there again."""
    gc.freeze()
