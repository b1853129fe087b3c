"""What a run is built of, and what is measured first, on throwaway models."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.data import StreamSource
from simclr_tf.distribution import largest_over_workers
from simclr_tf.training import assembly
from simclr_tf.training.batches import Batches
from simclr_tf.training.compilation import choose_compilation, compiled_by_keras
from simclr_tf.training.keras_files import kept_network
from simclr_tf.training.precision import choose_precision
from simclr_tf.training.stages import PretrainingRun
from simclr_tf.training.step_clock import plan_run
from simclr_tf.training.time_budget import (
    length_line,
    with_kept_length,
    with_length,
)
from simclr_tf.training.workdir import CONFIG_FILE, Workdir

LOG = logging.getLogger("simclr_tf")
_TRIAL_STEPS = 10**6  # Of the schedule that the steps have whose speed is measured.


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Runs of any config on the same images and devices.

    Attributes:
      strategy: tf.distribute.Strategy.
      sources: (Source of the training images, that of the online probe or None).
      encoder: keras.Model of the user's; None: that of the config.
      place: Workdir, or None.
      say: function that prints a line (str).
    """

    strategy: tf.distribute.Strategy
    sources: tuple
    encoder: keras.Model | None
    place: Workdir | None
    say: Callable[[str], None]

    def compilation(self, config):
        """Choose whether XLA compiles the step; on a GPU both ways are tried.

        Args:
          config: Config.

        Returns:
          simclr_tf.training.choices.Choice.
        """
        begun = None
        if self.place is not None and self.place.has_trained():
            begun = self.place.config().jit_compile
            begun = "false" if begun == "auto" else begun  # Of an earlier version.

        def step_seconds(name):
            self.say(f"Compiled    measuring some steps with --jit_compile={name}")
            _, step = self._speed_of_steps(
                dataclasses.replace(config, jit_compile=name)
            )
            return step

        return choose_compilation(
            config.jit_compile, self.strategy, begun, step_seconds
        )

    def with_length(self, config):
        """Return the config with the length that `minutes` come to, now or before.

        Args:
          config: Config with `minutes`.

        Returns:
          Config.
        """
        began = time.perf_counter()
        is_begun = self.place is not None and self.place.has_trained()
        former = self.place.config() if is_begun else None
        kept = with_kept_length(config, former)
        if kept is not None:
            return kept
        if former is not None and former.minutes is None:
            return config  # Another run is there: the claim will say so.
        self.say(
            "Length      measuring the speed of some steps, for "
            f"{config.minutes:g} minutes"
        )
        source = self.sources[0]
        compiling, step = self._speed_of_steps(config)
        taken = largest_over_workers(self.strategy, int(time.perf_counter() - began))
        config = with_length(
            config,
            plan_run(dataclasses.replace(config, steps=_TRIAL_STEPS), source),
            step_seconds=step,
            left_seconds=60 * config.minutes - taken - compiling,
            is_endless=source.num_examples is None,
        )
        self.say(length_line(config, plan_run(config, source), step))
        return config

    def _speed_of_steps(self, config):
        """Train a throwaway model for some steps.

        Returns:
          (seconds to compile, seconds of a step), of the slowest worker.
        """
        config = dataclasses.replace(config, steps=_TRIAL_STEPS)
        before = None if self.encoder is None else self.encoder.get_weights()
        silent = dataclasses.replace(self, say=lambda line: None)
        run = silent.run_of(config, plan_run(config, self.sources[0]))
        try:
            return run.speed().of_all_workers(self.strategy)
        finally:
            if before is not None:
                self.encoder.set_weights(before)
            keras.backend.reset_uids()  # The layers' names are those of any other run.

    def run_of(self, config, plan, stream=None):
        """Build the model and the batches of a run, in this machine's precision.

        Args:
          config: Config.
          plan: Plan of its steps.
          stream: text file for the progress of the steps; stderr if None.

        Returns:
          PretrainingRun.
        """
        source, probe_source = self.sources
        encoder, place, begun = self.encoder, self.place, None
        if place is not None and place.has(CONFIG_FILE):
            begun = place.config().precision
        precision = choose_precision(config.precision, self.strategy, begun)
        config = dataclasses.replace(config, precision=precision.name)
        with self.strategy.scope():
            is_custom = config.encoder.name == "custom"
            if encoder is None and place is not None and is_custom:
                encoder = kept_network(place)
            model = self._compiled_model(config, plan, encoder)
        replicas = self.strategy.num_replicas_in_sync
        batches = Batches(config, source, model.views_of.plan, probe_source, replicas)
        return PretrainingRun(
            config,
            self.strategy,
            model,
            source,
            probe_source,
            batches,
            plan,
            self.say,
            choices=(precision,),
            stream=stream,
        )

    def _compiled_model(self, config, plan, encoder):
        source, probe_source = self.sources
        labelled = probe_source or source
        if config.probe.online and labelled.has_labels and not labelled.num_classes:
            LOG.info(
                "The number of classes of %s is not known beforehand: there is no "
                "online probe. Use --probe.data for one.",
                labelled.name,
            )
        model = assembly.build_model(
            config,
            config.data.image_shape(source.channels),
            num_classes=labelled.num_classes or None,
            encoder=encoder,
            synchronized=self.strategy.num_replicas_in_sync > 1,
            num_examples=source.num_examples,
            is_stream=isinstance(source, StreamSource),
            total_steps=plan.total_steps,
            epoch_steps=plan.epoch_steps,
        )
        optimizer = assembly.build_optimizer(
            config, model, warmup_steps=plan.warmup_steps, total_steps=plan.total_steps
        )
        model.compile(
            optimizer=optimizer,
            steps_per_execution=config.performance.steps_per_execution or 1,
            jit_compile=compiled_by_keras(config.jit_compile, self.strategy),
        )
        return model
