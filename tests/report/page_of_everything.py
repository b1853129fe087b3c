"""A page with every kind of block, and names that markup must not believe."""

import numpy as np

from simclr_tf.report.blocks import (
    Curves,
    FeatureMaps,
    Gallery,
    Matrix,
    Page,
    PageSection,
    Picture,
    Table,
    Text,
    Tile,
)
from simclr_tf.report.figures import intervals_drawing
from simclr_tf.report.thumbnails import png_bytes

HOSTILE = '<b>x</b> & "q" https://example.org/a.png'


def page_of_everything(num_images=7):
    """Page; its 12 classes need a second kind of mark."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 6, 5, 3), "uint8")
    labels = np.array([0, 1, 11, -1, 0, 3, 3] * num_images)[:num_images]
    classes = (HOSTILE, *(f"class {number}" for number in range(1, 12)))
    places = {name: rng.normal(size=(num_images, 2)) for name in ("PCA", "t-SNE")}
    tiles = tuple(
        Tile(image, HOSTILE, mark, group=HOSTILE, detail="a/<i>.png")
        for image, mark in zip(images, (None, "same", "other"), strict=False)
    )
    return Page(
        HOSTILE,
        "`code` and words",
        (
            PageSection(
                "Words",
                (
                    Text(f"plain {HOSTILE}"),
                    Text(f"heading {HOSTILE}", "heading"),
                    Text("noted", "note"),
                    Text("warned", "warning"),
                    Table(
                        ("name", "value"), (("a|b", 1), (HOSTILE, "`c`")), best={(0, 1)}
                    ),
                ),
            ),
            PageSection(
                "Curves",
                (
                    Curves(
                        "loss",
                        {
                            "one": ([1, 2, 3], [3.0, 2.0, float("nan")]),
                            HOSTILE: ([1, 2, 3], [2.5, 2.0, 1.5]),
                        },
                    ),
                    Curves(
                        "accuracy", {"one": ([1, 2], [0.5, 1.0])}, value_format=".1%"
                    ),
                    Curves("flat", {"one": ([1], [0.0])}),
                ),
            ),
            PageSection(
                "Images",
                (
                    Gallery(
                        "tiles", (("row", tiles), ("", tiles[:1])), (("same", "same"),)
                    ),
                    FeatureMaps(
                        places,
                        images,
                        [f"n{i}" for i in range(num_images)],
                        labels,
                        classes,
                    ),
                    FeatureMaps(
                        {"PCA": places["PCA"]}, images[..., :1], ["x"] * num_images
                    ),
                    Matrix("mistakes", np.array([[3, 1], [0, 4]]), ("cat", HOSTILE)),
                    Gallery("triples", (("", tiles * 2),), together=3),
                    Picture("a picture", png_bytes(images[0])),
                    intervals_drawing(
                        {
                            "kNN": {
                                HOSTILE: (70.0, 65.0, 75.0),
                                "raw": (50.0, None, None),
                            }
                        },
                        "results",
                    ),
                ),
            ),
        ),
    )
