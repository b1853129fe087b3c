"""Pretraining with few labels (Table 7)."""

from simclr_tf.studies.study import Cell, Chart, PaperNumbers, Point, Study

FRACTIONS = (0.01, 0.1, 1.0)
# Passes over the labelled images: the paper's (B.5); fewer where all have labels.
EPOCHS = {"small": (60, 20, 5), "medium": (60, 30, 30), "paper": (60, 30, 30)}
_METHODS = {
    "fine_tune": "fine-tuned",
    "linear": "linear probe",
    "scratch": "supervised",
}


def cells(base, budget):
    """List one pretraining that is fine-tuned and probed, and one without."""
    settings = {"fractions": list(FRACTIONS), "epochs": list(EPOCHS[budget])}
    return tuple(
        Cell(
            name,
            tuple(
                Point(f"{method}_{fraction:g}", _METHODS[method], 100 * fraction)
                for method in methods
                for fraction in FRACTIONS
            ),
            work="few_labels",
            settings={**settings, "methods": methods, "pretrain": name == "pretrained"},
        )
        for name, methods in (
            ("pretrained", ["fine_tune", "linear"]),
            ("supervised", ["scratch"]),
        )
    )


STUDY = Study(
    name="label_fraction",
    title="Few labels: fine-tuned, and supervised from scratch",
    question="How much better than training from scratch is fine-tuning, by the number "
    "of labels?",
    cells=cells,
    figure=Chart("lines", "labels (%)", "accuracy (%)", is_logarithmic=True),
    paper=PaperNumbers(
        "Table 7",
        "ImageNet, ResNet-50, top-1 (the table itself has top-5; top-1 is in the "
        "appendix), pretrained for 1000 epochs. 100 %: Table B.2, pretrained with more "
        "augmentation; supervised: Table B.3.",
        {
            ("fine-tuned", 1.0): 48.3,
            ("fine-tuned", 10.0): 65.6,
            ("fine-tuned", 100.0): 76.0,
            ("supervised", 1.0): 25.4,
            ("supervised", 10.0): 56.4,
            ("supervised", 100.0): 76.5,
        },
    ),
    base={"small": {"epochs": 30}, "paper": {"epochs": 1000}},
)
