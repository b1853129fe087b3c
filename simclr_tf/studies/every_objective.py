"""Every objective on the same images: for equal epochs, and for equal minutes."""

from simclr_tf.objectives import OBJECTIVES
from simclr_tf.studies.study import Cell, Chart, PaperNumbers, Point, Study

EQUAL_IMAGES, EQUAL_MINUTES = "equal images", "equal minutes"
MINUTES = {"small": 2.0, "medium": 60.0}  # None at the paper's size.
_LINEAR_HEAD = {
    "projection_head.kind": "linear",
    "projection_head.batch_norm": False,
}
_WIDE_HEAD = {"projection_head.num_layers": 3, "projection_head.out_features": 512}
# Objective -> options on small images with the narrow network of the presets for two
# CPU cores, where an objective's own defaults (its paper's, for ImageNet) do not fit.
# Chosen by short runs, on training images that were held out.
SMALL_IMAGES = {
    "nt_logistic": {"objective.temperature": 0.5, "objective.semi_hard": True},
    "margin_triplet": {"objective.semi_hard": True},
    "dcl": {"objective.temperature": 0.2},
    "dclw": {"objective.temperature": 0.2},
    "sup_con": {"objective.temperature": 0.1},
    "barlow_twins": _WIDE_HEAD,
    "vicreg": _WIDE_HEAD,
    "moco": {
        "objective.temperature": 0.2,
        "objective.queue_length": 4096,
        "objective.target_momentum": 0.99,
        "projection_head.batch_norm": False,
    },
    "instance_discrimination": {
        "objective.temperature": 0.1,
        "objective.negatives": 0,
        **_LINEAR_HEAD,
    },
    "simsiam": {
        "objective.predictor_features": 128,
        "projection_head.out_features": 512,
    },
    "byol": {"objective.predictor_features": 512, "objective.target_momentum": 0.99},
    "swav": {"objective.prototypes": 128, "objective.small_views": 0},
    "dino": {
        "objective.outputs": 1024,
        "objective.small_views": 0,
        "objective.target_momentum": 0.99,
        "objective.teacher_warmup_epochs": 3.0,
    },
}


def changes_for(name, budget):
    """List the options of an objective at a budget, as dotted options.

    Example:
      >>> changes_for("byol", "paper")
      {'objective.name': 'byol'}
    """
    small = SMALL_IMAGES.get(name, {}) if budget != "paper" else {}
    return {"objective.name": name, **small}


def cells(base, budget):
    """List every objective of the registry twice, and what they must surpass."""
    lengths = {EQUAL_IMAGES: {}}
    if budget in MINUTES:
        lengths[EQUAL_MINUTES] = {"minutes": MINUTES[budget]}
    baselines = Cell(
        "baselines",
        (
            Point("linear_raw_pixels", EQUAL_IMAGES, "raw pixels"),
            Point("linear_untrained", EQUAL_IMAGES, "untrained"),
        ),
        work="baselines",
    )
    return (
        baselines,
        *(
            Cell(
                f"{name}-{length.replace(' ', '_')}",
                (Point("linear", length, name),),
                {**changes_for(name, budget), **changes},
            )
            for length, changes in lengths.items()
            for name in OBJECTIVES
        ),
    )


# Linear top-1 of ImageNet in the benchmarks of the library lightly.
_LIGHTLY = {
    "nt_xent": 63.2,
    "dcl": 65.1,
    "dclw": 64.5,
    "barlow_twins": 62.9,
    "vicreg": 63.0,
    "moco": 61.5,
    "byol": 62.5,
    "swav": 67.2,
    "dino": 68.2,
}

STUDY = Study(
    name="objectives",
    title="Objectives at equal images and at equal minutes",
    question="Which objective learns most from the same images, in the same epochs or "
    "in the same time?",
    cells=cells,
    figure=Chart("bars", "objective", "linear probe (%)"),
    paper=PaperNumbers(
        "benchmarks of lightly",
        "ImageNet, ResNet-50, 100 epochs, batch 256, linear top-1; swav and dino see "
        "small views too, where ours see two views as all others do at small and "
        "medium. sup_con learns from the labels.",
        {(EQUAL_IMAGES, name): value for name, value in _LIGHTLY.items()},
    ),
    base={"small": {"epochs": 12, "optimizer.warmup_epochs": 1}},
)
