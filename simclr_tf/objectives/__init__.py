"""Objectives (losses with their state): one file each, listed in `OBJECTIVES`.

`objective.py` is what an objective has to be; `nt_xent.py` is SimCLR's own. Importing
this package loads no TensorFlow.
"""

from simclr_tf.objectives.barlow_twins import BarlowTwins
from simclr_tf.objectives.byol import BYOL
from simclr_tf.objectives.dcl import DCL, DCLW
from simclr_tf.objectives.dino import DINO
from simclr_tf.objectives.instance_discrimination import InstanceDiscrimination
from simclr_tf.objectives.margin_triplet import MarginTriplet
from simclr_tf.objectives.moco import MoCo
from simclr_tf.objectives.moco_v3 import MoCoV3
from simclr_tf.objectives.nnclr import NNCLR
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
from simclr_tf.objectives.simsiam import SimSiam
from simclr_tf.objectives.sup_con import SupCon
from simclr_tf.objectives.swav import SwAV
from simclr_tf.objectives.vicreg import VICReg

OBJECTIVES = {
    "nt_xent": NTXent,
    "nt_logistic": NTLogistic,
    "margin_triplet": MarginTriplet,
    "dcl": DCL,
    "dclw": DCLW,
    "sup_con": SupCon,
    "barlow_twins": BarlowTwins,
    "vicreg": VICReg,
    "moco": MoCo,
    "moco_v3": MoCoV3,
    "nnclr": NNCLR,
    "instance_discrimination": InstanceDiscrimination,
    "simsiam": SimSiam,
    "byol": BYOL,
    "swav": SwAV,
    "dino": DINO,
}

__all__ = [
    "BYOL",
    "BarlowTwins",
    "CONTRASTIVE_FIGURES",
    "DCL",
    "DCLW",
    "DINO",
    "Figure",
    "InstanceDiscrimination",
    "MarginTriplet",
    "Memory",
    "MoCo",
    "MoCoV3",
    "NNCLR",
    "NTLogistic",
    "NTXent",
    "OBJECTIVES",
    "Objective",
    "Outputs",
    "REPRESENTATION_FIGURES",
    "Setting",
    "SimSiam",
    "SupCon",
    "SwAV",
    "VICReg",
    "figures_of",
    "objective_of",
]
