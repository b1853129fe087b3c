"""What pays off in long runs only, switched off: tests trace, and take a few steps.

A sixth of the tracing is TensorFlow's noting of the lines of Python that made each
operation. That stays on: operations that share one stack crash now and then, as
TensorFlow keeps the addresses of a stack's code and reads them later.
"""

import gc

import tensorflow as tf


def without_grappler():
    """It needs longer to improve the graph of a test than to run it as it is.

    For this process. It makes TensorFlow's context, which some strategies want to do.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def collect_garbage_rarely():
    """Little of what tracing makes is garbage, and what has been imported stays.

    A twentieth of the time of a test was the search. For this process.
    """
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()
