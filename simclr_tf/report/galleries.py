"""Rows of small images: pairs of views, nearest neighbours, mistakes."""

import dataclasses

import numpy as np

from simclr_tf.report.blocks import Gallery, Tile, class_name

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
    """Show images with their two views.

    Args:
      pairs: ViewPairs.
      number: int, of pairs to show.

    Returns:
      Gallery; an image and its views stay together.
    """
    tiles = tuple(
        Tile(image, caption)
        for _, *triple in zip(*(part[:number] for part in pairs), strict=True)
        for image, caption in zip(triple, ("image", "view a", "view b"), strict=True)
    )
    return Gallery("An image and its two views", (("", tiles),), together=3)


def neighbours_gallery(gallery, test, queries, found, *, is_comparison=False):
    """Show test images, each with its nearest training images in each representation.

    Args:
      gallery, test: ImageRows, or objects with the same attributes.
      queries: int `[Q]`, rows of `test`.
      found: dict of title to (rows of `gallery` `[Q, k]`, similarities `[Q, k]`), as
        of `simclr_tf.evaluation.nearest_neighbours`.
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
    """Show images that a classifier takes for another class.

    Args:
      test: ImageRows with labels, or an object with the same attributes.
      rows: int `[n]`, rows of `test`, the worst mistake first.
      predictions: int, the class that each of `test` is taken for.
      scores: float or None, how sure the classifier is of it, in [0, 1].

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


def one_a_class(labels, number, seed):
    """Rows of a random image of each class in turn, until there are enough.

    Args:
      labels: int array `[n]`, negative for unlabelled images, which are left out.
      number: int.
      seed: int.

    Returns:
      int64 array of at most `number` rows.

    Example:
      >>> sorted(one_a_class(np.array([5, 5, 5, 9]), 2, seed=0).tolist())[-1]
      3
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(labels >= 0))
    rank = {}  # Row -> how many of its class come before it.
    seen = {}
    for row in order:
        rank[row] = seen[labels[row]] = seen.get(labels[row], -1) + 1
    return np.asarray(sorted(order, key=rank.get)[:number], np.int64)


def _is_best(right, title):
    """Whether a title has the most, and not all have as many."""
    return right[title] == max(right.values()) > min(right.values())


def _mark(label, other):
    return "same" if label == other else "other"


def _class_of(images, row):
    if images.labels is None:
        return ""
    return class_name(images.labels[row], images.classes)


def _name_of(images, row):
    return "" if images.names is None else images.names[row]
