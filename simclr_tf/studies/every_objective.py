"""Every objective on the same images: for equal epochs, and for equal minutes."""

from simclr_tf.config.small_images import small_image_options
from simclr_tf.objectives import OBJECTIVES
from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

EQUAL_IMAGES, EQUAL_MINUTES = "equal images", "equal minutes"
MINUTES = {"small": 2.0, "medium": 60.0}  # None at the paper's size.


WITH_MEMORY = "nt_xent_memory"  # SimCLRv2's queue; at "small" as long as MoCo's.
_MEMORIES = {"paper": (65_536, 0.999), "small": (1024, 0.95), "medium": (1024, 0.95)}


def changes_for(name, budget):
    """List the options of an objective at a budget, as dotted options.

    Example:
      >>> changes_for("byol", "paper")
      {'objective.name': 'byol'}
    """
    if name == WITH_MEMORY:
        size, momentum = _MEMORIES[budget]
        memory = {"memory_size": size, "memory_momentum": momentum}
        changes = changes_for("nt_xent", budget)
        return changes | {f"objective.{key}": value for key, value in memory.items()}
    if budget == "paper":
        return {"objective.name": name}
    return small_image_options(name)


def cells(base, budget):
    """List every objective of the registry twice, and what they must surpass."""
    lengths = {EQUAL_IMAGES: {}}
    if budget in MINUTES:
        lengths[EQUAL_MINUTES] = {"minutes": MINUTES[budget]}
    return (
        *baselines(budget),
        *(
            Cell(
                f"{name}-{length.replace(' ', '_')}",
                (Point("linear", length, name),),
                {**changes_for(name, budget), **changes},
            )
            for length, changes in lengths.items()
            for name in ("nt_xent", WITH_MEMORY, *list(OBJECTIVES)[1:])
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
    base={"small": {"epochs": 30, "optimizer.warmup_epochs": 1}},
)
