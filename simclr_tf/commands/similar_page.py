"""The page of `similar`: pictures of near-duplicates and of nearest neighbours."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from simclr_tf.commands.embed import open_parts
from simclr_tf.config.data import DataConfig
from simclr_tf.data import EncodedSource, evaluation_batches
from simclr_tf.errors import DataError
from simclr_tf.evaluation.feature_files import ImageFeatures
from simclr_tf.files import printable
from simclr_tf.report.blocks import Gallery, Page, PageSection, Text, Tile
from simclr_tf.report.thumbnails import thumbnails

THUMBNAIL_PIXELS = 96
DATA, QUERIES = "data", "queries"
_BATCH = 64
_MOST_OF_A_GROUP = 12  # Images of a group that a page shows.


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """The images of --data or of --queries.

    Attributes:
      found: ImageFeatures.
      places: list of (ImagePart, id), where each image is read; None if only its
        features are known.
    """

    found: ImageFeatures
    places: list[Any] | None

    def class_of(self, row):
        label = int(self.found.labels[row])
        named = 0 <= label < len(self.found.classes)
        return self.found.classes[label] if named else "" if label < 0 else str(label)


@dataclasses.dataclass(frozen=True)
class SimilarImages:
    """What is alike among some images.

    Attributes:
      queries: int64 `[m]`, rows of the images whose neighbours are known.
      neighbours, similarities: `[m, k]`, rows of --data and their cosines.
      groups: list of int64 arrays: the rows of each group, of --data and then of
        --queries, counted on; the largest group first.
      nearest: float32, of each row: its similarity to the most similar other row.
    """

    queries: np.ndarray
    neighbours: np.ndarray
    similarities: np.ndarray
    groups: list[np.ndarray]
    nearest: np.ndarray


def similar_page(sets, found, options):
    """Make the page: groups of near-duplicates, and images with their neighbours.

    Args:
      sets: dict of "data" and, if there are queries, "queries", to ImageSet.
      found: SimilarImages.
      options: simclr_tf.config.similar.SimilarOptions.

    Returns:
      simclr_tf.report.blocks.Page.

    Raises:
      DataError: the images of features in a file are not among --data.
    """
    asked = QUERIES if QUERIES in sets else DATA
    groups = found.groups[: options.num_shown]
    wanted = {name: set() for name in sets}
    wanted[asked] |= set(found.queries.tolist())
    wanted[DATA] |= set(found.neighbours.ravel().tolist())
    for rows in groups:
        for name, row in (place_of(sets, r) for r in rows[:_MOST_OF_A_GROUP]):
            wanted[name].add(int(row))
    pictures = {
        name: _pictures(sets[name], sorted(rows), options)
        for name, rows in wanted.items()
    }

    def tile(name, row, caption="", group=None, **details):
        images = sets[name]
        own = images.class_of(row)
        file = printable(images.found.names[row])
        return Tile(
            pictures[name][int(row)],
            f"{own} {caption}".strip(),
            group=group or own or None,
            detail=file,
            **details,
        )

    sections = [_neighbour_section(sets, found, asked, tile)]
    if options.duplicates:
        sections.insert(0, _group_section(sets, found, groups, tile, options))
    what = [options.data or "the images of the run"]
    if options.queries:
        what.insert(0, options.queries)
    encoder = options.path or options.features_file
    subtitle = f"{' in '.join(what)}, as `{encoder}` sees them"
    return Page("Similar images", subtitle, tuple(sections))


def _group_section(sets, found, groups, tile, options):
    """Show the largest groups of near-duplicates."""
    number = sum(len(images.found.names) for images in sets.values())
    text = duplicates_line(found, options.duplicates)
    blocks = [Text(f"{text[0].upper()}{text[1:]}.")]
    if groups and len(groups[0]) > number / 2:
        blocks.append(
            Text(
                "More than half of all images are in one group: to this encoder, "
                "images are similar in general. Try a larger `--duplicates`.",
                "warning",
            )
        )
    rows = []
    for place, members in enumerate(groups):
        title = f"Group {place + 1}: {len(members):,} images"
        if len(members) > _MOST_OF_A_GROUP:
            title += f", of which {_MOST_OF_A_GROUP} are shown"
        tiles = []
        for row in members[:_MOST_OF_A_GROUP]:
            name, inside = place_of(sets, row)
            words = " query" if name == QUERIES else ""
            tiles.append(tile(name, inside, f"{found.nearest[row]:.3f}{words}"))
        rows.append((title, tuple(tiles)))
    if rows:
        title = "Groups, each image with its similarity to the most similar other one"
        if len(rows) < len(found.groups):
            title = f"The {len(rows)} largest groups, each image with its similarity"
        blocks.append(Gallery(title, tuple(rows)))
    return PageSection("Near-duplicates", tuple(blocks))


def _neighbour_section(sets, found, asked, tile):
    """Show images, each followed by its nearest neighbours."""
    rows, is_marked = [], False
    for place, query in enumerate(found.queries):
        own = sets[asked].class_of(query)
        tiles = [tile(asked, query, "" if own else "query")]
        near = zip(found.neighbours[place], found.similarities[place], strict=True)
        for row, similarity in near:
            other = sets[DATA].class_of(row)
            mark = ("same" if other == own else "other") if own and other else None
            is_marked = is_marked or mark is not None
            details = {"mark": mark, "group": own or None}
            tiles.append(tile(DATA, row, f"{similarity:.2f}", **details))
        rows.append(("", tuple(tiles)))
    legend = (("same class", "same"), ("another class", "other")) if is_marked else ()
    text = Text(
        "In each row the first image, and then those nearest to it, with the cosine "
        "similarity of their features."
    )
    gallery = Gallery("Images and their neighbours", tuple(rows), legend)
    return PageSection("Nearest neighbours", (text, gallery))


def _pictures(images, rows, options):
    """Read some images, as small as a page shows them: dict of row to uint8 pixels."""
    if images.places is None:
        places = _places_of(images.found.names, rows, options)
    else:
        places = {row: images.places[row] for row in rows}
    by_part, pictures = {}, {}
    for row, (part, example) in places.items():
        by_part.setdefault(id(part), (part, {}))[1][example] = row
    for part, examples in by_part.values():
        ids = np.array(sorted(examples))
        shown = part.source.subset(ids)
        if isinstance(shown, EncodedSource):
            shown.channels = 3  # Colours, also where the encoder sees none.
        for batch in evaluation_batches(shown, _BATCH, THUMBNAIL_PIXELS):
            small = thumbnails(batch["images"], THUMBNAIL_PIXELS)
            for picture, place in zip(small, batch["ids"].numpy(), strict=True):
                pictures[examples[ids[place]]] = picture
    # Of a file that has gone meanwhile.
    missing = np.full([THUMBNAIL_PIXELS, THUMBNAIL_PIXELS, 1], 128, np.uint8)
    return {row: pictures.get(row, missing) for row in rows}


def _places_of(names, rows, options):
    """Find images by their names, for features that come from a file."""
    data = DataConfig(source=options.data, data_dir=options.data_dir)
    parts = open_parts(data, options, None)
    wanted = {names[row]: row for row in rows}
    places = {}
    for part in parts:
        for example in range(part.source.num_examples):
            row = wanted.get(part.name(example))
            if row is not None:
                places[row] = (part, example)
    if len(places) < len(wanted):
        (name, *_) = [name for name, row in wanted.items() if row not in places]
        raise DataError(
            f"{options.data} has no `{name}`, which is in {options.features_file}: "
            "give --data as it was given to `embed`."
        )
    return places


def duplicates_line(found, threshold):
    """Count the groups of near-duplicates."""
    if not found.groups:
        return f"no two images have a similarity of {threshold:g}"
    images, groups = sum(map(len, found.groups)), len(found.groups)
    return (
        f"{groups:,} group{'s' if groups > 1 else ''} of {images:,} images in all that "
        f"are linked by a similarity of {threshold:g} or more; the largest has "
        f"{len(found.groups[0]):,}"
    )


def place_of(sets, row):
    """Return (name of the set, row in it) of a row that counts through both sets."""
    number = len(sets[DATA].found.names)
    return (DATA, row) if row < number else (QUERIES, row - number)
