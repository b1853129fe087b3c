"""One pretraining run, from a config to a workdir: the same command continues it."""

import contextlib
import dataclasses
import logging
import os

import tensorflow as tf

from simclr_tf import durations
from simclr_tf._keras import keras
from simclr_tf.data import plain_errors
from simclr_tf.distribution import (
    distribute_batches,
    is_chief,
    is_distributed,
    make_strategy,
    named_lost_peers,
    require_divisible,
)
from simclr_tf.options import override
from simclr_tf.presets import get_preset
from simclr_tf.training import assembly
from simclr_tf.training.averaging import UseAverages
from simclr_tf.training.batches import (
    Batches,
    open_probe_source,
    open_training_source,
)
from simclr_tf.training.continuation import (
    ContinueMetrics,
    describe_data,
    describe_run,
    find_start,
)
from simclr_tf.training.cost_report import EstimatedTime, cost_report
from simclr_tf.training.data_wait import WaitMeter
from simclr_tf.training.diagnostics import RepresentationSample
from simclr_tf.training.executions import set_threads
from simclr_tf.training.gradient_cache import require_micro_batches
from simclr_tf.training.health import HealthCheck
from simclr_tf.training.interruption import StopWhenSaved
from simclr_tf.training.plan import plan_run
from simclr_tf.training.precision import settle_precision
from simclr_tf.training.progress import Progress, Throughput
from simclr_tf.training.records import MetricsLog, read_metrics
from simclr_tf.training.saving import SaveCheckpoints
from simclr_tf.training.summary import write_summary
from simclr_tf.training.warm_start import warm_start, write_warm_start
from simclr_tf.training.workdir import (
    CHECKPOINTS,
    METRICS_FILE,
    SUMMARY_FILE,
    Workdir,
    versions,
)
from simclr_tf.training.workers import (
    how_to_continue,
    make_interruption,
    open_store,
    require_same_run,
)

LOG = logging.getLogger("simclr_tf")


@dataclasses.dataclass(frozen=True)
class PretrainResult:
    """What a run gives back.

    Attributes:
      model: SimCLR, trained.
      encoder: keras.Model, its encoder.
      metrics: dict, the last epoch's figures by name.
      history: list of dicts, one an epoch.
      config: Config of the run.
      workdir: path, or None.
    """

    model: keras.Model
    encoder: keras.Model
    metrics: dict
    history: list
    config: object
    workdir: object


def pretrain(data=None, workdir=None, preset="demo", *, encoder=None, init_from=None,
             callbacks=(), say=print, **overrides):
    """Pretrain an encoder in one call.

    Args:
      data: str in the grammar of `--data`, or a NumPy array `[n, H, W, C]`, a tuple
        (images, labels), or a tf.data.Dataset; the preset's own if None.
      workdir: folder for config, checkpoints and metrics; nothing is written if None.
      preset: str, a name in simclr_tf.presets.
      encoder: keras.Model, images `[N, H, W, C]` to `[N, F]` or `[N, H, W, F]`; the
        preset's ResNet if None.
      init_from: path of a run, a checkpoint, an export or a Keras file whose encoder
        this one starts from (with `init_parts="encoder_and_head"`: the head too).
      callbacks: keras callbacks, called beside the run's own.
      say: function of a str, for the report before the first step.
      **overrides: options by name: `epochs=3`, `loss={"temperature": 0.5}` or
        `**{"loss.temperature": 0.5}`.

    Returns:
      PretrainResult.

    Raises:
      SimCLRError: anything the caller can put right, in one line.

    Example:
      >>> import numpy as np
      >>> images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), "uint8")
      >>> result = pretrain(
      ...     images, epochs=1, global_batch_size=32, say=lambda line: None,
      ...     compile_views=False,  # For two steps it takes longer than it saves.
      ...     encoder={"depth": 10, "width_multiplier": 0.0625, "stem": "small"},
      ...     **{"data.image_size_pixels": 16})
      >>> result.encoder(images[:2] / 255.0).shape
      TensorShape([2, 32])
    """
    config = get_preset(preset)
    if isinstance(encoder, dict):  # Options of the preset's own encoder.
        overrides["encoder"], encoder = encoder, None
    if encoder is not None:
        overrides["encoder.kind"] = "custom"
    if init_from is not None:
        overrides["init_from"] = os.fspath(init_from)
    if isinstance(data, str):
        overrides["data.source"], data = data, None
    elif data is not None:
        overrides["data.source"] = f"python:{type(data).__name__}"
    config = override(config, overrides)
    return pretrain_from_config(
        config, workdir=workdir, data=data, encoder=encoder, callbacks=callbacks,
        say=say)


def pretrain_from_config(config, *, workdir=None, data=None, encoder=None,
                         callbacks=(), say=print,
                         command="simclr_tf.pretrain(...)"):
    """Run, or continue, the pretraining that a config describes.

    Args:
      config: Config.
      workdir, encoder, callbacks, say: as for `pretrain`.
      data: a Python object with the images, or None for `config.data.source`.
      command: str, what started the run; kept in its config.json.

    Returns:
      PretrainResult.
    """
    # First of all: devices cannot be set up once TensorFlow has been used.
    set_threads(config.performance)
    strategy = make_strategy(
        config.strategy, replicas=config.replicas, tpu=config.tpu,
        collective_timeout_seconds=config.collective_timeout_seconds)
    replicas = strategy.num_replicas_in_sync
    require_divisible(config.global_batch_size, replicas)
    if config.micro_batch_size is not None:
        require_micro_batches(
            config.global_batch_size // replicas, config.micro_batch_size)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    say = say if is_chief(strategy) else lambda line: None  # One worker speaks.
    source = open_training_source(config, data, say)
    probe_source = open_probe_source(config, source.channels, say)
    plan = plan_run(config, source)
    workdir = None if workdir is None else Workdir(workdir)
    with named_lost_peers(
            strategy, lambda: how_to_continue(workdir and workdir.path)):
        precision = settle_precision(config, strategy, workdir)
        config = dataclasses.replace(config, precision=precision.name)
        with strategy.scope():
            model = _build(config, source, probe_source, encoder, plan, replicas)
        batches = Batches(config, source, model.recipe, probe_source, replicas)
        run = _Run(config, strategy, model, source, probe_source, batches, plan, say,
                   precision)
        return run.execute(workdir, callbacks, command)


def _build(config, source, probe_source, encoder, plan, replicas):
    labelled = probe_source or source
    if config.probe.online and labelled.has_labels and not labelled.num_classes:
        LOG.info("The number of classes of %s is not known beforehand: there is no "
                 "online probe. Use --probe.data for one.", labelled.name)
    size = config.data.image_size_pixels
    model = assembly.build_model(
        config, (size, size, source.channels), num_classes=labelled.num_classes or None,
        encoder=encoder, synchronized=replicas > 1)
    optimizer = assembly.build_optimizer(
        config, model, warmup_steps=plan.warmup_steps, total_steps=plan.total_steps)
    model.compile(optimizer=optimizer,
                  steps_per_execution=config.performance.steps_per_execution or 1)
    return model


class _Run:
    """The state that the parts of a run share."""

    def __init__(self, config, strategy, model, source, probe_source, batches,
                 plan, say, precision):
        self.config, self.model, self.plan = config, model, plan
        self.precision = precision
        self.strategy, self.batches = strategy, batches
        self.source, self.probe_source = source, probe_source
        # What all callbacks that count steps have to know.
        self.counting = {
            "steps_per_execution": config.performance.steps_per_execution or 1}
        self.meter = WaitMeter(is_distributed(strategy), **self.counting)
        self.is_chief = is_chief(strategy)  # One worker writes.
        self.say = say
        self.identity = None

    def execute(self, workdir, callbacks, command):
        store = start = None
        self.say(self._cost_report())
        self.say(self.precision.line())
        if workdir is not None:
            store = self._open_store(workdir)
        # Before anything is written: the source may not be there, or not fit.
        warm = self._warm_start(store)
        if workdir is not None:
            data = describe_data(self.model, self.source, self.probe_source)
            if self.is_chief:
                workdir.claim(self.config, data, command, self.source.files,
                              self.precision.record())
            self.identity = describe_run(self.config, data, self.model)
            self._keep_warm_start(workdir, store, warm)
            start = self._restore(store)
        require_same_run(
            self.strategy, self.config, versions(), self.source.fingerprint(),
            start.step if start else 0)
        was_complete = start is not None and start.step == self.plan.total_steps
        if was_complete:
            records = read_metrics(workdir.path / METRICS_FILE)
        else:
            with plain_errors():
                records = self._train(workdir, store, start, callbacks)
        if self.is_chief and workdir is not None and not (
                was_complete and workdir.has(SUMMARY_FILE)):
            write_summary(workdir, self.config, records,
                          command=workdir.read()["command"],
                          corrupt=self.source.corrupt)
        return PretrainResult(
            model=self.model, encoder=self.model.encoder,
            metrics=records[-1] if records else {}, history=records,
            config=self.config, workdir=None if workdir is None else workdir.path)

    def _cost_report(self):
        size = self.config.data.image_size_pixels
        return cost_report(
            self.model, image_shape=(size, size, self.source.channels),
            global_batch_size=self.config.global_batch_size,
            total_steps=self.plan.total_steps, epoch_steps=self.plan.epoch_steps,
            num_examples=self.source.num_examples)

    def _open_store(self, workdir):
        options = self.config.checkpoint
        kept_epochs = options.keep_every_epochs
        return open_store(
            self.strategy, workdir.path / CHECKPOINTS, keep=options.keep,
            keep_every_steps=kept_epochs and kept_epochs * self.plan.epoch_steps)

    def _warm_start(self, store):
        """Load --init_from, unless the run goes on from a checkpoint of its own."""
        if not self.config.init_from or (store is not None and store.paths()):
            return None
        result = warm_start(self.model, self.config.init_from, self.config.init_parts)
        self.say(result.table())
        return result

    def _keep_warm_start(self, workdir, store, result):
        """Save step 0: from then on the run needs the source of its weights no more."""
        if result is not None:
            if self.is_chief:
                write_warm_start(workdir.path, result)
            store.save(0, details=self.identity, model=self.model,
                       optimizer=self.model.optimizer)

    def _restore(self, store):
        """The checkpoint from which this run goes on, put into the model; or None."""
        checkpoint = find_start(store, self.identity)
        if checkpoint is None:
            return None
        checkpoint.restore(model=self.model, optimizer=self.model.optimizer)
        left = self.plan.total_steps - checkpoint.step
        self.say(f"Continuing  from step {checkpoint.step:,} ({checkpoint.path}): "
                 + (f"{left:,} steps left" if left
                    else "the run is complete, nothing is left to do"))
        return checkpoint

    def _train(self, workdir, store, start, callbacks):
        plan, config = self.plan, self.config
        start_step = start.step if start else 0
        first_batch = next(iter(self.batches.between(0, 1)))
        sample = RepresentationSample(self.model, first_batch)
        log = MetricsLog(
            workdir.path if workdir and self.is_chief else None, start_step=start_step,
            learning_rate=self.model.optimizer._learning_rate,
            throughput=Throughput(config.global_batch_size, self.meter),
            sample=sample, grid_every_epochs=config.checkpoint.image_every_epochs,
            **self.counting)
        progress = Progress(
            total_steps=plan.total_steps, start_step=start_step,
            global_batch_size=config.global_batch_size, wait_meter=self.meter,
            **self.counting)
        own = [
            self.meter,
            log,
            HealthCheck(
                global_batch_size=config.global_batch_size, start_step=start_step,
                is_nt_xent=config.loss.name == "nt_xent",
                last_checkpoint=lambda: getattr(
                    store and store.latest(), "path", None),
                ids_of_batch=self.batches.ids_of,
                max_skipped_steps=config.max_skipped_steps, speaks=self.is_chief,
                **self.counting),
        ]
        if config.optimizer.wrapper != "none":
            own.append(UseAverages(
                self._dataset, start_step=start_step, total_steps=plan.total_steps,
                batch_norm_momentum=config.encoder.batch_norm_momentum,
                **self.counting))
        if self.is_chief:
            own += [progress, EstimatedTime(
                total_steps=plan.total_steps, start_step=start_step,
                say=progress.beside(self.say), **self.counting)]
        interruption = contextlib.nullcontext()  # Nothing to save: ends at once.
        if store is not None:
            interruption, first = make_interruption(self.strategy)
            own = [*first, *own, *self._saving(store, start, interruption)]
            callbacks = [*callbacks, StopWhenSaved(interruption)]
        try:
            with interruption:
                for first, last, steps in durations.segments(
                        start_step, plan.total_steps, plan.epoch_steps):
                    self._fit(first, last, steps, [*own, *callbacks])
        finally:
            progress.close()
            log.close()
        return log.records

    def _saving(self, store, start, interruption):
        """The callbacks that save the run, and go on from where it was saved."""
        plan, options = self.plan, self.config.checkpoint
        is_within_epoch = start is not None and start.step % plan.epoch_steps
        return [
            ContinueMetrics(
                start.manifest.get("metrics") if is_within_epoch else None),
            SaveCheckpoints(
                store, every_epochs=options.every_epochs,
                keep_every_epochs=options.keep_every_epochs,
                every_steps=options.every_steps, epoch_steps=plan.epoch_steps,
                start_step=start.step if start else 0,
                total_steps=plan.total_steps, details=self.identity,
                interruption=interruption, **self.counting),
        ]

    def _fit(self, first, last, steps, callbacks):
        epoch = first // self.plan.epoch_steps
        self.model.fit(
            self._dataset(first, last, self.meter.measure), initial_epoch=epoch,
            epochs=epoch + (last - first) // steps, steps_per_epoch=steps,
            callbacks=callbacks, verbose=0)

    def _dataset(self, first, last, observed=lambda batches: batches):
        """The replicas' rows of the batches `first` .. `last - 1`."""
        return distribute_batches(
            self.strategy, lambda worker, workers: observed(
                self.batches.between(first, last, worker, workers)))
