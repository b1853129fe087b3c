"""Compositions of two augmentations (Figure 5).

Seven operators alone (the diagonal) and in ordered pairs, on one branch only: both
views start from one random crop, and the second view is not changed further.
"""

from simclr_tf.augment import one_branch_operators
from simclr_tf.studies.study import Cell, Chart, PaperNumbers, Point, Study

# Rows and columns are in the paper's order, followed by operators it does not have.
_FIGURE_5 = {
    "crop": (33.1, 33.9, 56.3, 46.0, 39.9, 35.0, 30.2),
    "cutout": (32.2, 25.6, 33.9, 40.0, 26.5, 25.2, 22.4),
    "color": (55.8, 35.5, 18.8, 21.0, 11.4, 16.5, 20.8),
    "sobel": (46.2, 40.6, 20.9, 4.0, 9.3, 6.2, 4.2),
    "noise": (38.8, 25.8, 7.5, 7.6, 9.8, 9.8, 9.6),
    "blur": (35.1, 25.2, 16.6, 5.8, 9.7, 2.6, 6.7),
    "rotate": (30.0, 22.5, 20.7, 4.3, 9.7, 6.5, 2.6),
}


def cells(base, budget):
    """List every ordered pair: the first operator is the row, the second the column."""
    names = list(dict.fromkeys([*_FIGURE_5, *one_branch_operators()]))
    return tuple(
        Cell(
            f"{first}-{second}",
            (Point("linear", first.capitalize(), second.capitalize()),),
            {"augment.one_branch": first if first == second else f"{first},{second}"},
        )
        for first in names
        for second in names
    )


STUDY = Study(
    name="augmentation_pairs",
    title="Compositions of augmentations, on one branch",
    question="Which single operators and which ordered pairs give views to learn from?",
    cells=cells,
    figure=Chart("heat_map", "second transformation", "first transformation"),
    paper=PaperNumbers(
        "Figure 5",
        "ImageNet, ResNet-50, linear evaluation, top-1. The paper has these numbers "
        "only in the image of its figure; they were noted from memory and are not "
        "verified. It does not give the strength of its cutout and noise.",
        {
            (row.capitalize(), column.capitalize()): value
            for row, values in _FIGURE_5.items()
            for column, value in zip(_FIGURE_5, values, strict=True)
        },
    ),
    base={"small": {"epochs": 3}},
    needs_colour=True,
)
