"""Every option of every verb, once: its default, help, unit and check.

Frozen dataclasses; flags, help, config.json and the reports' tables follow from them.
Start with `pretrain.py`; `schema.py` is what an option is. Nothing here imports
TensorFlow, so that `--help` is instant.
"""

from simclr_tf.config.data import AugmentConfig, DataConfig
from simclr_tf.config.pretrain import (
    CheckpointConfig,
    Config,
    OptimizerConfig,
    PerformanceConfig,
    ProbeConfig,
    ProjectionHeadConfig,
    from_dict,
)

__all__ = [
    "AugmentConfig",
    "CheckpointConfig",
    "Config",
    "DataConfig",
    "OptimizerConfig",
    "PerformanceConfig",
    "ProbeConfig",
    "ProjectionHeadConfig",
    "from_dict",
]
