"""Every objective on the same images, for equal images and for equal minutes."""

from simclr_tf.config.schema import guest_options
from simclr_tf.objectives import OBJECTIVES
from simclr_tf.studies.study import Cell, Chart, PaperNumbers, Point, Study

EQUAL_IMAGES, EQUAL_MINUTES = "equal images", "equal minutes"
# Minutes of each training of the second half, by budget.
MINUTES = {"small": 2.0, "medium": 10.0, "paper": 24.0 * 60}
# Objective -> the options that differ from its defaults (those of the paper, for
# ImageNet) on small images, with the narrow network of the presets for two CPU cores.
# Chosen by short runs, on training images that were held out.
SMALL_IMAGES = {
    "nt_xent": {},
    "nt_logistic": {},
    "margin_triplet": {},
    "dcl": {},
    "dclw": {},
    "sup_con": {},
    "barlow_twins": {},
    "vicreg": {},
    "moco": {},
    "instance_discrimination": {},
    "simsiam": {},
    "byol": {},
    "swav": {},
    "dino": {},
}
