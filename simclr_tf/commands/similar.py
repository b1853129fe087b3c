"""The verb `similar`: nearest neighbours of images, and groups of near-duplicates."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import time

import numpy as np

from simclr_tf.commands.embed import (
    check_output,
    encode_parts,
    encoder_identity,
    open_images,
)
from simclr_tf.commands.similar_page import (
    DATA,
    QUERIES,
    ImageSet,
    SimilarImages,
    duplicates_line,
    place_of,
    similar_page,
)
from simclr_tf.config.embed import EncodedImages
from simclr_tf.data.left_out import LEFT_OUT_FILE, left_out_listed
from simclr_tf.errors import DataError
from simclr_tf.evaluation.feature_files import read_features
from simclr_tf.files import printable, whole_file
from simclr_tf.metrics.duplicates import duplicate_groups
from simclr_tf.metrics.knn import nearest_neighbours, neighbours_of_rows
from simclr_tf.report.pages import prepare_output, write_page


def similar_and_report(options, *, command=None, say=print):
    """Find the nearest neighbours of images, and near-duplicates; write them.

    Args:
      options: simclr_tf.config.similar.SimilarOptions.
      command: str, shown at the end of a page.
      say: function that prints a line (str).

    Returns:
      list of pathlib.Path, what was written.

    Raises:
      SimCLRError: invalid options or data, or a file that cannot be written.
    """
    output = check_output(options.output, options.overwrite)
    beside = output.with_name(f"{output.stem}_duplicates.csv")
    is_page = options.ending == ".html"
    if is_page:
        prepare_output(output, packages=("jinja2",))
    elif options.duplicates:
        check_output(beside, options.overwrite)
    sets = _read_sets(options, output.with_name(f"{output.stem}_{LEFT_OUT_FILE}"), say)
    began = time.perf_counter()
    found = _compare(sets, options, options.num_shown if is_page else None)
    numbers = [f"{len(images.found.names):,}" for images in sets.values()]
    say(f"Compared    {' with '.join(numbers)} in {time.perf_counter() - began:.0f} s")
    if options.duplicates:
        say(f"Duplicates  {duplicates_line(found, options.duplicates)}")
    if is_page:
        return write_page(similar_page(sets, found, options), output, command=command)
    _write_neighbours(output, sets, found)
    if not options.duplicates:
        if options.overwrite and beside.is_file():
            beside.unlink()
            say(f"Removed     {beside}, the groups of an earlier table")
        return [output]
    _write_groups(beside, sets, found)
    return [output, beside]


def _read_sets(options, listed, say):
    """Read or compute the features: dict of "data" and, if given, "queries"."""
    sets, opened, place = {}, {}, None
    with left_out_listed(listed):
        if options.features_file:
            sets[DATA] = ImageSet(read_features(options.features_file), None)
            rows = len(sets[DATA].found.names)
            say(f"Features    {options.features_file}, {rows:,} rows")
        else:
            place, *opened[DATA] = open_images(options, say)
        if options.queries:
            names = [item.name for item in dataclasses.fields(EncodedImages)]
            values = {name: getattr(options, name) for name in names}
            asked = EncodedImages(**{**values, "data": options.queries, "split": None})
            place, *opened[QUERIES] = open_images(asked, say, place)
    if options.features_file and opened:
        then, (_, size) = sets[DATA].found.encoder, opened[QUERIES]
        _check_encoder(then, place, size, options, say)
    sources = [part.source for parts, _ in opened.values() for part in parts]
    with left_out_listed(listed, *sources):
        for name, (parts, size) in opened.items():
            sets[name] = ImageSet(
                *encode_parts(place.encoder, parts, size, options.batch_size)
            )
    widths = {images.found.features.shape[1] for images in sets.values()}
    if len(widths) > 1:
        raise DataError(
            f"The features in {options.features_file} are of another encoder: they "
            f"have {sets[DATA].found.features.shape[1]} numbers an image, and those of "
            f"{options.path} {sets[QUERIES].found.features.shape[1]}."
        )
    return sets


def _check_encoder(then, place, image_size_pixels, options, say):
    """Refuse features of a file that this encoder would not compute.

    Args:
      then: dict of `encoder_identity`, in the file; {} in older files.
      place: EncoderAt, of the queries.
      image_size_pixels: int or (height, width), of the queries.
      options: SimilarOptions.
      say: function that prints a line (str).
    """
    if not then:
        say(
            f"Features    {options.features_file} does not name its encoder; whether "
            f"it is {place.name} cannot be checked"
        )
        return
    background = place.config.data.background
    now = encoder_identity(place.encoder, image_size_pixels, background)
    differing = [name for name in now if then.get(name) != now[name]]
    if differing:
        there = ", ".join(f"{name}={then.get(name)}" for name in differing)
        here = ", ".join(f"{name}={now[name]}" for name in differing)
        raise DataError(
            f"The features in {options.features_file} are not those of {place.name}: "
            f"{there} in the file, {here} here. Give the encoder and the "
            "--image_size_pixels of the file, or write it again with simclr-tf embed."
        )


def _compare(sets, options, num_shown):
    """Find the neighbours of all queries, or of `num_shown` of them, and the groups."""
    data, queries = sets[DATA], sets.get(QUERIES)
    features, number = data.found.features, len(data.found.names)
    if queries is None and number < 2:
        raise DataError("There is only one image: nothing can be similar to it.")
    asked = number if queries is None else len(queries.found.names)
    rows = np.arange(asked)
    if num_shown is not None and num_shown < asked:
        rows = np.linspace(0, asked - 1, num_shown).round().astype(np.int64)
    if queries is None:
        some = None if len(rows) == asked else rows
        near = neighbours_of_rows(features, min(options.k, number - 1), some)
    else:
        wanted = queries.found.features[rows]
        near = nearest_neighbours(features, wanted, min(options.k, number))
    groups, nearest = [], np.zeros(0, np.float32)
    if options.duplicates:
        everything = features
        if queries is not None:
            everything = np.concatenate([features, queries.found.features])
        labels, nearest = duplicate_groups(everything, options.duplicates)
        order = np.argsort(labels, kind="stable")[np.count_nonzero(labels < 0) :]
        ends = np.cumsum(np.bincount(labels[order]))[:-1]
        groups = np.split(order, ends) if len(order) else []
        groups.sort(key=len, reverse=True)  # Of one size: in the order of the names.
    return SimilarImages(rows, *near, groups, nearest)


def _write_neighbours(path, sets, found):
    """Write a line for each neighbour: query, rank, name, similarity."""
    asked = sets.get(QUERIES, sets[DATA]).found.names
    names = sets[DATA].found.names
    rows = zip(found.queries, found.neighbours, found.similarities, strict=True)
    with _table(path, "query", "rank", "name", "similarity") as add:
        for query, near, similarities in rows:
            for rank, row in enumerate(near):
                add(asked[query], rank + 1, names[row], f"{similarities[rank]:.6f}")


def _write_groups(path, sets, found):
    """Write a line for each image of a group: group, set, name, similarity."""
    with _table(path, "group", "set", "name", "similarity") as add:
        for number, rows in enumerate(found.groups):
            for row in rows:
                name, place = place_of(sets, row)
                file = sets[name].found.names[place]
                add(number + 1, name, file, f"{found.nearest[row]:.6f}")


@contextlib.contextmanager
def _table(path, *header):
    """Write a csv file, whole or not at all; yield a function that adds a line."""
    with (
        whole_file(path, make_folder=True) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")

        def add(*cells):
            writer.writerow([printable(c) if isinstance(c, str) else c for c in cells])

        add(*header)
        yield add
