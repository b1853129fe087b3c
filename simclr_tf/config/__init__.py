"""Every option of every verb, once: its default, help, unit and check.

Frozen dataclasses; flags, help, config.json and the reports' tables follow from them.
Start with `pretrain.py`; `schema.py` is what an option is. Nothing here imports
TensorFlow, so that `--help` is instant.
"""

from simclr_tf.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "data": ("AugmentConfig", "DataConfig"),
        "pretrain": (
            "CheckpointConfig",
            "Config",
            "OptimizerConfig",
            "PerformanceConfig",
            "ProbeConfig",
            "ProjectionHeadConfig",
            "from_dict",
        ),
    },
)
