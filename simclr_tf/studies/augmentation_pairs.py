"""Compositions of two augmentations (Figure 5).

Seven operators alone (the diagonal) and in ordered pairs, on one branch only: both
views start from one random crop, and the second view is not changed further.
"""

from simclr_tf.augment import one_branch_operators
from simclr_tf.studies.study import (
    Cell,
    Chart,
    PaperNumbers,
    Point,
    Study,
    baselines,
)

# The paper's order; operators that it does not have follow.
_FIGURE_5 = ("crop", "cutout", "color", "sobel", "noise", "blur", "rotate")


def cells(base, budget):
    """List every ordered pair: the first operator is the row, the second the column."""
    names = list(dict.fromkeys([*_FIGURE_5, *one_branch_operators()]))
    pairs = (
        Cell(
            f"{first}-{second}",
            (Point("linear", first.capitalize(), second.capitalize()),),
            {"augment.one_branch": first if first == second else f"{first},{second}"},
        )
        for first in names
        for second in names
    )
    return (*baselines(budget), *pairs)


STUDY = Study(
    name="augmentation_pairs",
    title="Compositions of augmentations, on one branch",
    question="Which single operators and which ordered pairs give views to learn from?",
    cells=cells,
    figure=Chart("heat_map", "second transformation", "first transformation"),
    paper=PaperNumbers(
        "Figure 5",
        "Not tabulated in the paper: its numbers are in the image of the figure only. "
        "According to its text, no single operator suffices to learn good features, "
        "and one composition stands out: crop with colour (ImageNet, ResNet-50). It "
        "does not give the strength of its cutout and noise.",
    ),
    base={"small": {"epochs": 3}},
    needs_colour=True,
)
