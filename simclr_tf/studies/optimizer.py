"""LARS, SGD and AdamW across batch sizes (section 2.2)."""

from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

BATCHES = {
    "small": (64, 128, 512),
    "medium": (64, 128, 256, 512, 1024),
    "paper": (256, 1024, 4096, 8192),
}
# Optimizer -> (scaling, base learning rates to tune over, weight decay).
SMALL_IMAGES = {
    "lars": ("linear", (0.5, 2.0), 1e-4),
    "sgd": ("linear", (0.03, 0.12), 1e-4),
    "adamw": ("sqrt", (2e-4, 7e-4), 0.05),
}
PAPER = {
    "lars": ("linear", (0.3,), 1e-6),
    "sgd": ("linear", (0.03, 0.1), 1e-6),
    "adamw": ("sqrt", (2e-5, 6e-5), 0.05),
}
_TITLES = {"lars": "LARS", "sgd": "SGD", "adamw": "AdamW"}


def cells(base, budget):
    """List every optimizer with every batch size, over its own learning rates."""
    made = []
    for name, (scaling, rates, decay) in (
        PAPER if budget == "paper" else SMALL_IMAGES
    ).items():
        for batch in BATCHES[budget]:
            for rate in rates:
                made.append(
                    Cell(
                        f"{name}-batch{batch}-rate{rate:g}",
                        (Point("linear", _TITLES[name], batch),),
                        {
                            "optimizer.name": name,
                            "optimizer.scaling": scaling,
                            "optimizer.base_learning_rate": rate,
                            "optimizer.weight_decay": decay,
                            "global_batch_size": batch,
                        },
                    )
                )
    return (*baselines(budget), *made)


STUDY = Study(
    name="optimizer",
    title="Optimizers across batch sizes",
    question="Does a large batch need LARS?",
    cells=cells,
    figure=Chart("lines", "batch size", "linear probe (%)", is_logarithmic=True),
    paper=PaperNumbers(
        "Section 2.2, Table B.1",
        "The paper uses LARS throughout, because SGD with a linearly scaled learning "
        "rate is unstable at large batches, and tabulates no other optimizer. LARS: "
        "Table B.1, 100 epochs, linear scaling (ImageNet, ResNet-50).",
        {
            ("LARS", 256): 57.5,
            ("LARS", 512): 60.7,
            ("LARS", 1024): 62.8,
            ("LARS", 2048): 64.0,
            ("LARS", 4096): 64.6,
            ("LARS", 8192): 64.8,
        },
    ),
    base={"small": {"epochs": 6}},
)
