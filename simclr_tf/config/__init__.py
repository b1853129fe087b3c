"""Options of every verb, each declared once: default, help, unit and check.

Frozen dataclasses; flags, help, config.json and the reports' tables follow from them.
Start with `pretrain.py`; `schema.py` has the parts of an option. Nothing here imports
TensorFlow, so that `--help` is instant.
"""

from typing import TYPE_CHECKING

from simclr_tf.lazy import public_names

if TYPE_CHECKING:
    from simclr_tf.config.data import AugmentConfig as AugmentConfig
    from simclr_tf.config.data import DataConfig as DataConfig
    from simclr_tf.config.pretrain import Config as Config
    from simclr_tf.config.pretrain import from_dict as from_dict
    from simclr_tf.config.training_sections import CheckpointConfig as CheckpointConfig
    from simclr_tf.config.training_sections import OptimizerConfig as OptimizerConfig
    from simclr_tf.config.training_sections import (
        PerformanceConfig as PerformanceConfig,
    )
    from simclr_tf.config.training_sections import ProbeConfig as ProbeConfig
    from simclr_tf.config.training_sections import (
        ProjectionHeadConfig as ProjectionHeadConfig,
    )

__all__ = public_names(__name__, __file__)
