"""The precision of a run, and what `--precision=auto` chooses on a machine.

bfloat16 is up to twice as fast as float32 on devices with instructions for it, and half
as fast on others. GPUs tell which they are; on processors it is measured once.
"""

from simclr_tf.distribution import gpus_of, is_tpu, largest_over_workers
from simclr_tf.training.choices import Choice
from simclr_tf.training.processor_speed import kept_in, times_as_fast

_WORTH_IT = 1.1  # Times as fast; a network has more than convolutions.
_GPU_CAPABILITY = (8, 0)


class Precision(Choice):
    """A precision, "float32" or "bfloat16", and the reason for it."""

    option, title = "precision", "Precision"


def fitting_precision(strategy):
    """Choose the precision that should be faster on this process's devices.

    Args:
      strategy: tf.distribute.Strategy.

    Returns:
      Precision: bfloat16 on TPUs, on GPUs of compute capability 8.0 or more, and on
      processors that are faster with it; else float32.

    Example:
      >>> import tensorflow as tf
      >>> fitting_precision(tf.distribute.get_strategy()).name in (
      ...     "float32", "bfloat16")
      True
    """
    if is_tpu(strategy):
        return Precision("bfloat16", "TPUs have instructions for it")
    gpus = gpus_of(strategy)
    return _of_gpus(gpus) if gpus else _of_processor()


def choose_precision(requested, strategy, begun=None):
    """Choose the precision of a run; one exchange between its workers.

    A run keeps its first precision, even on a machine where the other one would be
    faster. If workers differ, all use float32.

    Args:
      requested: str, the value of `--precision`.
      strategy: tf.distribute.Strategy.
      begun: str, the precision with which the run has begun, or None.

    Returns:
      Precision with the name "float32" or "bfloat16".
    """
    if requested == "float32":  # Nothing to measure, but the others wait for a vote.
        own = Precision("float32", "as requested", requested)
    else:
        own = fitting_precision(strategy)
    here = _of_all_workers(own, strategy)
    if requested != "auto":
        if (requested, here.name) == ("bfloat16", "float32"):
            return Precision(
                "bfloat16", f"as requested, although {here.reason}", requested
            )
        return Precision(requested, "as requested", requested)
    if begun in (None, "auto", here.name):
        return here
    return Precision(
        begun,
        f"this run started with it and keeps it, although {here.reason}; a run in "
        f"another --workdir would take {here.name}",
    )


def _of_gpus(details):
    """Choose the precision of GPUs from TensorFlow's details of the oldest one."""
    oldest = min(details, key=lambda gpu: gpu.get("compute_capability") or ())
    name = oldest.get("device_name") or "the GPU"
    capability = oldest.get("compute_capability")
    if not capability:
        return Precision("float32", f"it is not known whether {name} has bfloat16")
    known = f"{name} has compute capability {_dotted(capability)}"
    if tuple(capability) >= _GPU_CAPABILITY:
        return Precision("bfloat16", f"{known}, which has instructions for it")
    needed = _dotted(_GPU_CAPABILITY)
    return Precision("float32", f"{known}, and bfloat16 needs {needed}")


def _dotted(capability):
    return ".".join(map(str, capability))


def _of_processor():
    """Choose the precision of the processor, by what was measured on it."""
    ratio, is_new = times_as_fast()
    when = "measured now" if is_new else f"measured before ({kept_in()})"
    speed = f"a convolution in bfloat16 is {ratio:.2g} times as fast as in float32"
    name = "bfloat16" if ratio >= _WORTH_IT else "float32"
    return Precision(name, f"on this processor {speed}, {when}")


def _of_all_workers(own, strategy):
    one_lacks_it = largest_over_workers(strategy, int(own.name == "float32"))
    if own.name == "float32" or not one_lacks_it:
        return own
    return Precision("float32", "another worker's device has no bfloat16")
