"""The sections of a report that need the encoder and images: what it has learned."""

import numpy as np

from simclr_tf.commands.feature_maps import plane_maps
from simclr_tf.commands.pictures import one_a_class
from simclr_tf.errors import WorkdirError
from simclr_tf.evaluation import extract_features, fit_ridge, nearest_neighbours
from simclr_tf.evaluation.features import check_labelled
from simclr_tf.models import count_parameters, flops_per_image
from simclr_tf.report.blocks import (
    FeatureMaps,
    Gallery,
    Matrix,
    Section,
    Table,
    Text,
    Tile,
    class_name,
)
from simclr_tf.training import load_probe

NUM_QUERIES, NUM_NEIGHBOURS = 6, 5
_LARGEST_MATRIX = 30


def neighbour_section(gallery, test, encode_before, seed=0):
    """Nearest neighbours of a few test images, after training and before.

    Args:
      gallery, test: ImageSample, with the features of the trained encoder.
      encode_before: function of a list of rows of `test`, returning the features
        before training of the whole gallery and of those rows; None leaves it out.
      seed: int, of the draw of the queries: one a class in turn.

    Returns:
      Section.
    """
    labelled = test.labels is not None and gallery.labels is not None
    queries = (
        one_a_class(test.labels, NUM_QUERIES, seed)
        if labelled
        else np.arange(min(NUM_QUERIES, len(test.features)))
    )
    k = min(NUM_NEIGHBOURS, len(gallery.features))
    found = {
        "after training": nearest_neighbours(
            gallery.features, test.features[queries], k
        )[0]
    }
    if encode_before is not None:
        found["before training"] = nearest_neighbours(*encode_before(queries), k)[0]
    rows = []
    for place, query in enumerate(queries):
        for title, neighbours in found.items():
            rows.append(
                (
                    title,
                    (
                        Tile(test.thumbnails[query], _caption(test, query, "query")),
                        *(
                            Tile(
                                gallery.thumbnails[row],
                                _caption(gallery, row),
                                _mark(gallery, row, test, query) if labelled else None,
                            )
                            for row in neighbours[place]
                        ),
                    ),
                )
            )
    legend = (("same class", "same"), ("another class", "other")) if labelled else ()
    return Section(
        "Nearest neighbours",
        (
            Text(
                f"The first of a row is a test image, then come the nearest of "
                f"{len(gallery.features):,} training images, by cosine."
            ),
            Gallery(
                "A few test images and what the encoder finds like them",
                tuple(rows),
                legend,
                beside=len(found),
            ),
        ),
    )


def map_section(test, number, seed=0):
    """Features of test images as points, by PCA and t-SNE.

    Args:
      test: ImageSample.
      number: int, images of the maps at most.
      seed: int, of t-SNE.

    Returns:
      Section.
    """
    number = min(number, len(test.features))
    maps = FeatureMaps(
        plane_maps(test.features[:number], seed),
        test.thumbnails[:number],
        test.names[:number],
        None if test.labels is None else test.labels[:number],
        test.classes,
    )
    return Section(
        "Maps of the features",
        (
            Text(
                f"Each mark is one of {number:,} test images; point at it to see the "
                "image. t-SNE keeps neighbourhoods: distances between groups and their "
                "sizes say little."
            ),
            maps,
        ),
    )


def confusion_section(run, encoder, gallery, test, *, own_images):
    """Which classes the probe takes for which, on the test images looked at.

    The probe is the run's online probe where it has one for these classes, else a
    ridge classifier on the training images looked at.

    Args:
      run: RunFiles.
      encoder: keras.Model.
      gallery, test: ImageSample.
      own_images: bool, whether they are of the data that the online probe learned.

    Returns:
      Section, or None without labels.
    """
    if test.labels is None or gallery.labels is None or test.labels.max() < 0:
        return None
    features, labels = check_labelled("test", test.features, test.labels)
    probe, number = None, 0
    if own_images and run.config.probe.data is None:
        try:
            probe = load_probe(run.workdir, encoder)
            number = probe.kernel.shape[-1]
        except WorkdirError:  # The run had none.
            pass
    if probe is not None and labels.max() < number:
        predictions = np.argmax(probe(features), axis=1)
        what = "the run's online probe"
    else:
        known = check_labelled("training", gallery.features, gallery.labels)
        if len(np.unique(known[1])) < 2:
            return None
        predictions = fit_ridge(*known).predict(features)
        what = f"ridge regression on {len(known[1]):,} training images"
    return _confusion(labels, predictions, test.classes, what)


def _confusion(labels, predictions, classes, what):
    accuracy = np.mean(labels == predictions)
    size = int(max(labels.max(), predictions.max())) + 1
    names = tuple(class_name(label, classes) for label in range(size))
    counts = np.zeros([size, size], np.int64)
    np.add.at(counts, (labels, predictions), 1)
    blocks = [
        Text(
            f"By {what}: {accuracy:.1%} of {len(labels):,} test images are "
            "right. Rows are true classes, columns predictions."
        )
    ]
    if size <= _LARGEST_MATRIX:
        blocks.append(Matrix("Confusion of the probe", counts, names))
    mistakes = counts - np.diag(np.diag(counts))
    worst = [
        (true, taken)
        for true, taken in zip(
            *np.unravel_index(
                np.argsort(-mistakes, axis=None, kind="stable")[:8], counts.shape
            ),
            strict=True,
        )
        if mistakes[true, taken]
    ]
    if worst:
        rows = tuple(
            (
                names[true],
                names[taken],
                f"{counts[true, taken]:,}",
                f"{counts[true, taken] / counts[true].sum():.1%}",
            )
            for true, taken in worst
        )
        blocks.append(
            Table(("true class", "taken for", "images", "of the class"), rows, "llrr")
        )
    return Section("Confusion of the probe", tuple(blocks))


def encoder_facts(run, encoder):
    """Rows (what, value) on the size of the encoder.

    Args:
      run: RunFiles.
      encoder: keras.Model.

    Returns:
      list of pairs of str.
    """
    trainable, _ = count_parameters(encoder)
    flops = flops_per_image(
        encoder, run.config.data.image_size_pixels, run.record["data"]["channels"]
    )
    rows = [("parameters of the encoder", f"{trainable:,}")]
    if flops:
        rows.append(("operations an image, forward", f"{flops:,}"))
    return rows


def features_before(encoder, gallery_batches, query_batches):
    """Features of an untrained encoder; see `neighbour_section`."""
    return tuple(
        extract_features(encoder, batches)[0]
        for batches in (gallery_batches, query_batches)
    )


def _caption(looked_at, row, otherwise=""):
    if looked_at.labels is None:
        return otherwise
    return class_name(looked_at.labels[row], looked_at.classes)


def _mark(gallery, row, test, query):
    return "same" if gallery.labels[row] == test.labels[query] else "other"
