"""Strength of the colour distortion, without labels and with (Table 1)."""

from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

# Position on the axis -> (colour strength, probability of blur).
STRENGTHS = {
    "1/8": (0.125, 0.0),
    "1/4": (0.25, 0.0),
    "1/2": (0.5, 0.0),
    "1": (1.0, 0.0),
    "1 + blur": (1.0, 0.5),
}
_TABLE_1 = {
    "SimCLR": (59.6, 61.0, 62.6, 63.2, 64.5),
    "supervised": (77.0, 76.7, 76.5, 75.7, 75.4),
}


def cells(base, budget):
    """List five strengths, pretrained and supervised."""
    made = []
    for series, work, value in (
        ("SimCLR", "pretrain", "linear"),
        ("supervised", "supervised", "supervised"),
    ):
        for place, (strength, blur) in STRENGTHS.items():
            name = place.replace("/", "_").replace(" ", "")
            made.append(
                Cell(
                    f"{series}-{name}",
                    (Point(value, series, place),),
                    {
                        "augment.color_strength": strength,
                        "augment.blur_probability": blur,
                    },
                    work,
                )
            )
    return (*baselines(budget), *made)


STUDY = Study(
    name="colour_strength",
    title="Colour strength, pretrained and supervised",
    question="Does pretraining need stronger colour distortion than training with "
    "labels?",
    cells=cells,
    figure=Chart("lines", "colour strength", "accuracy (%)"),
    paper=PaperNumbers(
        "Table 1",
        "ImageNet, ResNet-50, top-1: SimCLR by linear evaluation after 100 epochs; "
        "supervised with the same augmentation. AutoAugment, its last column, is not "
        "part of this study.",
        {
            (series, place): value
            for series, values in _TABLE_1.items()
            for place, value in zip(STRENGTHS, values, strict=True)
        },
    ),
    base={"small": {"epochs": 12}},
    needs_colour=True,
)
