"""Rows of small images: pairs of views, nearest neighbours, mistakes."""

import dataclasses

import numpy as np

from simclr_tf.errors import DataError
from simclr_tf.report.blocks import Gallery, Tile, class_name
from simclr_tf.report.drawing import (
    CORRECT,
    FAINT,
    INCORRECT,
    INK,
    Drawing,
    plain,
    short,
)

_FRAMES = {"same": CORRECT, "other": INCORRECT}
_LEGEND = (("same class", "same"), ("another class", "other"))


@dataclasses.dataclass(frozen=True)
class ImageRows:
    """Some images, row by row, with what is known of them.

    Attributes:
      thumbnails: uint8 or float in [0, 1], `[n, H, W, C]`.
      labels: int `[n]`, -1 for unlabelled, or None.
      names: list of n str, or None.
      classes: tuple of str, the name of each label, or None.
    """

    thumbnails: np.ndarray
    labels: np.ndarray | None = None
    names: list | None = None
    classes: tuple | None = None


def pairs_gallery(pairs, number):
    """Show images with their views.

    Args:
      pairs: ViewPairs.
      number: int, of pairs to show.

    Returns:
      Gallery; an image and its views stay together.
    """
    columns = {"image": pairs.images, "view a": pairs.view_a, "view b": pairs.view_b}
    columns |= {f"small {n}": views for n, views in enumerate(pairs.small, 1)}
    tiles = tuple(
        Tile(images[row], caption)
        for row in range(len(pairs.ids[:number]))
        for caption, images in columns.items()
    )
    title = "An image and its two views"
    if pairs.small:
        title = f"An image, its two views and its small ones ({len(pairs.small)})"
    return Gallery(title, (("", tiles),), together=len(columns))


def neighbours_gallery(gallery, test, queries, found, *, is_comparison=False):
    """Show test images, each with its nearest training images in each representation.

    Args:
      gallery, test: ImageRows, or objects with the same attributes.
      queries: int `[Q]`, rows of `test`.
      found: dict of title to (rows of `gallery` `[Q, k]`, similarities `[Q, k]`), see
        `simclr_tf.evaluation.nearest_neighbours`.
      is_comparison: bool, whether to mark the title with the most neighbours of the
        query's class.

    Returns:
      Gallery: the rows of one query are beside each other.
    """
    labelled = has_labels(gallery) and has_labels(test)
    rows = []
    for place, query in enumerate(queries):
        group = _class_of(test, query) if labelled else None
        right = {
            title: int(np.sum(gallery.labels[near[place]] == test.labels[query]))
            for title, (near, _) in found.items()
            if labelled
        }
        for title, (near, similarities) in found.items():
            words = title
            if labelled:
                words += f": {right[title]} of {len(near[place])} of its class"
            if is_comparison and labelled and _is_best(right, title):
                words += " ★"
            query_tile = Tile(
                test.thumbnails[query],
                _class_of(test, query) or "query",
                group=group,
                detail=_name_of(test, query),
            )
            tiles = [
                Tile(
                    gallery.thumbnails[row],
                    f"{_class_of(gallery, row)} {similarity:.2f}".strip(),
                    _mark(gallery.labels[row], test.labels[query])
                    if labelled
                    else None,
                    group,
                    _name_of(gallery, row),
                )
                for row, similarity in zip(
                    near[place], similarities[place], strict=True
                )
            ]
            rows.append((words, (query_tile, *tiles)))
    return Gallery(
        "Test images, each with the training images nearest to it",
        tuple(rows),
        _LEGEND if labelled else (),
        beside=len(found),
    )


def mistakes_gallery(test, rows, predictions, scores):
    """Show images that a classifier assigns to a wrong class.

    Args:
      test: ImageRows with labels, or an object with the same attributes.
      rows: int `[n]`, rows of `test`, the worst mistake first.
      predictions: int, the class that the classifier predicts for each of `test`.
      scores: float in [0, 1], the confidence of each prediction, or None.

    Returns:
      Gallery.
    """
    tiles = tuple(
        Tile(
            test.thumbnails[row],
            f"{_class_of(test, row)} → {class_name(predictions[row], test.classes)}"
            + ("" if scores is None else f" {scores[row]:.0%}"),
            group=_class_of(test, row),
            detail=_name_of(test, row),
        )
        for row in rows
    )
    return Gallery("The worst mistakes: true class → taken for", (("", tiles),))


def has_labels(images):
    """Tell whether any of the images has a label."""
    return images.labels is not None and bool(np.any(np.asarray(images.labels) >= 0))


def one_per_class(labels, number, seed):
    """Draw the row of a random image of each class in turn, until there are enough.

    Args:
      labels: int array `[n]`, negative for unlabelled images, which are left out.
      number: int.
      seed: int.

    Returns:
      int64 array of at most `number` rows.

    Example:
      >>> sorted(one_per_class(np.array([5, 5, 5, 9]), 2, seed=0).tolist())[-1]
      3
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(labels >= 0))
    rank = {}  # Row -> how many of its class come before it.
    seen = {}
    for row in order:
        rank[row] = seen[labels[row]] = seen.get(labels[row], -1) + 1
    return np.asarray(sorted(order, key=rank.get)[:number], np.int64)


def _is_best(right, title):
    """Tell whether a title has the most correct, and not all have as many."""
    return right[title] == max(right.values()) > min(right.values())


def _mark(label, other):
    return "same" if label == other else "other"


def _class_of(images, row):
    if images.labels is None:
        return ""
    return class_name(images.labels[row], images.classes)


def _name_of(images, row):
    return "" if images.names is None else images.names[row]


def gallery_drawing(galleries):
    """Draw rows of small images, each row below its title.

    Args:
      galleries: list of Gallery.

    Returns:
      Drawing; a tile is 0.62 inches wide.

    Raises:
      ConfigError: matplotlib is missing.
      DataError: there is nothing to draw.

    Example:
      >>> from simclr_tf.report.blocks import Gallery, Tile
      >>> tile = Tile(np.zeros([8, 8, 1]), "black")
      >>> gallery_drawing([Gallery("tiles", (("row", (tile,)),))]).png()[1:4]
      b'PNG'
    """
    if not any(tiles for gallery in galleries for _, tiles in gallery.rows):
        raise DataError("A gallery needs at least one image.")
    texts, tiles, height = [], [], 0.0
    for gallery in galleries:
        texts.append((0, height + 0.35, gallery.title, 9.5, INK, "left"))
        height += 0.5
        if gallery.legend:
            x = 0.0
            for words, mark in gallery.legend:
                color = _FRAMES.get(mark, INK)
                texts.append((x, height + 0.2, f"■ {words}", 7.5, color, "left"))
                x += 0.5 + 0.12 * len(words)
            height += 0.3
        height = _place_rows(gallery, height, texts, tiles)
    width = max(x + 1 for x, _, _ in tiles)
    width = max(width, *(x + 0.14 * len(text) for x, _, text, *_ in texts if x == 0))

    def draw(figure, _):
        # One pair of axes for all tiles: a hundred pairs would take ten times as long.
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(
            xlim=(-0.3, width + 0.3), ylim=(height + 0.2, -0.2), autoscale_on=False
        )
        axes.set_axis_off()
        for x, y, tile in tiles:
            left, right, top, bottom = _extent(tile.image, x, y)
            axes.imshow(
                displayable(tile.image[np.newaxis])[0],
                cmap="gray",
                vmin=0,
                vmax=1,
                aspect="auto",
                extent=(left, right, bottom, top),
            )
            if tile.mark is not None:
                axes.plot(
                    [left, right, right, left, left],
                    [top, top, bottom, bottom, top],
                    color=_FRAMES[tile.mark],
                    linewidth=2.2,
                )
        for x, y, text, size, color, align in texts:
            axes.text(x, y, plain(text), fontsize=size, color=color, ha=align)

    return Drawing(
        0.62 * (width + 0.6), 0.62 * (height + 0.4), draw, galleries[0].title
    )


def _extent(image, x, y):
    """Return (left, right, top, bottom) of an image in the middle of a unit square."""
    height, width = image.shape[:2]
    across, down = (side / max(height, width) for side in (width, height))
    left, top = x + (1 - across) / 2, y + (1 - down) / 2
    return left, left + across, top, top + down


def _place_rows(gallery, top, texts, tiles):
    """Place the rows of a gallery; return the y below them."""
    together = gallery.together
    a_line = max(12 // together, 1) * together
    widest = min(a_line, max(len(row) for _, row in gallery.rows))
    step = widest * 1.08 + 0.6
    for first in range(0, len(gallery.rows), gallery.beside):
        bottoms = [top]
        for place, (title, row) in enumerate(
            gallery.rows[first : first + gallery.beside]
        ):
            left, y = place * step, top
            if title:
                texts.append((left, y + 0.3, title, 7.5, INK, "left"))
                y += 0.4
            for start in range(0, len(row), a_line):
                part = row[start : start + a_line]
                y += 0.2 * any(tile.caption for tile in part)
                for number, tile in enumerate(part):
                    gap = 0.3 * (number // together) if together > 1 else 0
                    x = left + number * 1.08 + gap
                    tiles.append((x, y, tile))
                    color = _FRAMES.get(tile.mark, FAINT)
                    words = short(tile.caption, 16)
                    texts.append((x + 0.5, y - 0.05, words, 5, color, "center"))
                y += 1.1
            bottoms.append(y)
        top = max(bottoms)
    return top + 0.1


def displayable(images):
    """Convert images to what matplotlib shows.

    Args:
      images: `[N, H, W, C]`, uint8 or float in [0, 1].

    Returns:
      float32 `[N, H, W]` (grey) or `[N, H, W, 3]` in [0, 1].

    Raises:
      DataError: another number of dimensions.

    Example:
      >>> displayable(np.full([1, 2, 2, 1], 255, np.uint8)).tolist()
      [[[1.0, 1.0], [1.0, 1.0]]]
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise DataError(f"Images have the shape [N, H, W, C], not {images.shape}.")
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    images = np.clip(images.astype(np.float32), 0, 1)
    # Of more channels, the first three are shown; of two, the first.
    return images[..., :3] if images.shape[-1] >= 3 else images[..., 0]
