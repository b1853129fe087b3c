"""The precision of a run, and what `--precision=auto` chooses on a machine.

Nothing is measured. bfloat16 is about twice as fast as float32 on devices with
instructions for it, and half as fast on others; devices list their instructions.
"""

import pathlib
import re

import tensorflow as tf

from simclr_tf.distribution import is_distributed, is_tpu, largest_over_workers
from simclr_tf.training.choices import Choice

CPU_DESCRIPTION = pathlib.Path("/proc/cpuinfo")  # Linux only.
_CPU_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
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
      processors with AVX-512 or AMX instructions for it; else float32.

    Example:
      >>> fitting_precision(tf.distribute.get_strategy()).name in (
      ...     "float32", "bfloat16")
      True
    """
    if is_tpu(strategy):
        return Precision("bfloat16", "TPUs have instructions for it")
    gpus = tf.config.get_visible_devices("GPU")
    on_gpus = not is_distributed(strategy) or any(
        "GPU" in device for device in strategy.extended.worker_devices
    )
    if gpus and on_gpus:
        return _of_gpus(
            [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        )
    return _of_processor(CPU_DESCRIPTION)


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
    here = _of_all_workers(fitting_precision(strategy), strategy)
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


def _of_processor(description):
    """Choose the precision of the processor in a file like /proc/cpuinfo."""
    try:
        text = description.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    if flags is None:
        return Precision(
            "float32",
            "it is not known whether this processor has instructions for "
            "bfloat16; without them bfloat16 takes twice as long",
        )
    for name in _CPU_INSTRUCTIONS:
        if name in flags[1].split():
            return Precision(
                "bfloat16",
                f"this processor has instructions for it ({name}) and is about twice "
                "as fast with them",
            )
    return Precision(
        "float32",
        "this processor has no instructions for bfloat16 and would take about twice "
        "as long",
    )


def _of_all_workers(own, strategy):
    one_lacks_it = largest_over_workers(strategy, int(own.name == "float32"))
    if own.name == "float32" or not one_lacks_it:
        return own
    return Precision("float32", "another worker's device has no bfloat16")
