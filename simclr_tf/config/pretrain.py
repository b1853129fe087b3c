"""Options of `pretrain`, each declared once: default, help, unit and check.

Frozen, nested dataclasses. Flags (`--objective.temperature=0.5`) and `config.json`
are generated from them, and ablations are `dataclasses.replace`. This module
imports no TensorFlow, so that `--help` is instant.
"""

from __future__ import annotations

import pathlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from simclr_tf.array_types import StrPath
from simclr_tf.config.data import AugmentConfig, DataConfig
from simclr_tf.config.moved import with_present_names
from simclr_tf.config.schema import (
    LARGEST_SEED,
    MOST_REPLICAS,
    GuestOptions,
    Section,
    guest,
    option,
    override,
    require_not_negative,
    require_positive,
)
from simclr_tf.config.shared_choices import (
    ENCODERS,
    OBJECTIVES,
    PRESET_HELP,
    PRESETS,
    Cluster,
    PrecisionName,
    Strategy,
)
from simclr_tf.config.training_sections import (
    CheckpointConfig,
    OptimizerConfig,
    PerformanceConfig,
    ProbeConfig,
    ProjectionHeadConfig,
)
from simclr_tf.errors import ConfigError, WorkdirError, require
from simclr_tf.limits import read_json

DEFAULT_PRESET = "demo"  # Without --data.
CONFIG_FILE = "config.json"  # In a workdir.
_LENGTHS = ("epochs", "steps")  # Beside `minutes`.
# `minutes`, and what they came to, for which another length takes the place.
OF_MINUTES = ("minutes", "steps", "optimizer.warmup_steps")


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
