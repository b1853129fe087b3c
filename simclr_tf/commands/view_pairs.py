"""Images of a source, with the pairs of views that training makes from them."""

from typing import NamedTuple

import numpy as np

from simclr_tf.augment import ViewGroup, plan_views
from simclr_tf.data import evaluation_batches, plain_errors, training_dataset
from simclr_tf.training.views_of_batch import ViewsOfBatch


class ViewPairs(NamedTuple):
    """Images and their views, row by row.

    Attributes:
      ids: int64 `[N]`, examples of the source.
      images: float32 `[N, S, S, C]` in [0, 1], resized (files: centre crops).
      view_a, view_b: float32 `[N, S, S, C]` in [0, 1].
      small: tuple of float32 `[N, s, s, C]` in [0, 1], the further views.
    """

    ids: np.ndarray
    images: np.ndarray
    view_a: np.ndarray
    view_b: np.ndarray
    small: tuple = ()


def view_pairs(source, recipe, *, image_size_pixels, number, seed=0, groups=()):
    """Make the first views that a run with this seed sees of some images.

    Args:
      source: Source, see `simclr_tf.data.open_source`.
      recipe: name or Recipe.
      image_size_pixels: int or (height, width) of a view.
      number: int >= 2; at most the number of images.
      seed: int, the run seed: it draws the images and the views.
      groups: tuple of ViewGroup, those of the objective. Whatever the first one is, two
        full views are made.

    Returns:
      ViewPairs.

    Raises:
      DataError: images that cannot be read.
      ConfigError: a recipe that does not fit the images.

    Example:
      >>> from simclr_tf.data import open_source
      >>> source = open_source(np.zeros([4, 8, 8, 3], np.uint8))
      >>> view_pairs(source, "cifar", image_size_pixels=6, number=3).view_b.shape
      (3, 6, 6, 3)
    """
    plan = plan_views(recipe, image_size_pixels, (ViewGroup(2), *groups[1:]))
    views_of = ViewsOfBatch(plan, compile_views=False)
    with plain_errors():
        dataset = training_dataset(
            source,
            global_batch_size=min(number, source.num_examples),
            seed=seed,
            total_steps=1,
            plan=plan,
        )
        batch = next(iter(dataset))
        view_a, view_b, *small = (view.numpy() for view in views_of(batch))
    ids = batch["ids"].numpy()
    return ViewPairs(
        ids,
        resized_images(source, ids, image_size_pixels),
        view_a,
        view_b,
        tuple(small),
    )


def resized_images(source, ids, image_size_pixels):
    """Read images of a source at the size that evaluation uses.

    Args:
      source: Source.
      ids: int array `[n]`, n >= 2, readable examples.
      image_size_pixels: int or (height, width).

    Returns:
      float32 `[n, height, width, C]` in [0, 1].
    """
    with plain_errors():
        return np.concatenate(
            [
                batch["images"].numpy()
                for batch in evaluation_batches(
                    source.subset(ids), 256, image_size_pixels
                )
            ]
        )
