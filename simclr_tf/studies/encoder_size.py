"""Depth and width of the encoder, pretrained and supervised (Figure 7)."""

from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

# (depth, width multiplier)
SMALL = ((18, 0.125), (18, 0.25), (18, 0.5), (34, 0.25), (50, 0.125))
MEDIUM = (
    (18, 0.25),
    (18, 0.5),
    (18, 1.0),
    (34, 0.25),
    (34, 0.5),
    (50, 0.25),
    (50, 0.5),
)
PAPER = tuple(
    (depth, width) for width in (1.0, 2.0, 4.0) for depth in (18, 34, 50, 101, 152)
)
_LONG = "SimCLR, 1000 epochs"


def _place(depth, width):
    return f"ResNet-{depth} ({width:g}x)"


def cells(base, budget):
    """List every size, pretrained and supervised."""
    sizes = {"small": SMALL, "medium": MEDIUM}.get(budget, PAPER)
    sized = (
        Cell(
            f"{work}-r{depth}-w{width:g}",
            (Point(value, series, _place(depth, width)),),
            {"encoder.name": f"resnet{depth}", "encoder.width_multiplier": width},
            work,
        )
        for work, value, series in (
            ("pretrain", "linear", "SimCLR"),
            ("supervised", "supervised", "supervised"),
        )
        for depth, width in sizes
    )
    return (*baselines(budget, untrained=False), *sized)


STUDY = Study(
    name="encoder_size",
    title="Size of the encoder, pretrained and supervised",
    question="Does pretraining gain more from a larger network than training with "
    "labels?",
    cells=cells,
    figure=Chart(
        "scatter", "parameters (millions)", "accuracy (%)", is_logarithmic=True
    ),
    paper=PaperNumbers(
        "Figure 7",
        "Most of the figure's points are not tabulated in the paper; those shown are "
        "its red stars (1000 epochs), which Table 6 gives. ImageNet, linear "
        "evaluation, top-1.",
        {
            (_LONG, _place(50, 1.0)): 69.3,
            (_LONG, _place(50, 2.0)): 74.2,
            (_LONG, _place(50, 4.0)): 76.5,
        },
        {_place(50, 1.0): 24.0, _place(50, 2.0): 94.0, _place(50, 4.0): 375.0},
    ),
    base={"small": {"epochs": 5}},
)
