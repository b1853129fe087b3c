"""One pretraining run from a config to a workdir; the same command continues it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import tensorflow as tf

from simclr_tf._keras import keras, refuse_keras3
from simclr_tf.array_types import Model, StrPath
from simclr_tf.config.presets import get_preset
from simclr_tf.config.pretrain import (
    Config,
    idle_options,
    require_one_length,
    stored_config,
)
from simclr_tf.config.schema import dotted, flatten, override
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.data.preset_choice import choose_start
from simclr_tf.distribution import (
    is_chief,
    make_strategy,
    named_lost_peers,
    require_divisible,
)
from simclr_tf.errors import ConfigError, require
from simclr_tf.models import takes_one_size
from simclr_tf.training.batches import (
    open_probe_source,
    open_training_source,
)
from simclr_tf.training.micro_batches import require_micro_batches
from simclr_tf.training.overview import found_splits, overview
from simclr_tf.training.preparation import Preparation
from simclr_tf.training.replicated_encoder import give_back
from simclr_tf.training.step_clock import plan_run
from simclr_tf.training.trackers import require_tracker
from simclr_tf.training.workdir import CONFIG_FILE, Workdir
from simclr_tf.training.workers import how_to_continue

if TYPE_CHECKING:
    from simclr_tf.training.stages import PretrainResult


_CALLBACKS = (
    f"Use a callback of `{keras.__name__}`: the methods are the same, so "
    f"`class Mine({keras.__name__}.callbacks.Callback)` is enough."
)
_IN_ITS_PLACE = (
    'Give options by name, such as optimizer="adamw", objective="nt_xent" or '
    "**{'optimizer.base_learning_rate': 0.1}; the schedule is part of them."
)


def pretrain(
    data: Any = None,
    workdir: StrPath | None = None,
    preset: str | None = None,
    *,
    encoder: Model | None = None,
    init_from: StrPath | None = None,
    callbacks: Sequence[Any] = (),
    say: Callable[[str], None] = print,
    **overrides: Any,
) -> PretrainResult:
    """Pretrain an encoder in one call.

    Args:
      data: str in the grammar of `--data`, or a NumPy array `[n, H, W, C]`, a tuple
        (images, labels), or a tf.data.Dataset; the preset's own if None.
      workdir: folder for config, checkpoints and metrics; nothing is written if None.
        A run in it is continued, with its own options if `preset` is None.
      preset: str, a name in simclr_tf.config.presets. If None, the sizes of the images
        and the device choose one, and a line tells which; `demo` without `data`.
      encoder: keras.Model, images `[N, H, W, C]` to `[N, F]` or `[N, H, W, F]`, of the
        Keras 2 API or of Keras 3; the preset's ResNet if None. A network of Keras 3
        is trained as it is, and holds the trained weights at the end.
      init_from: path of a run, a checkpoint, an export or a Keras file; the encoder
        starts from its weights (with `init_parts="encoder_and_head"`, the head too).
      callbacks: keras callbacks, called in addition to the run's own.
      say: function that prints a line (str), for the report before the first step.
      **overrides: options by name: `epochs=3`, `objective={"temperature": 0.5}` or
        `**{"objective.temperature": 0.5}`.

    Returns:
      PretrainResult.

    Raises:
      SimCLRError: a wrong argument, file or folder, in one line.

    Example:
      >>> import numpy as np
      >>> images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), "uint8")
      >>> result = pretrain(
      ...     images, epochs=1, global_batch_size=32, say=lambda line: None,
      ...     compile_views=False,  # Compiling takes longer than two steps.
      ...     encoder={"name": "resnet10", "width_multiplier": 0.0625, "stem": "small"},
      ...     **{"data.image_size_pixels": 16})
      >>> result.encoder(images[:2] / 255.0).shape
      TensorShape([2, 32])
    """
    config, origin = _start(data, workdir, preset, overrides)
    if isinstance(encoder, (str, dict)):  # A name, or options of the preset's encoder.
        overrides["encoder"], encoder = encoder, None
    for name, value in overrides.items():
        refuse_keras3(_IN_ITS_PLACE, **{name: value})
    for callback in callbacks:
        refuse_keras3(_CALLBACKS, callbacks=callback)
    if encoder is not None:
        overrides["encoder"] = "custom"
    if init_from is not None:
        overrides["init_from"] = os.fspath(init_from)
    if isinstance(data, str):
        overrides["data.source"], data = data, None
    elif data is not None:
        overrides["data.source"] = f"python:{type(data).__name__}"
    require_one_length(overrides)
    return pretrain_from_config(
        _fitting_views(config, overrides, encoder, say),
        workdir=workdir,
        data=data,
        encoder=encoder,
        callbacks=callbacks,
        say=say,
        origin=origin,
    )


def _start(data, workdir, preset, overrides):
    """Return the config below the overrides, and how it was chosen.

    Without a named preset, a run that has begun keeps its options.
    """
    if preset is not None:
        return get_preset(preset), None
    given = dotted(Config, overrides)
    spec = given.get("data.source") if data is None else data
    stored = None if workdir is None else stored_config(workdir, given)
    if stored is not None:
        require(
            spec is not None or not stored.data.source.startswith("python:"),
            f"The images of the run in {workdir} came from Python: give the same ones "
            "again, as the first argument.",
            data=stored.data.source,
        )
        return stored, None
    return choose_start(
        spec,
        split=given.get("data.split", "train"),
        data_dir=given.get("data.data_dir"),
        image_size_pixels=given.get("data.image_size_pixels"),
    )


def _fitting_views(preset, overrides, encoder, say):
    """Return the config, without small views of the preset that do not fit an encoder.

    Args:
      preset: Config below the overrides.
      overrides: dict of options by name.
      encoder: keras.Model, the user's own, or None.
      say: function that prints a line (str).

    Returns:
      Config.
    """
    config = override(preset, overrides)
    small_views = getattr(config.objective, "small_views", 0)
    if (
        not (small_views and takes_one_size(encoder))
        or "objective.small_views" in dotted(Config, overrides)
        or config.objective.name != preset.objective.name
    ):
        return config
    say(
        f"Views       two full ones: the preset's {small_views} small ones are left "
        f"out, since the encoder takes images of {encoder.input_shape[1:]} alone"
    )
    return override(config, {"objective.small_views": 0})


def pretrain_from_config(
    config: Config,
    *,
    workdir: StrPath | None = None,
    data: Any = None,
    encoder: Model | None = None,
    callbacks: Sequence[Any] = (),
    say: Callable[[str], None] = print,
    command: str = "simclr_tf.pretrain(...)",
    origin: str | None = None,
    stream: TextIO | None = None,
) -> PretrainResult:
    """Run, or continue, the pretraining that a config describes.

    Args:
      config: Config.
      workdir, encoder, callbacks, say: as for `pretrain`.
      data: a Python object with the images, or None for `config.data.source`.
      command: str, the command of the run; kept in its config.json.
      origin: str, a first line about the origin of the config; None prints nothing.
      stream: text file for the progress of the steps; stderr if None.

    Returns:
      PretrainResult.
    """
    place = None if workdir is None else Workdir(workdir)
    _require_effective(config, place)
    require_tracker(config.track)
    # This comes first: devices cannot be set up after TensorFlow has been used.
    set_threads(config.performance)
    strategy = make_strategy(
        config.strategy,
        replicas=config.replicas,
        tpu=config.tpu,
        cluster=config.cluster,
        collective_timeout_seconds=config.collective_timeout_seconds,
    )
    replicas = strategy.num_replicas_in_sync
    require_divisible(config.global_batch_size, replicas)
    if config.micro_batch_size is not None:
        require_micro_batches(
            config.global_batch_size // replicas, config.micro_batch_size
        )
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    say = say if is_chief(strategy) else lambda line: None  # One worker prints.
    if origin is not None:
        say(origin)
    writes = place if is_chief(strategy) else None
    with left_out_listed(None if writes is None else writes.may_list()):
        source = open_training_source(config, data, say)
        probe_source = open_probe_source(config, source.channels, say)
    preparation = Preparation(strategy, (source, probe_source), encoder, place, say)
    compilation = preparation.compilation(config)
    if not compilation.is_usual:
        config = dataclasses.replace(config, jit_compile=compilation.name)
    if config.minutes is not None:
        config = preparation.with_length(config)
    plan = plan_run(config, source)
    lines = overview(
        config,
        source,
        probe_source,
        plan,
        sizes=source.sampled_sizes(),
        splits=found_splits(config),
        left_out_path=None if place is None else place.path / LEFT_OUT_FILE,
    )
    say("\n".join(lines))
    with (
        contextlib.nullcontext() if writes is None else writes.held(),
        named_lost_peers(strategy, lambda: how_to_continue(place and place.path)),
    ):
        run = preparation.run_of(config, plan, stream)
        run.choices += (compilation,)
        try:
            return run.execute(place, callbacks, command)
        finally:  # Also what an interrupted run has learned.
            give_back(encoder, run.model.encoder)


def _require_effective(config, workdir):
    """Refuse options without an effect, but those that the run began with."""
    idle = idle_options(config)
    known = {}
    if idle and workdir is not None and workdir.has(CONFIG_FILE):
        known = idle_options(workdir.config())
    for name, rule in idle.items():
        require(name in known, rule, **{name: flatten(config)[name]})


def set_threads(options):
    """Set the sizes of TensorFlow's thread pools; call it before using TensorFlow.

    Args:
      options: PerformanceConfig.

    Raises:
      ConfigError: TensorFlow has started already, with pools of another size.
    """
    threading = tf.config.threading
    for name, wanted, give in (
        (
            "intra_op_threads",
            options.intra_op_threads,
            threading.set_intra_op_parallelism_threads,
        ),
        (
            "inter_op_threads",
            options.inter_op_threads,
            threading.set_inter_op_parallelism_threads,
        ),
    ):
        if wanted is None:
            continue
        try:
            give(wanted)  # No effect if the pool has that size already.
        except RuntimeError as error:
            raise ConfigError(
                f"`performance.{name}` must be set before TensorFlow is used: start a "
                f"new process, or leave it unset. Received: {name}={wanted}."
            ) from error
