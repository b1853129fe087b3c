"""What the projection head throws away: which transform was applied (Table 3)."""

from simclr_tf.models.encoders import family_of
from simclr_tf.studies.study import Cell, Figure, PaperNumbers, Point, Study

# Transform -> (its title, what is added to the views while pretraining).
TRANSFORMS = {
    "color": ("colour or grey", {}),
    "rotation": ("rotation", {"augment.rotate_probability": 0.75}),
    "noise": ("original or noise", {"augment.noise_probability": 0.5}),
    "sobel": ("original or Sobel", {"augment.sobel_probability": 0.5}),
}
_TABLE_3 = {
    "chance": (80, 25, 50, 50),
    "h": (99.3, 67.6, 99.5, 96.6),
    "g(h)": (97.4, 25.6, 59.6, 56.3),
}


def cells(base, budget):
    """One pretraining a transform, with projections as wide as the features."""
    size = base.data.image_size_pixels
    features = family_of(base.encoder).num_features(base.encoder, (size, size, 3))
    same_width = {
        "projection_head.kind": "nonlinear",
        "projection_head.hidden_features": features,
        "projection_head.out_features": features,
    }
    return tuple(
        Cell(
            name,
            tuple(
                Point(f"transform_{value}", series, title)
                for value, series in (("chance", "chance"), ("h", "h"), ("z", "g(h)"))
            ),
            {**same_width, **added},
            "transforms",
            {"transform": name},
        )
        for name, (title, added) in TRANSFORMS.items()
    )


STUDY = Study(
    name="head_information",
    title="What the projection head throws away",
    question="Can a fresh MLP tell from h, and from g(h), which transform was applied?",
    cells=cells,
    figure=Figure("bars", "transform to be told", "accuracy of the MLP (%)"),
    paper=PaperNumbers(
        "Table 3",
        "ImageNet, ResNet-50, h and g(h) of 2048 numbers. How the paper's MLP was "
        "trained is not said in it; ours has one hidden layer.",
        {
            (series, title): float(value)
            for series, values in _TABLE_3.items()
            for (title, _), value in zip(TRANSFORMS.values(), values, strict=True)
        },
    ),
    base={"small": {"epochs": 20}},
    needs_colour=True,
)
