"""The number of threads of NumPy's linear algebra."""

import contextlib

import threadpoolctl

_BYTES_A_THREAD = 2**27


@contextlib.contextmanager
def threads_for(array):
    """Use at most one thread of linear algebra for each 128 MiB of an array.

    The probes multiply tall matrices with a dozen columns, thousands of times.
    Additional threads busy-wait: on two cores, two threads took two to six times as
    long as one, and longer on a busy machine.

    Args:
      array: NumPy array that is multiplied again and again.

    Returns:
      A context manager.

    Example:
      >>> import numpy as np
      >>> with threads_for(np.ones([4, 4])):
      ...     blas = threadpoolctl.threadpool_info()
      >>> {pool["num_threads"] for pool in blas if pool["user_api"] == "blas"}
      {1}
    """
    limit = 1 + array.nbytes // _BYTES_A_THREAD
    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    allowed = max((pool["num_threads"] for pool in controller.info()), default=1)
    with controller.limit(limits=int(min(limit, allowed))):
        yield
