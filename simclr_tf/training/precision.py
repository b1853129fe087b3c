"""Which arithmetic a run computes in: what `--precision=auto` means on a machine.

Nothing is measured: where a device has instructions for bfloat16 it is about twice as
fast as float32, where it has none about half as fast, and devices say what they have.
"""

import dataclasses
import pathlib

import tensorflow as tf

from simclr_tf.distribution import is_distributed, largest_over_workers
from simclr_tf.training.workdir import CONFIG_FILE

CPU_DESCRIPTION = pathlib.Path("/proc/cpuinfo")  # Of Linux; elsewhere there is none.
_CPU_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
_GPU_CAPABILITY = (8, 0)


@dataclasses.dataclass(frozen=True)
class Precision:
    """A precision, and why it was taken.

    Attributes:
      name: "float32" or "bfloat16".
      reason: str, the rest of a sentence.
      asked: str, the value of `--precision`.
    """

    name: str
    reason: str
    asked: str = "auto"

    def line(self):
        """What is said before training."""
        return f"Precision   {self.name}: {self.reason} (--precision={self.asked})"

    def record(self):
        """What config.json keeps: asked, chosen, because."""
        return {"asked": self.asked, "chosen": self.name, "because": self.reason}


def fitting_precision(strategy):
    """The faster precision on this process's devices, as far as they say.

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
    if isinstance(
        strategy, (tf.distribute.TPUStrategy, tf.distribute.experimental.TPUStrategy)
    ):
        return Precision("bfloat16", "TPUs compute in it")
    gpus = tf.config.get_visible_devices("GPU")
    on_gpus = not is_distributed(strategy) or any(
        "GPU" in device for device in strategy.extended.worker_devices
    )
    if gpus and on_gpus:
        return _of_gpus(
            [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        )
    return _of_processor(CPU_DESCRIPTION)


def choose_precision(config, strategy, workdir):
    """The precision of a run; one exchange between its workers.

    `auto` is settled once, when a run begins: later it goes on in the same precision,
    also where the other one is faster, because a run in two precisions is neither.
    Workers that differ all take float32.

    Args:
      config: Config.
      strategy: tf.distribute.Strategy.
      workdir: Workdir of the run, or None.

    Returns:
      Precision with the name "float32" or "bfloat16".

    Raises:
      WorkdirError: the workdir's config.json cannot be read.
    """
    here = _of_all_workers(fitting_precision(strategy), strategy)
    if config.precision != "auto":
        if (config.precision, here.name) == ("bfloat16", "float32"):
            return Precision(
                "bfloat16", f"as you say, although {here.reason}", config.precision
            )
        return Precision(config.precision, "as you say", config.precision)
    begun = None
    if workdir is not None and workdir.has(CONFIG_FILE):
        begun = workdir.config().precision
    if begun in (None, "auto", here.name):
        return here
    return Precision(
        begun,
        f"this run began in it and goes on in it, although {here.reason}; a run "
        f"in another --workdir would take {here.name}",
    )


def _of_gpus(details):
    """The precision of GPUs from what TensorFlow knows of each: that of the oldest."""
    unknown = [gpu for gpu in details if not gpu.get("compute_capability")]
    if unknown:
        return Precision(
            "float32", f"{_name(unknown[0])} does not say whether it has bfloat16"
        )
    oldest = min(details, key=lambda gpu: gpu["compute_capability"])
    capability = ".".join(map(str, oldest["compute_capability"]))
    known = f"{_name(oldest)} has compute capability {capability}"
    if tuple(oldest["compute_capability"]) >= _GPU_CAPABILITY:
        return Precision("bfloat16", f"{known}, which computes it")
    return Precision(
        "float32", f"{known}, and bfloat16 needs {'.'.join(map(str, _GPU_CAPABILITY))}"
    )


def _name(details):
    return details.get("device_name") or "the GPU"


def _of_processor(description):
    """The precision of the processor that a file like /proc/cpuinfo describes."""
    flags = _processor_flags(description)
    if flags is None:
        return Precision(
            "float32",
            "it is not known whether this processor has instructions for "
            "bfloat16, and without them it takes twice as long",
        )
    found = [name for name in _CPU_INSTRUCTIONS if name in flags]
    if found:
        return Precision(
            "bfloat16",
            f"this processor has instructions for it ({found[0]}) and is "
            "about twice as fast with them",
        )
    return Precision(
        "float32",
        "this processor has no instructions for bfloat16 and takes about "
        "twice as long in it",
    )


def _processor_flags(description):
    """The names of a processor's instruction sets, or None if they are not known."""
    try:
        text = description.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return value.split()
    return None


def _of_all_workers(own, strategy):
    if not largest_over_workers(strategy, int(own.name == "float32")):
        return own
    if own.name == "float32":
        return own
    return Precision("float32", "another worker's device has no bfloat16")
