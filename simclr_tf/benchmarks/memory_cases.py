"""Benchmark: peak memory of runs, as they estimate it and as it is; time of a step."""

import functools
import statistics

import numpy as np

from simclr_tf.benchmarks.measuring import Case, Variant
from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override
from simclr_tf.training.run import pretrain_from_config

STEPS = 5  # The first one, which traces, is not timed.
# Preset, pixels, batch, micro-batch: what a machine with 8 GB can do.
_PRESETS = (
    ("demo", 32, 128, None),
    ("demo", 64, 128, None),
    ("demo", 32, 1024, None),
    ("demo", 32, 1024, 128),
    ("cifar10_resnet18", 32, 128, None),
    ("cifar10_resnet18", 64, 64, None),
    ("imagenet_resnet50_v1", 224, 16, None),
    ("imagenet_resnet50_v1", 224, 16, 4),
)
# Encoder, pixels, stem: the same batch for all, so that they can be compared.
_ENCODERS = tuple(
    (encoder, pixels, stem)
    for encoder in ("resnet18", "resnet50")
    for pixels, stem in (
        (32, "cifar"),
        (64, "cifar"),
        (96, "imagenet"),
        (224, "imagenet"),
    )
)
_BATCH, _MICRO_BATCH = 32, 8


def cases(config, folder):
    """Return a case a preset and size, and a case an encoder and size.

    Args:
      config: BenchmarkConfig, for its precision.
      folder: not used.

    Returns:
      list of Case.
    """
    found = [
        _case(
            f"{preset}, {pixels} px", get_preset(preset), pixels, batch, micro, config
        )
        for preset, pixels, batch, micro in _PRESETS
    ]
    for encoder, pixels, stem in _ENCODERS:
        options = override(
            get_preset("cifar10_resnet18"), {"encoder": {"name": encoder, "stem": stem}}
        )
        name = f"{encoder}, stem {stem}, {pixels} px"
        found += [
            _case(name, options, pixels, _BATCH, micro, config)
            for micro in (None, _MICRO_BATCH)
        ]
    return found


def _case(name, options, pixels, batch, micro, config):
    parts = "" if micro is None else f", micro-batches of {micro}"
    changes = {
        "steps": STEPS,
        "global_batch_size": batch,
        "micro_batch_size": micro,
        "precision": config.precision,
        "data.image_size_pixels": pixels,
        "optimizer.warmup_epochs": 0,
    }
    run = functools.partial(_run, override(options, changes))
    return Case(
        f"{name}, batch {batch}{parts}",
        (Variant(config.precision, lambda: run),),
        batch,
        "images",
    )


def _run(options):
    """Return (bytes that a run expects, its seconds a step), of epochs of one step."""
    size = options.data.image_size_pixels
    shape = (options.global_batch_size, size, size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    result = pretrain_from_config(options, data=images, say=lambda line: None)
    speeds = [epoch["images_per_second"] for epoch in result.history[1:]]
    return result.memory.total, options.global_batch_size / statistics.median(speeds)
