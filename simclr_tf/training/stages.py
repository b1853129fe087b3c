"""The stages of a pretraining run: report, claim, restore, train, summary."""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from simclr_tf import durations
from simclr_tf._keras import keras
from simclr_tf.config.pretrain import Config
from simclr_tf.data import plain_errors
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed, write_left_out
from simclr_tf.distribution import devices_text, distribute_batches, is_chief
from simclr_tf.training.batches import Batches
from simclr_tf.training.continuation import (
    describe_data,
    describe_run,
    find_start,
)
from simclr_tf.training.cost_report import cost_report
from simclr_tf.training.keras_files import keep_network
from simclr_tf.training.micro_batches import can_split
from simclr_tf.training.peak_memory import (
    costs_of_views,
    estimate,
    machine_of,
    require_fitting,
)
from simclr_tf.training.records import (
    read_metrics,
)
from simclr_tf.training.run_callbacks import RunCallbacks, knn_monitor
from simclr_tf.training.step_clock import Plan
from simclr_tf.training.summary import write_summary
from simclr_tf.training.time_budget import StepSpeed
from simclr_tf.training.warm_start import (
    check_same_network,
    warm_start,
    write_warm_start,
)
from simclr_tf.training.workdir import (
    CHECKPOINTS,
    METRICS_FILE,
    SUMMARY_FILE,
    versions,
)
from simclr_tf.training.workers import (
    open_store,
    require_same_run,
)


@dataclasses.dataclass(frozen=True)
class PretrainResult:
    """The result of a run.

    Attributes:
      model: PretrainingModel, trained.
      encoder: keras.Model, its encoder.
      metrics: dict, the last epoch's figures by name.
      history: list of dicts, one an epoch.
      config: Config of the run.
      workdir: path, or None.
      memory: PeakMemory, estimated before the first step.
    """

    model: keras.Model
    encoder: keras.Model
    metrics: dict
    history: list
    config: object
    workdir: object
    memory: object = None


@dataclasses.dataclass(eq=False)
class PretrainingRun:
    """The state that the stages of a run share.

    Attributes:
      config: Config, with the chosen precision.
      strategy: tf.distribute.Strategy.
      model: PretrainingModel, compiled in the strategy's scope.
      source: Source of the training images.
      probe_source: Source of the online probe's images, or None: the same.
      batches: Batches of both.
      plan: Plan of its steps.
      say: function that prints a line (str).
      choices: tuple of Choice, what `auto` chose, with the reasons.
      stream: text file for the progress of the steps; stderr if None.
      identity: dict, what a checkpoint must have in common with the run; None without
        a workdir.
    """

    config: Config
    strategy: tf.distribute.Strategy
    model: keras.Model
    source: object
    probe_source: object
    batches: Batches
    plan: Plan
    say: Callable
    choices: tuple = ()
    stream: object = None
    identity: dict | None = None

    @property
    def is_chief(self):
        """bool, whether this worker writes."""
        return is_chief(self.strategy)

    def execute(self, workdir, callbacks, command):
        """Execute all stages of the run.

        Args:
          workdir: Workdir, or None.
          callbacks: keras callbacks of the user's.
          command: str, for config.json.

        Returns:
          PretrainResult.
        """
        store = start = data = None
        replaces = False
        monitor = knn_monitor(self)
        self.say(self._cost_report())
        for choice in self.choices:
            if not choice.is_usual:
                self.say(choice.line())
        if self.plan.warmup_line():
            self.say(self.plan.warmup_line())
        if workdir is not None:
            store = self._open_store(workdir)
            data = describe_data(self.model, self.source, self.probe_source)
            replaces = workdir.replaces_untrained(self.config, data, self.source.files)
        begun = [] if store is None else store.paths()
        memory = self._require_memory(any(int(path.name[5:]) for path in begun))
        # Before anything is written: the source may not be there, or not fit.
        warm = self._warm_start(None if replaces else store)
        if workdir is not None:
            if replaces:
                self.say(
                    f"Replacing   the run in {workdir.path}, which ended before its "
                    "first checkpoint: nothing trained is lost"
                )
            if self.is_chief:
                workdir.claim(
                    self.config,
                    data,
                    command,
                    self.source.files,
                    {
                        "devices": [devices_text(self.strategy)],
                        **{choice.option: choice.record() for choice in self.choices},
                    },
                )
                for line in workdir.follow_images(self.config):
                    self.say(f"Images      {line}")
                keep_network(workdir.path, self.model.encoder, self.say)
                store.remove_unfinished()
                write_left_out(workdir.path / LEFT_OUT_FILE, *self._sources())
                if not replaces and not workdir.reads_as_before(self.source):
                    self.say(
                        "Pixels      an earlier version began this run: since then "
                        "files are read as people see them (turned upright, before a "
                        "background, 16 bits by their range), so some look different"
                    )
            self.identity = describe_run(self.config, data, self.model)
            self._keep_warm_start(workdir, store, warm)
            start = self._restore(store)
        require_same_run(
            self.strategy,
            self.config,
            versions(),
            self.source.fingerprint(),
            start.step if start else 0,
        )
        was_complete = start is not None and start.step == self.plan.total_steps
        if was_complete:
            records = read_metrics(workdir.path / METRICS_FILE)
        else:
            listed = self.is_chief and workdir and workdir.path / LEFT_OUT_FILE
            if listed:
                workdir.note_devices(devices_text(self.strategy))
            with left_out_listed(listed or None, *self._sources()), plain_errors():
                records = self._train(workdir, store, start, monitor, callbacks)
        if (
            self.is_chief
            and workdir is not None
            and not (was_complete and workdir.has(SUMMARY_FILE))
        ):
            write_summary(
                workdir,
                self.config,
                records,
                command=workdir.read()["command"],
                corrupt=self.source.corrupt,
            )
        return PretrainResult(
            model=self.model,
            encoder=self.model.encoder,
            metrics=records[-1] if records else {},
            history=records,
            config=self.config,
            workdir=None if workdir is None else workdir.path,
            memory=memory,
        )

    def _sources(self):
        return [s for s in (self.source, self.probe_source) if s is not None]

    def _cost_report(self):
        return cost_report(
            self.model,
            self._costs,
            global_batch_size=self.config.global_batch_size,
            total_steps=self.plan.total_steps,
        )

    @functools.cached_property
    def _costs(self):
        shape = self.config.data.image_shape(self.source.channels)
        return costs_of_views(self.model, shape)

    def speed(self):
        """Train some steps to measure them; the model is not to be used afterwards.

        Returns:
          StepSpeed.

        Raises:
          ConfigError: the run does not fit into the memory.
        """
        self._require_memory(has_trained=False)
        speed = StepSpeed(self.config.performance.steps_per_execution or 1)
        with plain_errors():
            batches = self.dataset(0, speed.steps)
            self.model.fit(
                batches, steps_per_epoch=speed.steps, callbacks=[speed], verbose=0
            )
        return speed

    def _require_memory(self, has_trained):
        """Print and return the peak memory of the run; refuse what does not fit."""
        config, machine = self.config, machine_of(self.strategy)

        def estimate_of(batch_size, micro_batch_size):
            return estimate(
                self.model,
                self._costs,
                global_batch_size=batch_size,
                micro_batch_size=micro_batch_size,
                image_bytes=self.batches.bytes_of_image(),
                decoding_bytes=self.batches.decoding_bytes(),
            )

        needs = estimate_of(config.global_batch_size, config.micro_batch_size)
        self.say(needs.line(machine))
        if config.performance.check_memory:
            require_fitting(
                estimate_of,
                machine,
                config=config,
                replicas=self.strategy.num_replicas_in_sync,
                can_split=can_split(self.model, config.micro_batch_norm),
                has_trained=has_trained,
            )
        return needs

    def _open_store(self, workdir):
        options = self.config.checkpoint
        kept_epochs = options.keep_every_epochs
        return open_store(
            self.strategy,
            workdir.path / CHECKPOINTS,
            keep=options.keep,
            keep_every_steps=kept_epochs and kept_epochs * self.plan.epoch_steps,
        )

    def _warm_start(self, store):
        """Load --init_from, unless the run continues from its own checkpoint."""
        if not self.config.init_from or (store is not None and store.paths()):
            return None
        check_same_network(self.config.encoder, self.config.init_from)
        result = warm_start(self.model, self.config.init_from, self.config.init_parts)
        self.say(result.table())
        return result

    def _keep_warm_start(self, workdir, store, result):
        """Save step 0, so that the run continues without the source of its weights."""
        if result is not None:
            if self.is_chief:
                write_warm_start(workdir.path, result)
            store.save(
                0,
                details=self.identity,
                model=self.model,
                optimizer=self.model.optimizer,
            )

    def _restore(self, store):
        """Restore the checkpoint from which this run continues; None without one."""
        checkpoint = find_start(store, self.identity)
        if checkpoint is None:
            return None
        checkpoint.restore(model=self.model, optimizer=self.model.optimizer)
        left = self.plan.total_steps - checkpoint.step
        self.say(
            f"Continuing  from step {checkpoint.step:,} ({checkpoint.path}): "
            + (
                f"{left:,} steps left"
                if left
                else "the run is complete, nothing is left to do"
            )
        )
        return checkpoint

    def _train(self, workdir, store, start, monitor, callbacks):
        with RunCallbacks(self, workdir, store, start, monitor, callbacks) as used:
            for first, last, steps in durations.segments(
                used.clock.step, self.plan.total_steps, self.plan.epoch_steps
            ):
                batches = self.dataset(first, last, used.meter.measure)
                self._fit(batches, first, last, steps, used.in_order)
        return used.log.records

    def _fit(self, batches, first, last, steps, callbacks):
        epoch = first // self.plan.epoch_steps
        self.model.fit(
            batches,
            initial_epoch=epoch,
            epochs=epoch + (last - first) // steps,
            steps_per_epoch=steps,
            callbacks=callbacks,
            verbose=0,
        )

    def dataset(self, first, last, observed=lambda batches: batches):
        """Make the data set of some steps, each replica with its rows of their batches.

        Args:
          first, last: int, the batches `first` .. `last - 1` of the run.
          observed: function of a worker's tf.data.Dataset to one of the same elements.

        Returns:
          tf.data.Dataset, or a distributed one.
        """
        return distribute_batches(
            self.strategy,
            lambda worker, workers: observed(
                self.batches.between(first, last, worker, workers)
            ),
        )
