"""The two pictures of a run: what the network is shown, and what it finds alike."""

import numpy as np

from simclr_tf.augment import two_views
from simclr_tf.data import training_dataset
from simclr_tf.evaluation import nearest_neighbours
from simclr_tf.report.plots import neighbours_figure, view_pairs_figure

NUM_VIEWS, NUM_QUERIES, NUM_NEIGHBOURS = 12, 8, 6


def picture_of_views(source, recipe, path, *, image_size_pixels, seed=0):
    """A contact sheet of images with the views that training makes of them.

    Args:
      source: Source of images in memory with one size.
      recipe: name or Recipe.
      path: path of the PNG.
      image_size_pixels: int, size of a view.
      seed: int, the run seed: these are the first views of the run.
    """
    batch = next(
        iter(
            training_dataset(
                source,
                global_batch_size=min(NUM_VIEWS, source.num_examples),
                seed=seed,
                total_steps=1,
            )
        )
    )
    view_a, view_b = two_views(
        batch["images"], batch["seeds"], recipe, image_size_pixels=image_size_pixels
    )
    view_pairs_figure(batch["images"].numpy(), view_a.numpy(), view_b.numpy(), path)


def picture_of_neighbours(train, test, representations, path, *, seed=0):
    """Some test images with their nearest training images, for each representation.

    Queries are drawn with a seed, one a class in turn, not picked.

    Args:
      train, test: labelled Sources of images in memory.
      representations: dict of title to (train features, test features), rows in the
        order of the sources.
      path: path of the PNG.
      seed: int, of the draw.
    """
    queries = one_a_class(test.labels, NUM_QUERIES, seed)
    k = min(NUM_NEIGHBOURS, train.num_examples)
    found = {
        title: nearest_neighbours(features, test_features[queries], k)[0]
        for title, (features, test_features) in representations.items()
    }
    # Only the images that are drawn are read.
    shown = np.unique(np.concatenate([rows.ravel() for rows in found.values()]))
    places = {title: np.searchsorted(shown, rows) for title, rows in found.items()}
    neighbours_figure(
        test.read_images(queries),
        train.read_images(shown),
        places,
        path,
        query_labels=test.labels[queries],
        gallery_labels=train.labels[shown],
        class_names=train.classes,
    )


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
    return np.asarray(sorted(order, key=rank.get)[:number])
