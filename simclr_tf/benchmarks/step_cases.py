"""Benchmark: the training step alone, and pretraining from a data set beside it."""

import functools
import time

import numpy as np
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.benchmarks.measuring import Case, Timed, Variant
from simclr_tf.benchmarks.view_cases import random_images
from simclr_tf.config import Config
from simclr_tf.config.image_size import size_text
from simclr_tf.config.schema import override
from simclr_tf.config.small_images import small_image_options
from simclr_tf.models.encoders import family_of
from simclr_tf.objectives import OBJECTIVES
from simclr_tf.training import assembly
from simclr_tf.training.batches import Batches, open_training_source
from simclr_tf.training.data_wait import WaitMeter

BARE, PRETRAINING = "the bare step", "pretraining"
_STEPS = 1_000_000  # Of the schedules; few of them are done.
_IMAGES = 50_000  # Of the data set, for objectives that ask, where none is read.


def step_cases(config, folder):
    """Return one case: precisions and kinds of batch norm of the same step.

    Args:
      config: BenchmarkConfig.
      folder: not used.

    Returns:
      list of Case.
    """
    return [
        Case(
            f"{_network(config)}, batch {config.batch_size}, "
            f"{size_text(config.image_size_pixels)} px",
            (
                Variant(
                    "float32, unfused batch norm",
                    lambda: _step(config, "float32", fused=False),
                ),
                Variant("float32", lambda: _step(config, "float32")),
                *(
                    Variant(
                        f"{precision}, TensorFlow's gradients of kernels",
                        functools.partial(
                            _step, config, precision, own_gradients=False
                        ),
                    )
                    for precision in ("float32", "bfloat16")
                ),
                Variant("bfloat16", lambda: _step(config, "bfloat16")),
                *(
                    Variant(
                        f"{precision}, compiled by XLA",
                        functools.partial(_step, config, precision, compiled=True),
                    )
                    for precision in ("float32", "bfloat16")
                    if config.compiled
                ),
            ),
            config.batch_size,
            "images",
        )
    ]


def end_to_end_cases(config, folder):
    """Return one case: `fit` on the batches of a run, and its step on one batch.

    Args:
      config: BenchmarkConfig.
      folder: not used.

    Returns:
      list of Case.
    """
    # Built by the first variant that needs it: both train the same model.
    shared = {}

    def run():
        if not shared:
            options = run_config(config, config.precision)
            source = open_training_source(options)
            shared.update(
                config_of_run=options,
                source=source,
                model=compiled_model(options, source.channels),
            )
        return shared

    return [
        Case(
            _case_of_data(config),
            (
                Variant(BARE, lambda: _bare_steps(config, **run())),
                Variant(PRETRAINING, lambda: _fit(config, **run())),
            ),
            config.batches * config.batch_size,
            "images",
        )
    ]


def objective_cases(config, folder):
    """Return one case: a step with each objective, its views included.

    Args:
      config: BenchmarkConfig.
      folder: not used.

    Returns:
      list of Case.
    """

    def steps(name):
        options = override(
            run_config(config, config.precision),
            {**small_image_options(name), "data.labels": "auto"},
        )
        source = open_training_source(options)
        model = compiled_model(
            options,
            source.channels,
            num_examples=source.num_examples,
            total_steps=_STEPS,
            epoch_steps=source.num_examples // config.batch_size,
        )
        return _bare_steps(config, options, source, model)

    return [
        Case(
            _case_of_data(config),
            tuple(Variant(name, functools.partial(steps, name)) for name in OBJECTIVES),
            config.batches * config.batch_size,
            "images",
        )
    ]


def _case_of_data(config):
    return (
        f"{config.data}, {_network(config)}, batch {config.batch_size}, "
        f"{size_text(config.image_size_pixels)} px, {config.precision}"
    )


def _network(config):
    return family_of(config.encoder).describe(config.encoder, config.image_size_pixels)


def run_config(config, precision):
    """Return the Config of a pretraining with the sizes of a BenchmarkConfig."""
    return override(
        Config(),
        {
            "data": {
                "source": config.data,
                "labels": "none",
                "image_size_pixels": config.image_size_pixels,
            },
            "augment": {"recipe": config.recipe},
            "encoder": config.encoder,
            "objective": config.objective,
            "global_batch_size": config.batch_size,
            "precision": precision,
            "epochs": 1,
        },
    )


def compiled_model(options, channels=3, *, jit_compile=None, **known):
    """Build the model of a Config with its optimizer, in the strategy's scope.

    Args:
      options: Config.
      channels: int.
      jit_compile: True for a step that XLA compiles.
      **known: as for `assembly.build_model`, if a data set is read.

    Returns:
      PretrainingModel, compiled.
    """
    known = {
        "num_examples": _IMAGES,
        "total_steps": _STEPS,
        "epoch_steps": max(1, _IMAGES // options.global_batch_size),
        **known,
    }
    model = assembly.build_model(options, options.data.image_shape(channels), **known)
    model.compile(
        optimizer=assembly.build_optimizer(
            options, model, warmup_steps=10, total_steps=_STEPS
        ),
        jit_compile=jit_compile,
    )
    return model


def _step(config, precision, fused=True, compiled=False, own_gradients=True):
    jit_compile = compiled or None
    model = compiled_model(run_config(config, precision), jit_compile=jit_compile)
    if not fused:
        unfuse_batch_norm(model)
    if not own_gradients:
        model.uses_kernel_gradients = False
    shape = (config.batch_size, config.image_size_pixels)
    batch = {
        name: tf.constant(random_images(*shape, seed=seed) / np.float32(255))
        for seed, name in enumerate(("view_a", "view_b"))
    }
    step = tf.function(model.train_step, jit_compile=jit_compile)
    return lambda: float(step(batch)["loss"])


def unfuse_batch_norm(model):
    """Compute batch norm by separate means, differences and products.

    Args:
      model: SimCLR, whose step was not traced before.

    Returns:
      int, the layers that changed.
    """
    layers = [
        layer
        for part in (model.encoder, model.projection_head)
        for layer in part.submodules
        if isinstance(layer, keras.layers.BatchNormalization)
        and getattr(layer, "fused", False)
    ]
    for layer in layers:
        layer.fused = False
    return len(layers)


def _bare_steps(config, config_of_run, source, model):
    batches = Batches(config_of_run, source, model.views_of.plan)
    batch = next(iter(batches.between(0, 1)))
    # The program that `fit` runs, on a batch that is already in memory.
    step = model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())

    def work():
        for _ in range(config.batches):
            logs = step(batches)
        return float(logs["loss"])

    return work


def _fit(config, config_of_run, source, model):
    batches = Batches(config_of_run, source, model.views_of.plan)
    meter, laps = WaitMeter(), _EpochEnds()
    place = [0]

    def work():
        first, place[0] = place[0], place[0] + 2 * config.batches
        model.fit(
            meter.measure(batches.between(first, place[0])),
            epochs=2,
            steps_per_epoch=config.batches,
            callbacks=[meter, laps],
            verbose=0,
        )
        # A run starts its pipeline once: the first epoch is not counted.
        return Timed(laps.times[-1] - laps.times[-2])

    return work


class _EpochEnds(keras.callbacks.Callback):
    """Record the time at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter())
