"""How a run uses its machine: options that change its speed, and nothing else."""

import dataclasses
from dataclasses import dataclass

from simclr_tf.errors import require
from simclr_tf.options import Section, option


@dataclass(frozen=True)
class PerformanceConfig(Section):
    """How a machine is used: no option changes what a run computes.

    Unset, each is what measured best or made no difference. Asking the host after
    every step costs it about a millisecond (1.1 ms of CPU, 0.2 ms with 16 steps an
    execution, on a slow core): more than one pays where a step takes some ten
    milliseconds or less, on TPUs and fast GPUs. TensorFlow takes one thread a core,
    right for one run on a machine; where several share it, give each its part. A pool
    of its own keeps the reading of images from taking threads that operations of the
    step want to start on, which matters when there are many cores; on few it only
    divides them. Two batches that wait outlast a slow one; each more costs the memory
    of a batch.
    """

    steps_per_execution: int | None = option(
        None, "Steps that run without asking the host (1 if unset). Callbacks, "
        "signals and checkpoints then wait for the last of them.", resumable=True)
    intra_op_threads: int | None = option(
        None, "Threads that share one operation; one a core if unset.",
        resumable=True)
    inter_op_threads: int | None = option(
        None, "Operations that run at once; one a core if unset.", resumable=True)
    data_threads: int | None = option(
        None, "Threads that only read and crop images; if unset, those of "
        "inter_op_threads do.", resumable=True)
    prefetch_batches: int | None = option(
        None, "Batches that are made ahead of the step (2 if unset).", resumable=True)

    def check(self):
        for name, value in dataclasses.asdict(self).items():
            require(value is None or value > 0, f"`{name}` must be > 0.",
                    **{name: value})
