"""The peak memory of a run, estimated before its first step, and what fits.

Activations come from a trace of the encoder (`simclr_tf.models.cost_per_example`),
weights and slots from the variables, the rest of the process from what it holds
already. docs/large_batches.md compares the estimate with measured peaks.
"""

import dataclasses
import math
import pathlib
import re
import resource
import sys

import psutil
import tensorflow as tf

from simclr_tf.distribution import is_distributed, is_tpu, largest_over_workers
from simclr_tf.errors import ConfigError, received_text
from simclr_tf.machine import free_memory_bytes
from simclr_tf.models import cost_per_example
from simclr_tf.objectives import Memory

# Measured (docs/large_batches.md). The backward pass: gradients of activations and the
# work space of convolutions, beside what the forward pass keeps.
_BACKWARD = 1.35
# Tracing and compiling a step: of any, of an operation in the encoder, of the views.
_COMPILING, _COMPILING_AN_OPERATION, _COMPILING_VIEWS = 100 * 2**20, 2**20 // 2, 2**27
# Copies of the views while they are made, and batches that wait or are made.
_COPIES_OF_VIEWS, _BATCHES = 6, 6
# Logits, their softmax and its gradient.
_COPIES_OF_LOGITS = 3
_MOST_MEBIBYTES = 2**31 - 1  # What workers can tell each other.


@dataclasses.dataclass(frozen=True)
class PeakMemory:
    """The memory of a run at its peak, in bytes, by part.

    Attributes:
      activations: of the network, forward and backward.
      weights: weights, statistics, slots of the optimizer and gradients.
      views: views while they are made.
      loss: logits and similar of the objective.
      batches: batches that wait on the host, and images that are being decoded.
      process: the rest of the process: TensorFlow, the compiled step, images in memory.
      held: the part of all these that the process holds already.
      replicas: replicas of this process, between which the parts of a device divide.
      objective: simclr_tf.objectives.Memory, the objective's part of weights and loss.
    """

    activations: int
    weights: int
    views: int
    loss: int
    batches: int
    process: int
    held: int = 0
    replicas: int = 1
    objective: Memory | None = None

    @property
    def total(self):
        """The sum of all parts."""
        return self.on_device + self.batches + self.process

    @property
    def on_device(self):
        """The parts that are in a GPU's memory where one trains."""
        return self.activations + self.weights + self.views + self.loss

    def line(self, machine):
        """Describe the parts in one line.

        Args:
          machine: Machine.

        Example:
          >>> needs = PeakMemory(2**30, 2**28, 2**27, 2**20, 2**22, 2**29)
          >>> print(needs.line(Machine(8 * 2**30)))
          Memory      about 1.88 GiB at the peak: activations 1.00 GiB, weights and \
slots 256 MiB, views 128 MiB, loss 1 MiB, batches 4 MiB, TensorFlow and images 512 \
MiB; 8.00 GiB free
        """
        names = {"weights": "weights and slots", "process": "TensorFlow and images"}
        parts = ", ".join(
            f"{names.get(field.name, field.name)} {_short(getattr(self, field.name))}"
            for field in dataclasses.fields(self)[:-3]
        )
        end = ""
        if self.objective is not None:
            needed, purpose = self.objective
            end = f" ({_short(needed)} of {purpose} for the objective)"
        end += "" if machine.free is None else f"; {_short(machine.free)} free"
        if machine.gpu is not None:
            end += f", {_short(machine.gpu)} on a GPU"
        return f"Memory      about {_short(self.total)} at the peak: {parts}{end}"


@dataclasses.dataclass(frozen=True)
class Machine:
    """The memory that a run can take, in bytes; None where it is not known.

    Attributes:
      free: what this process can still take on the host.
      gpu: all memory of the smallest GPU; None without a GPU.
    """

    free: int | None
    gpu: int | None = None

    def shortage(self, needs):
        """Return ("needs ... and has ...", or None if it fits) of a PeakMemory.

        Example:
          >>> needs = PeakMemory(2**30, 2**28, 2**27, 0, 0, 2**29, held=2**29)
          >>> Machine(2**30).shortage(needs)
          '1.38 GiB more memory, and 1.00 GiB are free'
          >>> Machine(2**31).shortage(needs)
        """
        on_host = needs.total - needs.held
        if self.gpu is not None:
            a_replica = needs.on_device // needs.replicas
            if a_replica > self.gpu:
                return f"{_short(a_replica)} on a GPU that has {_short(self.gpu)}"
            on_host -= needs.on_device
        if self.free is not None and on_host > self.free:
            return f"{_short(on_host)} more memory, and {_short(self.free)} are free"
        return None


def machine_of(strategy):
    """Ask this machine for its memory; over several workers, the least counts."""
    if is_tpu(strategy):
        return Machine(None)
    taken = _MOST_MEBIBYTES - free_memory_bytes() // 2**20
    free = (_MOST_MEBIBYTES - largest_over_workers(strategy, taken)) * 2**20
    return Machine(free, _gpu_bytes())


def costs_of_views(model, image_shape):
    """Return (Cost of the encoder, (H, W, C)) of every view of an image that it sees.

    Args:
      model: PretrainingModel, built.
      image_shape: (H, W, C) of a view of full size.
    """
    shapes = [
        (*size, image_shape[-1]) for size in model.views_of.sizes(image_shape[:2])
    ][: model.objective.trained_views]
    known = {
        shape: cost_per_example(model.encoder, shape) for shape in dict.fromkeys(shapes)
    }
    return [(known[shape], shape) for shape in shapes]


def estimate(
    model,
    costs,
    *,
    global_batch_size,
    image_bytes=0,
    decoding_bytes=0,
    micro_batch_size=None,
):
    """Estimate the peak memory of the steps of a model on this machine.

    Args:
      model: PretrainingModel, built and compiled with its optimizer.
      costs: list of `costs_of_views`.
      global_batch_size: int, images a step.
      image_bytes: int, of one image of a batch on the host.
      decoding_bytes: int, of the images that are being decoded.
      micro_batch_size: int, images of one replica in the network at a time; None: all.

    Returns:
      PeakMemory, of all replicas of this process.
    """
    strategy = model.distribute_strategy
    replicas, here = strategy.num_replicas_in_sync, 1
    if is_distributed(strategy):
        here = len(strategy.extended.worker_devices)
    own = global_batch_size // replicas
    rows = min(micro_batch_size or own, own)
    kept = sum(cost.kept_bytes for cost, _ in costs)
    head = len(costs) * sum(
        12 * kernel.shape[-1]  # Input, output and normalized output of a layer.
        for kernel in model.projection_head.trainable_variables
        if len(kernel.shape) == 2
    )
    *full_size, channels = costs[0][1]
    sizes = model.views_of.sizes(full_size)
    views = 4 * channels * sum(math.prod(size) for size in sizes)
    # A large memory bank beside a GPU; the process holds it already.
    in_host = _bytes(filter(_stays_on_host, model.variables))
    weights = _bytes(model.variables) + _bytes(model.optimizer.variables) - in_host
    gradients = _bytes(model.trainable_variables)
    gradients *= 1 if micro_batch_size is None else 2
    if model.skips_nonfinite:
        gradients += weights  # The snapshot to go back to.
    step = model.objective.memory(global_batch_size, replicas)
    state = _bytes(model.objective.variables)
    compiled = _COMPILING_AN_OPERATION * sum(1 for _ in model.encoder.submodules)
    compiled += _COMPILING + _COMPILING_VIEWS * model.views_of.is_compiled
    compiled += in_host if model.skips_nonfinite else 0
    held = resident_bytes()
    on_host = not tf.config.get_visible_devices("GPU")
    return PeakMemory(
        activations=int(here * rows * (kept * _BACKWARD + head)),
        weights=here * (weights + gradients),
        views=here * rows * views * _COPIES_OF_VIEWS,
        loss=here * step.bytes * _COPIES_OF_LOGITS,
        batches=_BATCHES * here * own * image_bytes + decoding_bytes,
        process=max(held - here * weights * on_host, 0) + here * compiled,
        held=held,
        replicas=here,
        objective=step._replace(bytes=step.bytes + state),
    )


def require_fitting(estimate_of, machine, *, config, replicas, can_split, has_trained):
    """Refuse a run that does not fit into the memory, with what does.

    Args:
      estimate_of: function of (global_batch_size, micro_batch_size) to PeakMemory.
      machine: Machine.
      config: Config.
      replicas: int.
      can_split: bool, whether the model can train in micro-batches.
      has_trained: bool, whether the workdir holds a checkpoint: its options are fixed.

    Raises:
      ConfigError: it does not fit.
    """
    batch, micro = config.global_batch_size, config.micro_batch_size
    shortage = machine.shortage(estimate_of(batch, micro))
    if shortage is None:
        return

    def fits(*sizes):
        return machine.shortage(estimate_of(*sizes)) is None

    remedy = _what_fits(fits, batch, replicas, can_split)
    if has_trained:
        remedy = (
            "Free memory, or continue on a larger machine; for a new run in another "
            f"--workdir: {remedy}"
        )
    raise ConfigError(
        f"This run needs about {shortage}. {remedy} "
        "(--performance.check_memory=false starts all the same.) "
        + received_text(batch_size=batch, micro_batch_size=micro)
    )


def _what_fits(fits, batch, replicas, can_split):
    """Return a sentence with options that fit."""
    own = batch // replicas
    if can_split:
        for parts in range(2, own // 2 + 1):
            if own % parts == 0 and fits(batch, own // parts):
                return f"Use --micro_batch_size={own // parts}."
    size = batch // 2 // replicas * replicas
    while size >= 2:
        if fits(size, None):
            return f"Use --batch_size={size}."
        size = size // 2 // replicas * replicas
    return (
        "No batch fits: use smaller images (--image_size_pixels) or a smaller network "
        "(--encoder.width_multiplier)."
    )


def peak_bytes():
    """Return the peak memory of this process so far."""
    # Not getrusage first: its figure starts at the memory of the parent process.
    try:
        status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.M)[1])
    except (OSError, TypeError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def resident_bytes():
    """Return the memory that this process holds now."""
    return psutil.Process().memory_info().rss


def _gpu_bytes():
    """Return the memory of the smallest GPU that TensorFlow may use; None without."""
    if not tf.config.get_visible_devices("GPU"):
        return None
    from tensorflow.python.client import device_lib

    limits = [
        device.memory_limit
        for device in device_lib.list_local_devices()
        if device.device_type == "GPU"
    ]
    return min(limits, default=None)


def _stays_on_host(variable):
    return "CPU" in variable.device and bool(tf.config.get_visible_devices("GPU"))


def _bytes(variables):
    if callable(variables):  # Optimizers of TensorFlow 2.10.
        variables = variables()
    return sum(math.prod(v.shape) * v.dtype.size for v in variables)


def _short(number):
    """Format 1610612736 as '1.50 GiB'."""
    if number >= 2**30:
        return f"{number / 2**30:.2f} GiB"
    return f"{number / 2**20:,.0f} MiB"
