"""Temperatures, with projections of unit length and without (Table 5)."""

from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

# (l2 normalised, temperature) -> the paper's entropy, contrastive accuracy, top-1.
_TABLE_5 = {
    (True, 0.05): (1.0, 90.5, 59.7),
    (True, 0.1): (4.5, 87.8, 64.4),
    (True, 0.5): (8.2, 68.2, 60.7),
    (True, 1.0): (8.3, 59.1, 58.0),
    (False, 10.0): (0.5, 91.7, 57.2),
    (False, 100.0): (0.5, 92.1, 57.0),
}
_VALUES = {
    "contrastive_entropy": "entropy (nats)",
    "contrastive_accuracy": "contrastive accuracy (%)",
    "linear": "linear probe (%)",
}


def _place(normalized, temperature):
    return f"{'l2' if normalized else 'no l2'}, {temperature:g}"


def cells(base, budget):
    """List the six rows of the table."""
    rows = (
        Cell(
            f"{'l2' if normalized else 'no_l2'}-{temperature:g}",
            tuple(
                Point(value, title, _place(normalized, temperature))
                for value, title in _VALUES.items()
            ),
            {
                "objective.normalize": normalized,
                "objective.temperature": temperature,
            },
        )
        for normalized, temperature in _TABLE_5
    )
    return (*baselines(budget), *rows)


STUDY = Study(
    name="temperature",
    title="Temperature and l2 normalisation",
    question="Which temperature makes the best features, and is it the one with the "
    "best contrastive accuracy?",
    cells=cells,
    figure=Chart(
        "bars",
        "l2 normalisation, temperature",
        "linear probe (%)",
        series=("linear probe (%)",),
    ),
    paper=PaperNumbers(
        "Table 5",
        "ImageNet, ResNet-50, batch 4096: entropy and contrastive accuracy are over "
        "many more candidates than ours, and each over one view's alone.",
        {
            (title, _place(*row)): value
            for row, values in _TABLE_5.items()
            for title, value in zip(_VALUES.values(), values, strict=True)
        },
    ),
    base={"small": {"epochs": 15}},
)
