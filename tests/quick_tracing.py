"""What pays off in long runs only, switched off: tests trace, and take a few steps."""

import tensorflow as tf
from tensorflow.python.util import tf_stack


def without_grappler():
    """It needs longer to improve the graph of a test than to run it as it is.

    For this process. It makes TensorFlow's context, which some strategies want to do.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def without_stacks():
    """A sixth of the tracing is noting the lines of Python that made each operation."""
    one_stack = tf_stack.extract_stack()
    tf_stack.extract_stack = lambda stacklevel=1: one_stack
