"""Two views of each image: the whole batch at once, or crop first and the rest later.

Every draw is a pure function of (the image's seed, view, operator), so a view looks
the same whatever the batch size, the device or the order of the threads. For images
of one size, `two_views` does everything on the batch, and XLA can compile it. For
files of many sizes, `crop_views` cuts each image where it is decoded and
`finish_views` does the rest on the batch, with the same draws.
"""

import tensorflow as tf

from simclr_tf.augment import one_by_one
from simclr_tf.augment.arguments import (
    as_images,
    as_seeds,
    as_size,
    check_images,
    to_unit,
)
from simclr_tf.augment.one_branch import SHARED_VIEW, OneBranch
from simclr_tf.augment.operators import OPERATORS
from simclr_tf.augment.operators.crop import is_whole_image
from simclr_tf.augment.recipes import get_recipe, recipe_pair
from simclr_tf.augment.resizing import apply_crop
from simclr_tf.seeding import fold_in


def two_views(images, seeds, recipe, *, image_size_pixels=None):
    """Two views of each image, with independent draws.

    Args:
      images: uint8 in 0..255 or floating in [0, 1], `[B, H, W, C]`; H, W, C known.
      seeds: int32 `[B, 2]`, one stateless seed an image; both views derive from it.
      recipe: name, `Recipe`, a pair (recipe_a, recipe_b), one for each view, or
        `OneBranch`.
      image_size_pixels: int or pair (height, width); None keeps (H, W).

    Returns:
      (view_a, view_b), float32 tensors `[B, height, width, C]` in [0, 1].

    Raises:
      ConfigError: unknown recipe, or images, seeds or size of another form.

    Example:
      >>> images = tf.zeros([4, 32, 32, 3], tf.uint8)
      >>> seeds = tf.reshape(tf.range(8), [4, 2])
      >>> view_a, view_b = two_views(images, seeds, "cifar", image_size_pixels=24)
      >>> view_a.shape.as_list()
      [4, 24, 24, 3]

    Source: SimCLR v1 (arXiv:2002.05709), Algorithm 1 and Appendix A.
    """
    if isinstance(recipe, OneBranch):
        crops = one_view(
            images,
            seeds,
            recipe.shared,
            view=SHARED_VIEW,
            image_size_pixels=image_size_pixels,
        )
        return finish_views(crops, crops, seeds, recipe)
    recipe_a, recipe_b = recipe_pair(recipe)
    images = check_images(images)
    size = _view_size(image_size_pixels, images)
    keys_a, keys_b = _view_seeds(seeds, images)
    if recipe_a != recipe_b:
        return (
            _view(images, keys_a, recipe_a, size),
            _view(images, keys_b, recipe_b, size),
        )
    # One pass over 2B images: half the operations to launch and to compile.
    images, keys = _stack(images, images), _stack(keys_a, keys_b)
    return tuple(tf.split(_view(images, keys, recipe_a, size), 2))


def one_view(images, seeds, recipe, *, view=0, image_size_pixels=None):
    """One view of each image; view 0 and 1 are those of `two_views`.

    Args:
      images: uint8 in 0..255 or floating in [0, 1], `[B, H, W, C]`; H, W, C known.
      seeds: int32 `[B, 2]`, one stateless seed an image.
      recipe: name or `Recipe`.
      view: int >= 0, another number is another draw.
      image_size_pixels: int or pair (height, width); None keeps (H, W).

    Returns:
      float32 tensor `[B, height, width, C]` in [0, 1].

    Raises:
      ConfigError: unknown recipe, or images, seeds or size of another form.

    Example:
      >>> images = tf.zeros([1, 40, 50, 3], tf.uint8)
      >>> one_view(images, tf.constant([[0, 1]]), "evaluate").shape.as_list()
      [1, 40, 50, 3]
    """
    images = check_images(images)
    size = _view_size(image_size_pixels, images)
    (keys,) = _view_seeds(seeds, images, [view])
    return _view(images, keys, get_recipe(recipe), size)


def finish_views(crops_a, crops_b, seeds, recipe):
    """All operators after the crop, on a batch: the second half of `two_views`.

    Args:
      crops_a, crops_b: uint8 or floating in [0, 1], `[B, S, S, C]`.
      seeds: int32 `[B, 2]`, the seeds that the crops were made with.
      recipe: name, `Recipe`, a pair (recipe_a, recipe_b), or `OneBranch`.

    Returns:
      (view_a, view_b), float32 tensors `[B, S, S, C]` in [0, 1].

    Raises:
      ConfigError: unknown recipe, or crops or seeds of another form.

    Example:
      >>> crops = tf.zeros([2, 24, 24, 3])
      >>> seeds = tf.constant([[0, 1], [0, 2]])
      >>> len(finish_views(crops, crops, seeds, "simclr_v2"))
      2
    """
    crops_a, crops_b = as_images(crops_a, "crops_a"), as_images(crops_b, "crops_b")
    if isinstance(recipe, OneBranch):
        for number, stage in enumerate(recipe.stages):
            crops_a = one_view(crops_a, seeds, stage, view=number)
        return crops_a, crops_b
    recipe_a, recipe_b = recipe_pair(recipe)
    keys_a, keys_b = _view_seeds(seeds, crops_a)
    if recipe_a != recipe_b:
        return _finish(crops_a, keys_a, recipe_a), _finish(crops_b, keys_b, recipe_b)
    crops, keys = _stack(crops_a, crops_b), _stack(keys_a, keys_b)
    return tuple(tf.split(_finish(crops, keys, recipe_a), 2))


def finish_view(crops, seeds, recipe, *, view=0):
    """All operators after the crop, on a batch: the second half of `one_view`.

    Args:
      crops: uint8 or floating in [0, 1], `[B, S, S, C]`.
      seeds: int32 `[B, 2]`, the seeds that the crops were made with.
      recipe: name or `Recipe`.
      view: int >= 0.

    Returns:
      float32 tensor `[B, S, S, C]` in [0, 1].

    Raises:
      ConfigError: unknown recipe, or crops or seeds of another form.

    Example:
      >>> finish_view(tf.zeros([1, 8, 8, 1]), tf.constant([[0, 1]]), "small_grey").shape
      TensorShape([1, 8, 8, 1])
    """
    crops = as_images(crops, "crops")
    (keys,) = _view_seeds(seeds, crops, [view])
    return _finish(crops, keys, get_recipe(recipe))


def _view_seeds(seeds, images, views=(0, 1)):
    """The seeds `[B, 2]` of each view, checked against the images."""
    seeds = as_seeds(seeds, images.shape[0])
    return [fold_in(seeds, view) for view in views]


def _view_size(image_size_pixels, images):
    if image_size_pixels is None:
        return tuple(images.shape[1:3])
    return as_size(image_size_pixels)


def _stack(of_view_a, of_view_b):
    """Two batches as one of 2B."""
    return tf.concat([of_view_a, of_view_b], axis=0)


def _view(images, keys, recipe, size):
    """One view of each image; `keys` are the seeds of the view."""
    height, width = images.shape[1:3]
    if is_whole_image(recipe, size) and size == (height, width):
        return _finish(to_unit(images), keys, recipe)  # exactly, on any device
    crop = OPERATORS["crop"]
    draw = crop.sample(crop.own_seeds(keys), recipe, None)
    boxes = crop.boxes(draw, height, width, recipe, size)
    names = _operators_after_crop(recipe)
    flips = None
    if names and OPERATORS[names[0]].mirrors:
        first = OPERATORS[names.pop(0)]
        flips = first.sample(first.own_seeds(keys), recipe, None)
    return _applied(names, apply_crop(images, boxes, size, flips=flips), keys, recipe)


def _finish(crops, keys, recipe):
    """All operators after the crop; `keys` are the seeds of the view."""
    return _applied(_operators_after_crop(recipe), crops, keys, recipe)


def _operators_after_crop(recipe):
    return [name for name in recipe.order if OPERATORS[name].is_on(recipe)]


def _applied(names, images, keys, recipe):
    if names and one_by_one.is_cheaper(images):
        images = one_by_one.apply_operators(names, images, keys, recipe)
    else:
        for name in names:
            images = OPERATORS[name].change(images, keys, recipe)
    return tf.clip_by_value(images, 0.0, 1.0)
