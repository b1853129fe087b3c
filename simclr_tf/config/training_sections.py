"""The sections of a run's options: head, optimizer, probe, checkpoints, speed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.schema import (
    JOINED,
    Section,
    option,
    require_below_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.config.shared_choices import SCALING_HELP, OptimizerName, Scaling


@dataclass(frozen=True)
class ProjectionHeadConfig(Section):
    """The projection head g, which is not used after pretraining."""

    kind: Literal["nonlinear", "linear", "none"] = option(
        "nonlinear", "nonlinear MLP, one linear layer, or none."
    )
    num_layers: int = option(3, "Layers of the MLP (SimCLR v1: 2, v2: 3).", largest=100)
    hidden_features: int | None = option(
        None, "Width of the hidden layers; the encoder's feature width if unset."
    )
    out_features: int = option(128, "Width of the projections.")
    batch_norm: bool = option(True, "Batch norm after every layer.")
    final_batch_norm: bool = option(True, "Batch norm after the last layer too.")

    def check(self) -> None:
        require_positive(
            num_layers=self.num_layers,
            hidden_features=self.hidden_features,
            out_features=self.out_features,
        )


@dataclass(frozen=True)
class OptimizerConfig(Section):
    """The optimizer and its learning-rate schedule."""

    name: OptimizerName = option("lars", "Optimizer.", flag="optimizer")
    base_learning_rate: float = option(
        0.3,
        "Learning rate before scaling with the batch size.",
        flag="base_learning_rate",
        common=True,
    )
    scaling: Scaling = option("linear", SCALING_HELP)
    warmup_epochs: float = option(10.0, "Linear warm-up, in epochs.")
    warmup_steps: int | None = option(None, "Warm-up in steps; overrides epochs.")
    weight_decay: float = option(1e-6, "Weight decay (kernels only).")
    momentum: float = option(0.9, "Momentum of lars and sgd.")
    nesterov: bool = option(False, "Nesterov momentum (lars and sgd).")
    trust_coefficient: float = option(0.001, "LARS's trust coefficient.")
    classic_momentum: bool = option(
        True, "LARS: momentum after the trust ratio (reference), else before."
    )
    wrapper: Literal["none", "lookahead", "swa", "moving_average"] = option(
        "none",
        "Wrapper of the optimizer: lookahead, or an average of the weights as the "
        "encoder (swa, moving_average). Needs `simclr-tf[addons]`.",
    )
    lookahead_period_steps: int = option(
        6, "Steps between the synchronizations of lookahead's weights."
    )
    lookahead_step_size: float = option(
        0.5, "Step size of lookahead's slow weights, as a fraction."
    )
    swa_start_fraction: float = option(
        0.75, "Fraction of the run after which swa begins to average."
    )
    swa_period_steps: int = option(10, "Steps between the weights that swa averages.")
    average_decay: float = option(0.99, "Decay of moving_average, a step.")

    def check(self) -> None:
        require_positive(
            base_learning_rate=self.base_learning_rate,
            trust_coefficient=self.trust_coefficient,
            lookahead_period_steps=self.lookahead_period_steps,
            swa_period_steps=self.swa_period_steps,
        )
        require_fraction("lookahead_step_size", self.lookahead_step_size, low_open=True)
        require_below_one(
            swa_start_fraction=self.swa_start_fraction,
            average_decay=self.average_decay,
            momentum=self.momentum,
        )
        require_not_negative(
            warmup_epochs=self.warmup_epochs,
            warmup_steps=self.warmup_steps,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class ProbeConfig(Section):
    """The online linear probe, behind a stop-gradient."""

    online: bool = option(True, "Train a linear probe beside the pretraining.")
    data: str | None = option(
        None,
        "Labelled images for the probe (same grammar as --data); the "
        "pretraining images' own labels if unset.",
        joined=JOINED,
    )
    split: str = option("train", "Split of `probe.data`.")
    batch_size: int = option(256, "Images a step from `probe.data`.")
    knn_every_epochs: int | None = option(
        None,
        "Epochs between measurements of weighted kNN, with labelled training images "
        "that are set aside as queries (up to 1,000, of up to 10,000 others); never if "
        "unset.",
        resumable=True,
    )

    def check(self) -> None:
        require_positive(
            batch_size=self.batch_size, knn_every_epochs=self.knn_every_epochs
        )


@dataclass(frozen=True)
class CheckpointConfig(Section):
    """The checkpoints and image grids of a run."""

    every_epochs: int = option(1, "Epochs between checkpoints.", resumable=True)
    keep: int = option(2, "Newest checkpoints to keep.", resumable=True)
    image_every_epochs: int = option(
        10,
        "Epochs between grids of view pairs in TensorBoard; 0: only at the start.",
        resumable=True,
    )
    every_steps: int | None = option(
        None,
        "Steps between additional checkpoints within an epoch; none if unset.",
        resumable=True,
    )
    keep_every_epochs: int | None = option(
        None,
        "Keep the checkpoint of every M-th epoch forever, in addition to the newest; "
        "none if unset.",
        resumable=True,
    )

    def check(self) -> None:
        require_positive(
            every_epochs=self.every_epochs,
            keep=self.keep,
            every_steps=self.every_steps,
            keep_every_epochs=self.keep_every_epochs,
        )
        require_not_negative(image_every_epochs=self.image_every_epochs)


@dataclass(frozen=True)
class PerformanceConfig(Section):
    """Options of speed: none of them changes the result of a run.

    The defaults measured best, or made no difference.

    - `steps_per_execution`: every return to Python costs about a millisecond of CPU
      (1.1 ms; 0.2 ms a step with 16 steps an execution, on a slow core). Raise it where
      a step takes ten milliseconds or less: TPUs and fast GPUs.
    - Threads: TensorFlow takes one a core, which is right for one run on a machine.
      If several runs share a machine, give each a part of the cores.
    - A separate thread pool for reading images leaves the other threads to the step.
      It helps on many cores; on few cores it only divides them.
    - Prefetched batches: two are enough to bridge one slow batch; each costs memory.
    """

    steps_per_execution: int | None = option(
        None,
        "Steps that run between two returns to Python (1 if unset). Callbacks, signals "
        "and checkpoints wait for the last of these steps.",
        resumable=True,
    )
    intra_op_threads: int | None = option(
        None, "Threads that share one operation; one a core if unset.", resumable=True
    )
    inter_op_threads: int | None = option(
        None, "Operations that run at once; one a core if unset.", resumable=True
    )
    data_threads: int | None = option(
        None,
        "Threads that only read and crop images; if unset, the threads of "
        "inter_op_threads do it.",
        resumable=True,
    )
    prefetch_batches: int | None = option(
        None, "Batches that are prepared in advance (2 if unset).", resumable=True
    )
    check_memory: bool = option(
        True,
        "Refuse a run whose estimated peak memory does not fit this machine.",
        resumable=True,
    )

    def check(self) -> None:
        sizes = dataclasses.asdict(self)
        del sizes["check_memory"]
        require_positive(**sizes)
