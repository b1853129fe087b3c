"""One pretraining run, from a config to a workdir: the same command continues it."""

import dataclasses
import logging

import tensorflow as tf

from simclr_tf import durations
from simclr_tf._keras import keras
from simclr_tf.data import plain_errors
from simclr_tf.errors import require
from simclr_tf.options import override
from simclr_tf.presets import get_preset
from simclr_tf.training import assembly
from simclr_tf.training.batches import (
    Batches,
    open_probe_source,
    open_training_source,
)
from simclr_tf.training.checkpoints import CheckpointStore, SaveCheckpoints
from simclr_tf.training.cost_report import EstimatedTime, cost_report
from simclr_tf.training.data_wait import WaitMeter
from simclr_tf.training.diagnostics import RepresentationSample
from simclr_tf.training.health import HealthCheck
from simclr_tf.training.progress import Progress, Throughput
from simclr_tf.training.records import MetricsLog
from simclr_tf.training.summary import write_summary
from simclr_tf.training.workdir import CHECKPOINTS, Workdir

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


def pretrain(data=None, workdir=None, preset="demo", *, encoder=None, callbacks=(),
             say=print, **overrides):
    """Pretrain an encoder in one call.

    Args:
      data: str in the grammar of `--data`, or a NumPy array `[n, H, W, C]`, a tuple
        (images, labels), or a tf.data.Dataset; the preset's own if None.
      workdir: folder for config, checkpoints and metrics; nothing is written if None.
      preset: str, a name in simclr_tf.presets.
      encoder: keras.Model, images `[N, H, W, C]` to `[N, F]` or `[N, H, W, F]`; the
        preset's ResNet if None.
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
      ...     encoder={"depth": 18, "width_multiplier": 0.0625, "stem": "small"},
      ...     **{"data.image_size_pixels": 16})
      >>> result.encoder(images[:2] / 255.0).shape
      TensorShape([2, 32])
    """
    config = get_preset(preset)
    if isinstance(encoder, dict):  # Options of the preset's own encoder.
        overrides["encoder"], encoder = encoder, None
    if encoder is not None:
        overrides["encoder.kind"] = "custom"
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
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    source = open_training_source(config, data)
    probe_source = open_probe_source(config, source.channels)
    plan = _plan(config, source)
    model = _build(config, source, probe_source, encoder, plan)
    batches = Batches(config, source, model.recipe, probe_source)
    run = _Run(config, model, source, batches, plan, say)
    return run.execute(workdir, callbacks, command)


@dataclasses.dataclass(frozen=True)
class _Plan:
    epoch_steps: int
    total_steps: int
    warmup_steps: int


def _plan(config, source):
    if source.num_examples is None:  # An endless stream: 100 steps are its epoch.
        require(config.steps is not None,
                "A stream of unknown length needs `steps`.", steps=config.steps)
        epoch_steps = min(100, config.steps)
    else:
        epoch_steps = durations.steps_per_epoch(
            source.num_examples, config.global_batch_size)
    total = durations.total_steps(config.epochs, config.steps, epoch_steps)
    warmup = durations.warmup_steps(
        config.optimizer.warmup_epochs, config.optimizer.warmup_steps, epoch_steps)
    return _Plan(epoch_steps, total, warmup)


def _build(config, source, probe_source, encoder, plan):
    labelled = probe_source or source
    if config.probe.online and labelled.has_labels and not labelled.num_classes:
        LOG.info("The number of classes of %s is not known beforehand: there is no "
                 "online probe. Use --probe.data for one.", labelled.name)
    size = config.data.image_size_pixels
    model = assembly.build_model(
        config, (size, size, source.channels), num_classes=labelled.num_classes or None,
        encoder=encoder)
    optimizer = assembly.build_optimizer(
        config, model, warmup_steps=plan.warmup_steps, total_steps=plan.total_steps)
    model.compile(optimizer=optimizer)
    return model


class _Run:
    """The state that the parts of a run share."""

    def __init__(self, config, model, source, batches, plan, say):
        self.config, self.model, self.plan, self.say = config, model, plan, say
        self.source, self.batches = source, batches
        self.meter = WaitMeter()

    def execute(self, workdir, callbacks, command):
        workdir = None if workdir is None else Workdir(workdir)
        store, start_step = None, 0
        self.say(self._cost_report())
        if workdir is not None:
            workdir.claim(self.config, self._describe_data(), command)
            store = CheckpointStore(workdir.path / CHECKPOINTS,
                                    keep=self.config.checkpoint.keep)
            start_step = self._restore(store)
        with plain_errors():
            records = self._train(workdir, store, start_step, callbacks)
        if workdir is not None:
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

    def _describe_data(self):
        return {"name": self.source.name, "num_examples": self.source.num_examples,
                "channels": self.source.channels, "classes": self.source.classes,
                "num_classes": (None if self.model.probe is None
                                else int(self.model.probe.units)),
                "fingerprint": self.source.fingerprint()}

    def _restore(self, store):
        checkpoint = store.latest()
        if checkpoint is None:
            return 0
        checkpoint.restore(model=self.model, optimizer=self.model.optimizer)
        left = self.plan.total_steps - checkpoint.step
        self.say(f"Continuing  from step {checkpoint.step:,} ({checkpoint.path}): "
                 + (f"{left:,} steps left" if left else "the run is complete"))
        return checkpoint.step

    def _train(self, workdir, store, start_step, callbacks):
        plan, config = self.plan, self.config
        first_batch = next(iter(self.batches.between(0, 1)))
        sample = RepresentationSample(self.model, first_batch)
        log = MetricsLog(
            workdir and workdir.path, start_step=start_step,
            learning_rate=self.model.optimizer._learning_rate,
            throughput=Throughput(config.global_batch_size, self.meter),
            sample=sample, grid_every_epochs=config.checkpoint.image_every_epochs)
        progress = Progress(
            total_steps=plan.total_steps, start_step=start_step,
            global_batch_size=config.global_batch_size, wait_meter=self.meter)
        own = [
            log,
            HealthCheck(
                global_batch_size=config.global_batch_size, start_step=start_step,
                is_nt_xent=config.loss.name == "nt_xent",
                last_checkpoint=lambda: getattr(
                    store and store.latest(), "path", None),
                ids_of_batch=self.batches.ids_of,
                max_skipped_steps=config.max_skipped_steps),
            progress,
            EstimatedTime(total_steps=plan.total_steps, start_step=start_step,
                          say=progress.beside(self.say)),
        ]
        if store is not None:
            own.append(SaveCheckpoints(
                store, every_epochs=config.checkpoint.every_epochs,
                start_step=start_step, total_steps=plan.total_steps))
        try:
            for first, last, steps in durations.segments(
                    start_step, plan.total_steps, plan.epoch_steps):
                self._fit(first, last, steps, [*own, *callbacks])
        finally:
            progress.close()
            log.close()
        return log.records

    def _fit(self, first, last, steps, callbacks):
        dataset = self.meter.measure(self.batches.between(first, last))
        epoch = first // self.plan.epoch_steps
        self.model.fit(
            dataset, initial_epoch=epoch, epochs=epoch + (last - first) // steps,
            steps_per_epoch=steps, callbacks=callbacks, verbose=0)
