"""Options of `pretrain`, each declared once: default, help, unit and check.

Frozen, nested dataclasses. Flags (`--objective.temperature=0.5`) and `config.json`
are generated from them, and ablations are `dataclasses.replace`. This module
imports no TensorFlow, so that `--help` is instant.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from simclr_tf.array_types import StrPath
from simclr_tf.config.data import AugmentConfig, DataConfig
from simclr_tf.config.moved import with_present_names
from simclr_tf.config.schema import (
    JOINED,
    LARGEST_SEED,
    MOST_REPLICAS,
    GuestOptions,
    Section,
    guest,
    option,
    override,
    require_below_one,
    require_fraction,
    require_not_negative,
    require_positive,
)
from simclr_tf.errors import ConfigError, WorkdirError, require
from simclr_tf.limits import read_json

OBJECTIVES = "simclr_tf.objectives:OBJECTIVES"
ENCODERS = "simclr_tf.models.encoders:ENCODERS"
PRESETS = "simclr_tf.config.presets:PRESETS"
# Choices that several verbs share.
OptimizerName = Literal["lars", "lamb", "sgd", "adamw"]
Scaling = Literal["linear", "sqrt", "none"]
SCALING_HELP = "linear: base * batch / 256; sqrt: base * sqrt(batch); none: base."
OneProcessStrategy = Literal["auto", "one_device", "mirrored"]
Strategy = Literal[OneProcessStrategy, "multi_worker", "tpu"]
Cluster = Literal["auto", "tf_config", "slurm", "none"]
Arithmetic = Literal["float32", "bfloat16"]
PrecisionName = Literal[Arithmetic, "auto"]
LABELLED_PRECISION_HELP = (
    "float32, or bfloat16 for the network's arithmetic in training (the loss and the "
    "weights stay float32, and so does what is tested and kept); auto: bfloat16 if it "
    "is faster on this device; a continued training keeps its first precision."
)
DEFAULT_PRESET = "demo"  # Without --data.
CONFIG_FILE = "config.json"  # In a workdir.
_LENGTHS = ("epochs", "steps")  # Beside `minutes`.
# `minutes`, and what they came to, for which another length takes the place.
OF_MINUTES = ("minutes", "steps", "optimizer.warmup_steps")
PRESET_HELP = (
    "Named experiment to start from. If unset, the sizes of the images and the device "
    "choose one, and a line tells which; demo without --data."
)


@dataclass(frozen=True)
class PretrainOptions(Section):
    """The folder of the run, and the preset that it starts from."""

    workdir: str | None = option(
        None,
        "Folder of the run. If it holds a run, that run is continued; its options come "
        "from config.json if neither --preset nor --config is given.",
        required="the folder of the run",
        common=True,
    )
    preset: str | None = option(
        None,
        PRESET_HELP,
        choices=PRESETS,
        common=True,
    )


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


@dataclass(frozen=True)
class Config(Section):
    """The options of one pretraining run."""

    preset: str = option("", "Name of the preset this run started from.")
    epochs: int = option(100, "Passes over the images.", common=True)
    steps: int | None = option(None, "Length in steps; overrides epochs.")
    minutes: float | None = option(
        None,
        "Length in minutes, instead of epochs or steps: the speed of some steps is "
        "measured first, and config.json keeps the epochs or steps that fit.",
        common=True,
    )
    global_batch_size: int = option(
        512, "Images a step, over all replicas.", flag="batch_size", common=True
    )
    micro_batch_size: int | None = option(
        None,
        "Images of one replica in the network at a time (gradient caching), for large "
        "batches in little memory: the loss and its gradient stay those of the whole "
        "batch, at the price of a second forward pass. All at once if unset.",
    )
    micro_batch_norm: Literal["batch", "inference"] = option(
        "batch",
        "Batch norm with --micro_batch_size: with the statistics of each "
        "micro-batch, or with the moving statistics, which are then constant (for "
        "encoders of --init_from).",
    )
    seed: int = option(
        0, "Seed of everything random.", common=True, largest=LARGEST_SEED
    )
    precision: PrecisionName = option(
        "float32",
        "float32, or bfloat16 for the network's arithmetic (the loss, "
        "batch norm's statistics and the weights stay float32); auto: bfloat16 if "
        "it is faster on this device, on a processor by a measurement of a moment "
        "that is kept; a continued run keeps its first precision.",
    )
    deterministic: bool = option(
        False,
        "Deterministic kernels for bit-identical runs, at some cost; holds for "
        "the whole process.",
    )
    compile_views: bool = option(
        True,
        "Compile the making of views with XLA: faster after the first step.",
        resumable=True,
    )
    jit_compile: Literal["auto", "true", "false"] = option(
        "auto",
        "Compile the whole step with XLA, on one device. auto: on a GPU both ways are "
        "timed at the start, and the faster one is kept, also when the run continues; "
        "on a processor false. A TPU compiles every step.",
        resumable=True,
    )
    init_from: str | None = option(
        None,
        "Start from the weights of another run: its workdir (newest complete "
        "checkpoint), one checkpoint folder, an export, zoo:NAME, or a Keras file.",
    )
    init_parts: Literal["encoder", "encoder_and_head"] = option(
        "encoder",
        "Weights to take from --init_from: the encoder, or the projection head too.",
    )
    strategy: Strategy = option(
        "auto",
        "auto: a TPU if one is named, several workers if --cluster finds them, "
        "all GPUs of this machine if there are several, else one device.",
        resumable=True,
    )
    cluster: Cluster = option(
        "auto",
        "Who names the workers of several machines: the variable TF_CONFIG, or the "
        "Slurm step that srun started. auto: TF_CONFIG if set, else Slurm if the step "
        "has several tasks. none: this process trains alone.",
        resumable=True,
    )
    replicas: int | None = option(
        None,
        "mirrored: devices to train on; without a GPU, logical CPU devices. All "
        "devices if unset.",
        resumable=True,
        largest=MOST_REPLICAS,
    )
    tpu: str | None = option(
        None,
        "Name or address of a TPU, or local on a TPU VM; the environment's "
        "TPU_NAME if unset.",
        resumable=True,
    )
    collective_timeout_seconds: float = option(
        300.0,
        "multi_worker: seconds that workers wait for each other, at the start and "
        "within a step.",
        resumable=True,
    )
    on_nonfinite: Literal["stop", "skip"] = option(
        "stop",
        "When the loss or a gradient is not finite: stop the run, or skip the "
        "update on all replicas and count it.",
        resumable=True,
    )
    max_skipped_steps: int = option(
        10,
        "The run stops when --on_nonfinite=skip has skipped more steps than this.",
        resumable=True,
    )
    track: Literal["wandb", "mlflow"] | None = option(
        None,
        "Send the figures of each epoch to Weights & Biases or to MLflow too; their "
        "own environment variables hold. A continued run goes on in its tracked run.",
        resumable=True,
    )
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: GuestOptions = guest(
        ENCODERS,
        "resnet50",
        "The network that is trained (f), by its name.",
        common=True,
    )
    projection_head: ProjectionHeadConfig = field(default_factory=ProjectionHeadConfig)
    objective: GuestOptions = guest(
        OBJECTIVES, "nt_xent", "The loss that is minimized, by its name.", common=True
    )
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    performance: PerformanceConfig = field(default_factory=PerformanceConfig)

    def check(self) -> None:
        require_positive(
            epochs=self.epochs,
            steps=self.steps,
            minutes=self.minutes,
            replicas=self.replicas,
            micro_batch_size=self.micro_batch_size,
            collective_timeout_seconds=self.collective_timeout_seconds,
        )
        require_not_negative(max_skipped_steps=self.max_skipped_steps)
        require(
            self.global_batch_size >= 2,
            "`global_batch_size` must be at least 2: a contrastive loss compares "
            "images.",
            global_batch_size=self.global_batch_size,
        )
        require(
            self.global_batch_size % (self.micro_batch_size or 1) == 0,
            "`micro_batch_size` must divide the images of one replica's batch.",
            micro_batch_size=self.micro_batch_size,
            global_batch_size=self.global_batch_size,
        )
        require(
            self.micro_batch_norm == "batch" or self.micro_batch_size is not None,
            "`micro_batch_norm` needs `micro_batch_size`.",
            micro_batch_norm=self.micro_batch_norm,
        )
        require(0 <= self.seed < 2**63, "`seed` must be in [0, 2**63).", seed=self.seed)


def idle_options(config: Config) -> dict[str, str]:
    """Find options that are set, and that another one leaves without an effect.

    A new run refuses them. Runs of earlier versions may have them, and continue.

    Args:
      config: Config.

    Returns:
      dict of dotted name to the rule that it breaks.

    Example:
      >>> idle_options(Config(init_parts="encoder_and_head"))
      {'init_parts': '`init_parts` needs `init_from`, the run to take them from.'}
    """
    found = {}
    if config.init_parts != "encoder" and config.init_from is None:
        found["init_parts"] = (
            "`init_parts` needs `init_from`, the run to take them from."
        )
    if config.data.cache_dir is not None and config.data.cache != "disk":
        found["data.cache_dir"] = "`data.cache_dir` needs `data.cache=disk`."
    return found


def require_one_length(given: Mapping[str, Any]) -> None:
    """Refuse `minutes` beside another length.

    Args:
      given: the options that the user gave, by dotted name; None and "none" unset one.

    Raises:
      ConfigError: more than one length is given.

    Example:
      >>> require_one_length({"epochs": 3, "seed": 1})
    """
    names = ("minutes", *_LENGTHS)
    lengths = [name for name in names if given.get(name) not in (None, "none")]
    require(
        "minutes" not in lengths or len(lengths) == 1,
        "`minutes` chooses the length: leave `epochs` and `steps` out, or `minutes`.",
        given=", ".join(lengths),
    )


def from_dict(values: dict[str, Any]) -> Config:
    """Build a Config from `to_dict`; options that are missing get their defaults.

    Options of earlier versions are read under their present names.

    Raises:
      ConfigError: an unknown option or an invalid value.

    Example:
      >>> from simclr_tf.config.schema import to_dict
      >>> from_dict(to_dict(Config(epochs=3))) == Config(epochs=3)
      True
    """
    return override(Config(), with_present_names(values))


def stored_config(workdir: StrPath, given: Container[str] = ()) -> Config | None:
    """Read the options of the run in a folder, which continuing it begins with.

    Args:
      workdir: path.
      given: dotted names of the options that the user gives now; a length takes the
        place of the run's `minutes`.

    Returns:
      Config; `precision` and `jit_compile` as they were asked for. None if there is no
      run: the training itself refuses a folder of anything else and a damaged one.

    Raises:
      WorkdirError: the options are of another version.

    Example:
      >>> stored_config("no/such/folder") is None
      True
    """
    path = pathlib.Path(workdir).expanduser() / CONFIG_FILE
    try:
        record = read_json(path)
        values = dict(record["config"])
        choices = [(name, record.get(name)) for name in ("precision", "jit_compile")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    try:
        config = from_dict(values)
    except ConfigError as error:
        raise WorkdirError(
            f"{path} is damaged, or of another version of simclr_tf: {error}"
        ) from error
    # `auto` was resolved when the run began: the run keeps the requested value.
    asked = {
        name: choice["asked"]
        for name, choice in choices
        if isinstance(choice, dict) and "asked" in choice
    }
    if config.minutes is not None and any(name in given for name in _LENGTHS):
        asked |= dict.fromkeys(OF_MINUTES)
    return override(config, asked)
