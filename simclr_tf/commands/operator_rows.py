"""Each operator of a recipe at several strengths, on a few images: SimCLR's Figure 4.

The strengths are not random here: they go from the mildest to the strongest that the
recipe can draw, or that the defaults can draw if the recipe does not use the operator.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from simclr_tf.augment import OPERATORS, Recipe
from simclr_tf.report.blocks import Tile


def operator_rows(images, large_images, recipe):
    """Make rows of tiles, one an operator.

    Args:
      images: float32 `[n, S, S, C]` in [0, 1], as large as a view.
      large_images: float32 `[n, L, L, C]`, L >= S, the same images to be cropped.
      recipe: Recipe.

    Returns:
      tuple of (title, tuple of Tile): the originals, the crop, the flip, the four
      colour operators, and so on; colour operators only for images of three channels.

    Example:
      >>> rows = operator_rows(*[np.zeros([1, 8, 8, 1], np.float32)] * 2, Recipe())
      >>> [title.split(" ")[0] for title, _ in rows]
      ['original', 'crop', 'flip', 'brightness', 'contrast', 'blur', 'cutout', \
'rotate', 'noise', 'sobel']
    """
    images = tf.convert_to_tensor(images, tf.float32)
    large_images = tf.convert_to_tensor(large_images, tf.float32)
    rows = [("original", [("", images)])]
    for operator in OPERATORS.values():
        rows += operator.strengths(images, recipe, large_images)
    return tuple((title, _tiles(shown)) for title, shown in rows)


def _tiles(shown):
    """Make the tiles: all strengths of the first image, then of the next."""
    number = len(shown[0][1])
    return tuple(
        Tile(np.asarray(changed[image]), caption)
        for image in range(number)
        for caption, changed in shown
    )


def changed_fields(recipe, named):
    """List the fields in which two recipes differ, as rows of a table.

    Args:
      recipe, named: Recipe.

    Returns:
      tuple of (name, value there, value here), all str.

    Example:
      >>> changed_fields(Recipe(hue=0.1), Recipe())
      (('hue', '0.2', '0.1'),)
    """
    return tuple(
        (field.name, str(getattr(named, field.name)), str(getattr(recipe, field.name)))
        for field in dataclasses.fields(Recipe)
        if getattr(named, field.name) != getattr(recipe, field.name)
    )
