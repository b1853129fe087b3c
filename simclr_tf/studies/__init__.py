"""The paper's ablations as data, and what runs them.

Importing this package imports no TensorFlow: `runner`, which does, is imported by
those who run something.
"""

from simclr_tf.studies.budgets import BUDGETS, base_config
from simclr_tf.studies.catalogue import STUDIES, get_study
from simclr_tf.studies.study import (
    Cell,
    Figure,
    PaperNumbers,
    Point,
    Run,
    Study,
    runs_of,
    shard_of,
)

__all__ = [
    "BUDGETS",
    "Cell",
    "Figure",
    "PaperNumbers",
    "Point",
    "Run",
    "STUDIES",
    "Study",
    "base_config",
    "get_study",
    "runs_of",
    "shard_of",
]
