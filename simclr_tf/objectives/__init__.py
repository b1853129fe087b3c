"""What is learned: one file an objective, listed in `OBJECTIVES`.

`objective.py` is what an objective has to be; `nt_xent.py` is SimCLR's own. Importing
this package loads no TensorFlow.
"""

from simclr_tf.objectives.margin_triplet import MarginTriplet
from simclr_tf.objectives.nt_logistic import NTLogistic
from simclr_tf.objectives.nt_xent import NTXent

OBJECTIVES = {
    "nt_xent": NTXent,
    "nt_logistic": NTLogistic,
    "margin_triplet": MarginTriplet,
}

__all__ = ["MarginTriplet", "NTLogistic", "NTXent", "OBJECTIVES"]
