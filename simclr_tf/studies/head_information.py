"""Information lost in the projection head: which transform was applied (Table 3)."""

from simclr_tf.augment import OPERATORS
from simclr_tf.models.encoders import family_of
from simclr_tf.studies.study import Cell, Chart, PaperNumbers, Point, Study

_TABLE_3 = {
    "color": {"chance": 80, "h": 99.3, "g(h)": 97.4},
    "rotation": {"chance": 25, "h": 67.6, "g(h)": 25.6},
    "noise": {"chance": 50, "h": 99.5, "g(h)": 59.6},
    "sobel": {"chance": 50, "h": 96.6, "g(h)": 56.3},
}


def questions():
    """Collect the questions of the operators: dict of name to operator.

    Example:
      >>> list(questions())
      ['color', 'rotation', 'noise', 'sobel']
    """
    return {
        operator.question.name: operator
        for operator in OPERATORS.values()
        if operator.question is not None
    }


def cells(base, budget):
    """List a pretraining for each transform, with g(h) as wide as h."""
    features = family_of(base.encoder).num_features(
        base.encoder, base.data.image_shape(3)
    )
    same_width = {
        "projection_head.kind": "nonlinear",
        "projection_head.hidden_features": features,
        "projection_head.out_features": features,
    }
    return tuple(
        Cell(
            name,
            tuple(
                Point(f"transform_{value}", series, operator.question.title)
                for value, series in (("chance", "chance"), ("h", "h"), ("z", "g(h)"))
            ),
            {**same_width, **_added_to_pretraining(operator)},
            "transforms",
            {"transform": name},
        )
        for name, operator in questions().items()
    )


def _added_to_pretraining(operator):
    probability = operator.question.pretraining_probability
    return {} if probability is None else {f"augment.{operator.switch}": probability}


STUDY = Study(
    name="head_information",
    title="Information that the projection head removes",
    question="Can an MLP recognise from h, and from g(h), which transform was applied?",
    cells=cells,
    figure=Chart("bars", "transform to recognise", "accuracy of the MLP (%)"),
    paper=PaperNumbers(
        "Table 3",
        "ImageNet, ResNet-50, h and g(h) of 2048 numbers. The paper does not "
        "describe the training of its MLP; ours has one hidden layer.",
        {
            (series, questions()[name].question.title): float(value)
            for name, values in _TABLE_3.items()
            for series, value in values.items()
        },
    ),
    base={"small": {"epochs": 20}},
    needs_colour=True,
)
