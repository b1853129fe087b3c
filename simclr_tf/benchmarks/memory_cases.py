"""Benchmark: the peak memory of presets, as a run estimates it and as it is."""

import numpy as np

from simclr_tf.benchmarks.measuring import Case, Variant
from simclr_tf.config.presets import get_preset
from simclr_tf.config.schema import override
from simclr_tf.training.run import pretrain_from_config

STEPS = 3
# Preset, pixels, batch, micro-batch: what a machine with 8 GB can do.
_RUNS = (
    ("demo", 32, 128, None),
    ("demo", 64, 128, None),
    ("demo", 32, 1024, None),
    ("demo", 32, 1024, 128),
    ("cifar10_resnet18", 32, 128, None),
    ("cifar10_resnet18", 64, 64, None),
    ("imagenet_resnet50_v1", 224, 16, None),
    ("imagenet_resnet50_v1", 224, 16, 4),
)


def cases(config, folder):
    """Return a case a preset and size, in the precision of the config.

    Args:
      config: BenchmarkConfig.
      folder: not used.

    Returns:
      list of Case.
    """
    found = []
    for preset, pixels, batch, micro in _RUNS:
        parts = "" if micro is None else f", micro-batches of {micro}"
        make = _maker(config.precision, preset, pixels, batch, micro)
        found.append(
            Case(
                f"{preset}, {pixels} px, batch {batch}{parts}",
                (Variant(config.precision, make),),
                STEPS * batch,
                "images",
            )
        )
    return found


def _maker(precision, preset, pixels, batch, micro):
    def make():
        run_config = override(
            get_preset(preset),
            {
                "steps": STEPS,
                "global_batch_size": batch,
                "micro_batch_size": micro,
                "precision": precision,
                "data.image_size_pixels": pixels,
                "optimizer.warmup_epochs": 0,
            },
        )
        shape = (batch, pixels, pixels, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

        def work():
            return pretrain_from_config(
                run_config, data=images, say=lambda line: None
            ).memory.total

        return work

    return make
