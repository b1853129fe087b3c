"""What is learned: one file an objective, listed in `OBJECTIVES`.

`objective.py` is what an objective has to be; `nt_xent.py` is SimCLR's own. Importing
this package loads no TensorFlow.
"""

from simclr_tf.objectives.margin_triplet import MarginTriplet
from simclr_tf.objectives.nt_logistic import NTLogistic
from simclr_tf.objectives.nt_xent import NTXent
from simclr_tf.objectives.objective import (
    CONTRASTIVE_FIGURES,
    REPRESENTATION_FIGURES,
    Figure,
    Memory,
    Objective,
    Outputs,
    Setting,
    figures_of,
    objective_of,
)

OBJECTIVES = {
    "nt_xent": NTXent,
    "nt_logistic": NTLogistic,
    "margin_triplet": MarginTriplet,
}

__all__ = [
    "CONTRASTIVE_FIGURES",
    "Figure",
    "MarginTriplet",
    "Memory",
    "NTLogistic",
    "NTXent",
    "OBJECTIVES",
    "Objective",
    "Outputs",
    "REPRESENTATION_FIGURES",
    "Setting",
    "figures_of",
    "objective_of",
]
