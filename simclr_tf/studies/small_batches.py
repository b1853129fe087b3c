"""Memories, clusters and averaged networks against small batches (DCL, Table 2)."""

from simclr_tf.config.schema import override
from simclr_tf.studies.batch_and_epochs import scaled_from
from simclr_tf.studies.every_objective import changes_for
from simclr_tf.studies.study import Cell, Chart, PaperNumbers, Point, Study

BATCHES = {
    "small": (16, 32, 64, 128, 256, 512),
    "medium": (16, 32, 64, 128, 256, 512),
    "paper": (32, 64, 128, 256, 512, 1024),
}
OBJECTIVES_COMPARED = (
    "nt_xent",
    "dcl",
    "moco",
    "instance_discrimination",
    "swav",
    "byol",
)
_GROUP = 4  # Images of a group of the keys' batch norm, at least.


def changes_at(name, batch, budget, base):
    """List the options of an objective at a batch size, as dotted options.

    The learning rate grows with the square root of the batch, and a target is the
    average of equally many images: its momentum is that of the base's batch to the
    power of batch / (the base's batch).

    Example:
      >>> from simclr_tf.config.presets import get_preset
      >>> found = changes_at("byol", 32, "small", get_preset("demo"))
      >>> round(found["optimizer.base_learning_rate"] * 32**0.5 / 8e-3, 6)
      0.5
      >>> round(found["objective.target_momentum"] ** 4, 6)
      0.97
    """
    changes = changes_for(name, budget)
    chosen = override(base, changes)
    changes = {
        **changes,
        "global_batch_size": batch,
        **scaled_from(chosen, "sqrt"),
    }
    share = batch / base.global_batch_size
    momentum = getattr(chosen.objective, "target_momentum", None)
    if momentum is not None:
        changes["objective.target_momentum"] = momentum**share
    if name == "moco":
        changes["objective.batch_norm_groups"] = min(8, batch // _GROUP)
    return changes


def cells(base, budget):
    """List every objective with every batch size, for equally many images."""
    return tuple(
        Cell(
            f"{name}-batch{batch}",
            (Point("linear", name, batch),),
            changes_at(name, batch, budget, base),
        )
        for name in OBJECTIVES_COMPARED
        for batch in BATCHES[budget]
    )


STUDY = Study(
    name="small_batches",
    title="Small batches: does a memory replace a batch?",
    question="Does a memory, a cluster or an averaged network replace a large batch?",
    cells=cells,
    figure=Chart("lines", "batch size", "linear probe (%)", is_logarithmic=True),
    paper=PaperNumbers(
        "decoupled contrastive learning, its code",
        "CIFAR-10, ResNet-18, 100 epochs, kNN, the authors' numbers for NT-Xent and "
        "DCL. In ours the learning rate grows with the square root of the batch, and a "
        "target is the average of equally many images.",
        {
            (name, batch): value
            for name, values in (
                ("nt_xent", (78.3, 81.5, 83.1, 83.3)),
                ("dcl", (84.6, 85.6, 85.6, 85.4)),
            )
            for batch, value in zip((32, 64, 128, 256), values, strict=True)
        },
    ),
    base={"small": {"epochs": 12, "optimizer.warmup_epochs": 1}},
)
