"""The loss on the features, or on a projection of them (Figure 8)."""

from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

WIDTHS = (32, 64, 128, 256, 512, 1024, 2048)
FEW_WIDTHS = (32, 128, 512)
NO_HEAD = "no head"


def cells(base, budget):
    """List linear and nonlinear heads of several widths, and none; probe h and z."""
    made = [
        Cell(
            "none",
            (Point("linear", "none", NO_HEAD),),
            {"projection_head.kind": "none"},
        )
    ]
    for kind in ("linear", "nonlinear"):
        for width in FEW_WIDTHS if budget == "small" else WIDTHS:
            made.append(
                Cell(
                    f"{kind}-{width}",
                    (
                        Point("linear", f"{kind}, h", str(width)),
                        Point("linear_projections", f"{kind}, z", str(width)),
                    ),
                    {
                        "projection_head.kind": kind,
                        "projection_head.out_features": width,
                    },
                    settings={"probe_projections": True},
                )
            )
    return (*baselines(budget), *made)


STUDY = Study(
    name="projection_head",
    title="Projection heads, probed before and after",
    question="Which head g gives the best features h, and how much worse is z = g(h)?",
    cells=cells,
    figure=Chart("bars", "width of the projections", "linear probe (%)"),
    paper=PaperNumbers(
        "Figure 8",
        "Not tabulated in the paper: its bars have no numbers. According to its text, "
        "nonlinear heads are 3 % above linear ones and more than 10 % above none, that "
        "the width hardly matters, and that h is more than 10 % better than z "
        "(ImageNet, ResNet-50).",
    ),
    base={"small": {"epochs": 12}},
)
