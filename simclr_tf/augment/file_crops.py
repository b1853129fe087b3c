"""Both crops of one image of any size, where it is decoded: the first half of a view.

The draws are those of `two_views`; `finish_views` does the rest on the batch.
"""

import tensorflow as tf

from simclr_tf.augment.arguments import as_seeds, as_size, check_dtype
from simclr_tf.augment.jpeg import decode_boxes
from simclr_tf.augment.one_branch import SHARED_VIEW, OneBranch
from simclr_tf.augment.operators import OPERATORS
from simclr_tf.augment.recipes import get_recipe, recipe_pair
from simclr_tf.augment.resizing import crop_one
from simclr_tf.errors import require
from simclr_tf.seeding import fold_in


def crop_draws(seeds, recipe):
    """The random numbers of `crop_views`, for a whole batch at once.

    They do not depend on the images' sizes. For one image alone, launching the
    operations that draw them takes a third of decoding and cropping it.

    Args:
      seeds: int32 `[B, 2]`, one stateless seed an image.
      recipe: as for `crop_views`.

    Returns:
      float32 tensor `[B, V, 4]` in [0, 1); V crops: 1 for a `OneBranch`, else 2.

    Example:
      >>> crop_draws(tf.constant([[0, 1], [0, 2]]), "cifar").shape.as_list()
      [2, 2, 4]
    """
    seeds = as_seeds(seeds)
    return tf.stack(
        [_draws(fold_in(seeds, view)) for view in _recipes_and_views(recipe)[1]],
        axis=1,
    )


def crop_views(image, seed, recipe, image_size_pixels, *, channels=3, draws=None):
    """Both crops of one image of any size: the first half of `two_views`.

    Meant for `tf.data.Dataset.map`. JPEG bytes are decoded once for both crops, and
    only the part that the two boxes cover.

    Args:
      image: uint8 or floating in [0, 1], `[H, W, C]`, H and W known or not; or a
        string scalar, the bytes of a JPEG file.
      seed: int32 `[2]`, the image's seed.
      recipe: name, `Recipe`, a pair (recipe_a, recipe_b), or `OneBranch`.
      image_size_pixels: int or pair (height, width).
      channels: 1 or 3, what JPEG bytes are decoded to.
      draws: float32 `[V, 4]`, the image's part of `crop_draws` of the same seed and
        recipe; drawn here if None.

    Returns:
      (crop_a, crop_b), float32 tensors `[height, width, C]` in [0, 1].

    Raises:
      ConfigError: unknown recipe, or image, seed or size of another form.

    Example:
      >>> image = tf.zeros([30, 40, 3], tf.uint8)
      >>> crop_a, crop_b = crop_views(image, tf.constant([0, 1]), "simclr_v2", 24)
      >>> crop_a.shape.as_list()
      [24, 24, 3]
    """
    recipes, views = _recipes_and_views(recipe)
    crops = _crops(image, seed, recipes, views, image_size_pixels, channels, draws)
    return crops[0], crops[-1]


def crop_view(image, seed, recipe, image_size_pixels, *, view=0, channels=3):
    """One crop of one image of any size: the first half of `one_view`.

    Args:
      image, seed, image_size_pixels, channels: as for `crop_views`.
      recipe: name or `Recipe`.
      view: int >= 0.

    Returns:
      float32 tensor `[height, width, C]` in [0, 1].

    Raises:
      ConfigError: unknown recipe, or image, seed or size of another form.

    Example:
      >>> image = tf.zeros([30, 40, 3], tf.uint8)
      >>> crop_view(image, tf.constant([0, 1]), "evaluate", 24).shape.as_list()
      [24, 24, 3]
    """
    recipes = (get_recipe(recipe),)
    return _crops(image, seed, recipes, (view,), image_size_pixels, channels)[0]


def _recipes_and_views(recipe):
    """(recipes, numbers of views) of the crops."""
    if isinstance(recipe, OneBranch):
        return (recipe.shared,), (SHARED_VIEW,)
    return recipe_pair(recipe), (0, 1)


def _draws(keys):
    """The random numbers of the crops of views with these seeds."""
    crop = OPERATORS["crop"]
    return crop.sample(crop.own_seeds(keys), None, None)


def _crops(image, seed, recipes, views, image_size_pixels, channels, draws=None):
    """One crop of one image for each of the views."""
    size = as_size(image_size_pixels)
    image = tf.convert_to_tensor(image)
    seeds = as_seeds(tf.convert_to_tensor(seed)[tf.newaxis])
    is_jpeg = image.dtype == tf.string
    if is_jpeg:
        require(
            image.shape.rank == 0,
            "JPEG bytes must be one string scalar.",
            shape=str(image.shape),
        )
        height, width = tf.unstack(tf.image.extract_jpeg_shape(image)[:2])
    else:
        require(
            image.shape.rank == 3,
            "`image` must be [height, width, channels].",
            shape=str(image.shape),
        )
        check_dtype(image, "image")
        height, width = tf.unstack(tf.shape(image)[:2])
    # All views at once: for one image, launching an operation is what it costs.
    if draws is None:
        keys = fold_in(tf.tile(seeds, [len(views), 1]), tf.constant(views))
        draws = _draws(keys)
    if len(set(recipes)) == 1:
        boxes = tf.unstack(
            OPERATORS["crop"].boxes(draws, height, width, recipes[0], size)
        )
    else:
        boxes = [
            OPERATORS["crop"].boxes(draw[tf.newaxis], height, width, recipe, size)[0]
            for recipe, draw in zip(recipes, tf.unstack(draws), strict=True)
        ]
    if is_jpeg:
        image, boxes = decode_boxes(image, boxes, height, width, channels=channels)
    return [crop_one(image, box, size) for box in boxes]
