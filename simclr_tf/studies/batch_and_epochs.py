"""Batch sizes, lengths, and how the learning rate follows (Figure 9, Table B.1)."""

from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

PAPER_BATCHES = (256, 512, 1024, 2048, 4096, 8192)
PAPER_EPOCHS = (100, 200, 400, 800)
BATCHES = {"small": (32, 128, 512), "medium": (32, 64, 128, 256, 512)}
EPOCHS = {"small": (2, 4, 8), "medium": (25, 50, 100)}
# Batch -> linear and square root scaling at 100, 200, 400 and 800 epochs.
_TABLE_B1 = {
    256: ((57.5, 61.9, 64.7, 66.6), (62.8, 64.3, 65.7, 66.5)),
    512: ((60.7, 64.0, 66.2, 67.8), (63.8, 65.6, 66.7, 67.4)),
    1024: ((62.8, 65.3, 67.2, 68.5), (64.3, 66.1, 67.2, 68.3)),
    2048: ((64.0, 66.1, 68.1, 68.9), (64.7, 66.8, 67.9, 68.8)),
    4096: ((64.6, 66.5, 68.2, 68.9), (64.5, 66.8, 68.0, 69.1)),
    8192: ((64.8, 66.6, 67.8, 69.0), (64.8, 67.0, 68.3, 69.1)),
}


def _series(epochs, scaling):
    return f"{epochs} epochs, {scaling}"


def peak_rate(optimizer, batch):
    """Scale the learning rate to a batch size."""
    factor = {"linear": batch / 256, "sqrt": batch**0.5, "none": 1.0}
    return optimizer.base_learning_rate * factor[optimizer.scaling]


def scaled_from(base, scaling):
    """Choose a scaling that keeps the learning rate at the batch of the base config.

    Example:
      >>> from simclr_tf.config.presets import get_preset
      >>> found = scaled_from(get_preset("imagenet_resnet50_v1"), "sqrt")
      >>> round(found["optimizer.base_learning_rate"], 6)  # 0.3 * 16 = 0.075 * 64
      0.075
    """
    batch = base.global_batch_size
    per_rate = {"linear": 256 / batch, "sqrt": batch**-0.5}[scaling]
    return {
        "optimizer.scaling": scaling,
        "optimizer.base_learning_rate": peak_rate(base.optimizer, batch) * per_rate,
    }


def cells(base, budget):
    """List every batch size with every length, in linear and in square root scaling.

    At the batch of the base config both are one training, and one cell.
    """
    made = list(baselines(budget))
    for batch in BATCHES.get(budget, PAPER_BATCHES):
        scalings = [("linear",), ("sqrt",)]
        if batch == base.global_batch_size:
            scalings = [("linear", "sqrt")]
        for epochs in EPOCHS.get(budget, PAPER_EPOCHS):
            for names in scalings:
                made.append(
                    Cell(
                        "-".join((f"batch{batch}", f"epochs{epochs}", *names)),
                        tuple(
                            Point("linear", _series(epochs, name), batch)
                            for name in names
                        ),
                        {
                            "global_batch_size": batch,
                            "epochs": epochs,
                            **scaled_from(base, names[0]),
                        },
                    )
                )
    return tuple(made)


STUDY = Study(
    name="batch_and_epochs",
    title="Batch size, epochs and the scaling of the learning rate",
    question="Do larger batches help, and does their gain vanish with longer training?",
    cells=cells,
    figure=Chart("lines", "batch size", "linear probe (%)", is_logarithmic=True),
    paper=PaperNumbers(
        "Figure 9 and Table B.1",
        "ImageNet, ResNet-50, LARS, batches of 256 to 8192 for 100 to 800 epochs; the "
        "two scalings agree at batch 4096, ours at the batch of the preset.",
        {
            (_series(epochs, scaling), batch): value
            for batch, values in _TABLE_B1.items()
            for scaling, of_scaling in zip(("linear", "sqrt"), values, strict=True)
            for epochs, value in zip(PAPER_EPOCHS, of_scaling, strict=True)
        },
    ),
)
