"""The sections of a report that need the encoder and images."""

import numpy as np
import tensorflow as tf

from simclr_tf.commands.feature_maps import plane_maps
from simclr_tf.errors import WorkdirError
from simclr_tf.evaluation import extract_features, fit_ridge, nearest_neighbours
from simclr_tf.metrics.classification import check_labelled
from simclr_tf.models import count_parameters, flops_per_image
from simclr_tf.report.blocks import (
    FeatureMaps,
    Matrix,
    PageSection,
    Table,
    Text,
    class_name,
)
from simclr_tf.report.galleries import (
    ImageRows,
    has_labels,
    mistakes_gallery,
    neighbours_gallery,
    one_per_class,
)
from simclr_tf.training import load_probe

NUM_QUERIES, NUM_NEIGHBOURS, NUM_MISTAKES = 10, 5, 36
_LARGEST_MATRIX = 30


def neighbour_section(gallery, test, others=None, *, title="after training", seed=0):
    """Show the nearest neighbours of a few test images, in one or more representations.

    Args:
      gallery, test: ImageSample, with the features of the first representation.
      others: function of rows of `test`, returning a dict of title to (features of the
        whole gallery, features of those rows); None if there are no others.
      title: str, of the first representation.
      seed: int, for drawing the queries: one of each class in turn.

    Returns:
      PageSection, or None without images.
    """
    labelled = has_labels(test)
    queries = (
        one_per_class(test.labels, NUM_QUERIES, seed)
        if labelled
        else np.arange(min(NUM_QUERIES, len(test.features)))
    )
    k = min(NUM_NEIGHBOURS, len(gallery.features))
    if not k or not len(queries):
        return None
    features = {title: (gallery.features, test.features[queries])}
    if others is not None:
        features.update(others(queries))
    found = {name: nearest_neighbours(*both, k) for name, both in features.items()}
    is_comparison = title != "after training"
    return PageSection(
        "Nearest neighbours",
        (
            Text(
                "The first image of a row is a test image, the others the nearest of "
                f"{len(gallery.features):,} training images, with their cosine "
                "similarity."
                + (
                    " ★ marks the run that finds the most images of the same class."
                    * is_comparison
                )
            ),
            neighbours_gallery(
                gallery, test, queries, found, is_comparison=is_comparison
            ),
        ),
    )


def map_section(test, number, seed=0):
    """Show the features of test images as points, by PCA and t-SNE.

    Args:
      test: ImageSample.
      number: int, images of the maps at most.
      seed: int, of t-SNE.

    Returns:
      PageSection.
    """
    number = min(number, len(test.features))
    maps = FeatureMaps(
        plane_maps(test.features[:number], seed),
        test.thumbnails[:number],
        test.names[:number],
        None if test.labels is None else test.labels[:number],
        test.classes,
    )
    return PageSection(
        "Maps of the features",
        (
            Text(
                f"Each mark is one of {number:,} of the {len(test.features):,} test "
                "images; point at a mark to see its image. t-SNE keeps neighbourhoods: "
                "distances between groups and sizes of groups mean little."
            ),
            maps,
        ),
    )


def confusion_section(run, encoder, gallery, test, *, own_images):
    """Show the probe's mistakes on the sampled test images: the worst, and a matrix.

    The probe is the run's online probe if it has one for these classes, else a ridge
    classifier on the sampled training images.

    Args:
      run: RunFiles.
      encoder: keras.Model.
      gallery, test: ImageSample.
      own_images: bool, whether they come from the data of the online probe.

    Returns:
      PageSection, or None without labels.
    """
    if not has_labels(test) or not has_labels(gallery):
        return None
    features, labels = check_labelled("test", test.features, test.labels)
    probe, number = None, 0
    if own_images and run.config.probe.data is None:
        try:
            probe = load_probe(run.workdir, encoder)
            number = probe.kernel.shape[-1]
        except WorkdirError:  # The run had no online probe.
            pass
    if probe is not None and labels.max() < number:
        scores, classes = tf.nn.softmax(probe(features)).numpy(), np.arange(number)
        what = "the run's online probe"
    else:
        known = check_labelled("training", gallery.features, gallery.labels)
        if len(np.unique(known[1])) < 2:
            return None
        ridge = fit_ridge(*known)
        scores, classes = ridge.scores(features), ridge.classes
        what = f"ridge regression on {len(known[1]):,} training images"
    predictions = classes[scores.argmax(axis=1)]
    known_rows = np.flatnonzero(np.asarray(test.labels) >= 0)
    shown = ImageRows(
        test.thumbnails[known_rows],
        labels,
        [test.names[row] for row in known_rows],
        test.classes,
    )
    return _confusion(shown, predictions, scores, classes, what, probe is not None)


def _confusion(test, predictions, scores, classes, what, are_probabilities):
    labels = test.labels
    size = int(max(labels.max(), predictions.max())) + 1
    # Of many classes only those that occur.
    found = (
        np.arange(size)
        if size <= _LARGEST_MATRIX
        else np.unique(np.concatenate([labels, predictions]))
    )
    names = tuple(class_name(int(label), test.classes) for label in found)
    counts = np.zeros([len(found), len(found)], np.int64)
    places = np.searchsorted(found, labels), np.searchsorted(found, predictions)
    np.add.at(counts, places, 1)
    blocks = [
        Text(
            f"By {what}: {np.mean(labels == predictions):.1%} of {len(labels):,} test "
            "images are classified correctly."
        )
    ]
    wrong = np.flatnonzero(labels != predictions)
    if len(wrong):
        of_true = np.full(len(labels), scores.min(), np.float64)
        rows, columns = np.nonzero(labels[:, np.newaxis] == classes)
        of_true[rows] = scores[rows, columns]
        taken = scores.max(axis=1)
        worst = wrong[np.argsort((of_true - taken)[wrong], kind="stable")]
        blocks.append(
            mistakes_gallery(
                test,
                worst[:NUM_MISTAKES],
                predictions,
                taken if are_probabilities else None,
            )
        )
    if size <= _LARGEST_MATRIX:
        blocks.append(Matrix("Confusion of the probe", counts, names))
    mistakes = counts - np.diag(np.diag(counts))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:8]
    pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
    rows = tuple(
        (
            names[true],
            names[taken],
            f"{counts[true, taken]:,}",
            f"{counts[true, taken] / counts[true].sum():.1%}",
        )
        for true, taken in pairs
        if mistakes[true, taken]
    )
    if rows:
        blocks.append(
            Table(
                ("true class", "predicted class", "images", "share of the class"),
                rows,
                "llrr",
            )
        )
    return PageSection("Mistakes of the probe", tuple(blocks))


def encoder_facts(run, encoder):
    """List the size of the encoder as rows (what, value).

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
    """Compute the features of an untrained encoder; see `neighbour_section`."""
    return tuple(
        extract_features(encoder, batches)[0]
        for batches in (gallery_batches, query_batches)
    )
