"""Does a memory replace a batch? Objectives with and without one, at small batches."""

from simclr_tf.config.schema import override
from simclr_tf.config.small_images import small_image_options
from simclr_tf.studies.batch_and_epochs import scaled_from
from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

OBJECTIVES = ("nt_xent", "dcl", "moco", "instance_discrimination", "swav", "byol")
BATCHES = (16, 32, 64, 128, 256, 512)
_TUNED_BATCH = 128  # Of the options for small images.


def options_at(name, batch, base, budget):
    """List the options of an objective at a batch size, as dotted options.

    The learning rate grows with the square root of the batch. Averaged networks forget
    a picture after as many pictures at every batch. SwAV has its queue where the batch
    alone is less than its clusters.

    Example:
      >>> from simclr_tf.config.presets import get_preset
      >>> found = options_at("byol", 64, get_preset("demo"), "small")
      >>> round(found["objective.target_momentum"] ** 2, 6)
      0.97
    """
    if budget == "paper":
        changes = {"objective.name": name}
    else:
        changes = small_image_options(name)
        momentum = changes.get("objective.target_momentum")
        if momentum is not None:
            changes["objective.target_momentum"] = momentum ** (batch / _TUNED_BATCH)
        if name == "moco":  # Parts of 16 pictures; two at least, so that keys differ.
            changes["objective.batch_norm_groups"] = max(2, batch // 16)
        if name == "swav" and batch < changes["objective.prototypes"]:
            changes["objective.queue_length"] = 2 * changes["objective.prototypes"]
            changes["objective.queue_start_epoch"] = 1
    rate = scaled_from(override(base, changes), "sqrt")
    return {**changes, **rate, "global_batch_size": batch}


def cells(base, budget):
    """List every objective at every batch size."""
    batches = (
        Cell(
            f"{name}-batch{batch}",
            (Point("linear", name, batch),),
            options_at(name, batch, base, budget),
        )
        for batch in BATCHES
        for name in OBJECTIVES
    )
    return (*baselines(budget), *batches)


# Batch -> NT-Xent and DCL.
_CIFAR10 = {32: (78.3, 84.6), 64: (81.5, 85.6), 128: (83.1, 85.6), 256: (83.3, 85.4)}

STUDY = Study(
    name="small_batches",
    title="Objectives at small batches",
    question="Does a memory replace a batch?",
    cells=cells,
    figure=Chart("lines", "batch size", "linear probe (%)", is_logarithmic=True),
    paper=PaperNumbers(
        "the authors of DCL, CIFAR-10",
        "CIFAR-10, ResNet-18, 100 epochs; two of the six objectives.",
        {
            (name, batch): value
            for batch, values in _CIFAR10.items()
            for name, value in zip(("nt_xent", "dcl"), values, strict=True)
        },
    ),
    base={"small": {"epochs": 12, "optimizer.warmup_epochs": 1}},
)
