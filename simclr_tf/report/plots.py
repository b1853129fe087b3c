"""Pictures of what an encoder is trained on and of what it finds alike.

matplotlib is an extra (`pip install "simclr-tf[plots]"`); its figures are used as
objects, so that nothing here touches the state of a notebook's pyplot.
"""

import numpy as np

from simclr_tf.errors import DataError, require
from simclr_tf.report.figure_files import matplotlib_parts, save_figure
from simclr_tf.report.tile_sheet import TileSheet, displayable

# Okabe and Ito's blue and vermillion: told apart with any kind of colour vision.
CORRECT, INCORRECT = "#0072B2", "#D55E00"

__all__ = [
    "CORRECT",
    "INCORRECT",
    "matplotlib_parts",
    "neighbours_figure",
    "save_figure",
    "view_pairs_figure",
]


def view_pairs_figure(images, view_a, view_b, path, *, columns=4):
    """A contact sheet: each image and the two views made of it.

    Args:
      images, view_a, view_b: `[N, H, W, C]`, uint8 or float in [0, 1]; sizes may
        differ.
      path: path of the PNG.
      columns: int >= 1, triples beside each other.

    Raises:
      ConfigError: matplotlib is missing, or no columns.
      DataError: other numbers of images and views, or none.
      WorkdirError: the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "view_pairs.png"
      >>> images = np.random.default_rng(0).uniform(size=(3, 8, 8, 3))
      >>> view_pairs_figure(images, images, images[:, ::-1], path)
      >>> path.exists()
      True
    """
    require(columns >= 1, "`columns` must be >= 1.", columns=columns)
    triples = [displayable(part) for part in (images, view_a, view_b)]
    if len({len(part) for part in triples}) != 1 or not len(triples[0]):
        raise DataError(
            "A sheet of views needs as many views as images, at least one. Received: "
            f"{', '.join(str(len(part)) for part in triples)}."
        )
    count = len(triples[0])
    columns = min(columns, count)
    rows = -(-count // columns)
    # In tiles: three and a gap a triple; two lines of text on top.
    sheet = TileSheet(columns * 3.35 - 0.35, rows * 1.12 - 0.12, top=0.85)
    sheet.title("An image, and the two views the encoder has to match")
    for index in range(count):
        row, column = divmod(index, columns)
        for place, part in enumerate(triples):
            x = column * 3.35 + place * (1.03 if place else 1)
            sheet.tile(part[index], x, row * 1.12)
            if row == 0:
                sheet.text(("image", "view a", "view b")[place], x + 0.5, -0.12)
    sheet.save(path)


def neighbours_figure(
    query_images,
    gallery_images,
    neighbours,
    path,
    *,
    query_labels=None,
    gallery_labels=None,
    class_names=None,
):
    """Queries and their nearest neighbours, for several representations in turn.

    With labels, neighbours of the query's class have a blue frame and others a
    vermillion one, and small titles name the classes.

    Args:
      query_images: `[Q, H, W, C]`, uint8 or float in [0, 1].
      gallery_images: `[n, H, W, C]`, among which the neighbours are.
      neighbours: dict of title ("this encoder", "raw pixels") to int array
        `[Q, k]`, rows of `gallery_images`, nearest first.
      path: path of the PNG.
      query_labels, gallery_labels: None, or ints `[Q]` and `[n]`.
      class_names: None, or list of str.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: shapes that do not fit together.
      WorkdirError: the file cannot be written.

    Example:
      >>> import pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "neighbours.png"
      >>> images = np.random.default_rng(0).uniform(size=(5, 8, 8, 1))
      >>> neighbours_figure(images[:2], images, {"raw pixels": [[1, 2], [0, 3]]}, path)
      >>> path.exists()
      True
    """
    queries, gallery = displayable(query_images), displayable(gallery_images)
    neighbours = {title: np.asarray(rows) for title, rows in neighbours.items()}
    _check_neighbours(queries, gallery, neighbours)
    labelled = query_labels is not None and gallery_labels is not None
    k = max(rows.shape[1] for rows in neighbours.values())
    step, row_step = 1.1, 1.42 if labelled else 1.1
    block = k * step + 0.3
    sheet = TileSheet(
        1.4 + len(neighbours) * block - 0.4, len(queries) * row_step - 0.1, top=1.05
    )
    sheet.title("Test images and the training images nearest to them")
    sheet.text("query", 0.5, -0.2 if not labelled else -0.42)
    for row, query in enumerate(queries):
        y = row * row_step
        sheet.tile(query, 0, y)
        if labelled:
            sheet.text(_name(query_labels[row], class_names), 0.5, y - 0.06, small=True)
        for number, (title, found) in enumerate(neighbours.items()):
            left = 1.4 + number * block
            if row == 0:
                middle = left + (found.shape[1] * step - 0.1) / 2
                sheet.text(title, middle, -0.2 if not labelled else -0.42)
            for place, index in enumerate(found[row]):
                x = left + place * step
                frame = None
                if labelled:
                    same = gallery_labels[index] == query_labels[row]
                    frame = CORRECT if same else INCORRECT
                    name = _name(gallery_labels[index], class_names)
                    sheet.text(name, x + 0.5, y - 0.06, small=True, color=frame)
                sheet.tile(gallery[index], x, y, frame=frame)
    if labelled:
        sheet.legend([("same class", CORRECT), ("another class", INCORRECT)])
    sheet.save(path)


def _check_neighbours(queries, gallery, neighbours):
    if not len(queries) or not neighbours:
        raise DataError("A sheet of neighbours needs queries and neighbours.")
    for title, rows in neighbours.items():
        if rows.ndim != 2 or len(rows) != len(queries) or not rows.size:
            raise DataError(
                f"The neighbours of {title!r} must have the shape [{len(queries)}, k], "
                f"not {rows.shape}."
            )
        if rows.min() < 0 or rows.max() >= len(gallery):
            raise DataError(
                f"The neighbours of {title!r} name image {rows.max()} of a gallery of "
                f"{len(gallery)}."
            )


def _name(label, class_names):
    """The class of a label, shortened to the width of a tile."""
    name = str(int(label)) if class_names is None else str(class_names[int(label)])
    return name if len(name) <= 16 else f"{name[:15]}…"
