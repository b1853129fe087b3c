"""The two pictures of a run: what the network is shown, and what it finds alike."""

import numpy as np

from simclr_tf.augment import two_views
from simclr_tf.data import training_dataset
from simclr_tf.evaluation import nearest_neighbours
from simclr_tf.reports.plots import neighbours_figure, view_pairs_figure

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
    batch = next(iter(training_dataset(
        source, global_batch_size=min(NUM_VIEWS, source.num_examples), seed=seed,
        total_steps=1)))
    view_a, view_b = two_views(batch["images"], batch["seeds"], recipe,
                               image_size_pixels=image_size_pixels)
    view_pairs_figure(batch["images"].numpy(), view_a.numpy(), view_b.numpy(), path)


def picture_of_neighbours(train, test, representations, path, *, class_names=None,
                          seed=0):
    """Some test images with their nearest training images, for each representation.

    Queries are drawn with a seed, one a class in turn, not picked.

    Args:
      train, test: pairs (images `[n, H, W, C]`, labels `[n]`).
      representations: dict of title to (train features, test features).
      path: path of the PNG.
      class_names: list of str or None.
      seed: int, of the draw.
    """
    (train_images, train_labels), (test_images, test_labels) = train, test
    queries = _one_a_class(test_labels, NUM_QUERIES, seed)
    k = min(NUM_NEIGHBOURS, len(train_images))
    found = {
        title: nearest_neighbours(features, test_features[queries], k)[0]
        for title, (features, test_features) in representations.items()
    }
    neighbours_figure(
        test_images[queries], train_images, found, path,
        query_labels=test_labels[queries], gallery_labels=train_labels,
        class_names=class_names)


def _one_a_class(labels, number, seed):
    """Rows of a random image of each class in turn, until there are enough."""
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.zeros(len(labels), int)  # How many of its class come before it.
    seen = {}
    for row in order:
        rank[row] = seen[labels[row]] = seen.get(labels[row], -1) + 1
    turns = sorted(order, key=lambda row: rank[row])
    return np.asarray(turns[:number])
