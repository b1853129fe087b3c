"""Crops of one image of any size, right after decoding: the first half of views.

The draws are those of `make_views`; `finish_views` does the rest on the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_seeds, check_dtype
from simclr_tf.augment.jpeg import decode_boxes
from simclr_tf.augment.one_branch import SHARED_VIEW
from simclr_tf.augment.operators import OPERATORS
from simclr_tf.augment.recipes import get_recipe
from simclr_tf.augment.resizing import crop_one
from simclr_tf.augment.upright import is_transposed, orientation_of_jpeg
from simclr_tf.augment.view_plan import View, group_like_views
from simclr_tf.config.image_size import as_size
from simclr_tf.errors import require
from simclr_tf.seeding import fold_in

if TYPE_CHECKING:
    from simclr_tf.augment.recipes import Recipe
    from simclr_tf.augment.view_plan import ViewPlan


def crop_draws(seeds: TensorLike, plan: ViewPlan) -> Tensor:
    """Draw the random numbers of `crop_views`, for a whole batch at once.

    They do not depend on the sizes of the images. Drawing for one image at a time would
    take a third of the time of decoding and cropping it.

    Args:
      seeds: int32 `[B, 2]`, one stateless seed an image.
      plan: ViewPlan.

    Returns:
      float32 tensor `[B, V, 4]` in [0, 1); V crops: 1 for a `OneBranch`, else one a
      view.

    Example:
      >>> from simclr_tf.augment import plan_views
      >>> crop_draws(tf.constant([[0, 1], [0, 2]]), plan_views("cifar", 24)).shape
      TensorShape([2, 2, 4])
    """
    seeds = as_seeds(seeds)
    return tf.stack(
        [_draws(fold_in(seeds, view.number)) for view in _cropped(plan)],
        axis=1,
    )


def crop_views(
    image: TensorLike,
    seed: TensorLike,
    plan: ViewPlan,
    *,
    channels: int = 3,
    draws: TensorLike | None = None,
    upright: bool = False,
) -> tuple[Tensor, ...]:
    """Crop one image of any size for each view: the first half of `make_views`.

    For use in `tf.data.Dataset.map`. JPEG bytes are decoded once for all crops, and
    only the part that the boxes cover.

    Args:
      image: uint8 or floating in [0, 1], `[H, W, C]`, H and W known or not; or a
        string scalar, the bytes of a JPEG file.
      seed: int32 `[2]`, the image's seed.
      plan: ViewPlan with known sizes.
      channels: 1 or 3, channels to which JPEG bytes are decoded.
      draws: float32 `[V, 4]`, the image's part of `crop_draws` of the same seed and
        plan; drawn here if None.
      upright: whether JPEG bytes are known to be stored upright; else the orientation
        that they note is looked for.

    Returns:
      tuple of float32 tensors `[height, width, C]` in [0, 1], one a view.

    Raises:
      ConfigError: image or seed of another form.

    Example:
      >>> from simclr_tf.augment import plan_views
      >>> image = tf.zeros([30, 40, 3], tf.uint8)
      >>> crops = crop_views(image, tf.constant([0, 1]), plan_views("simclr_v2", 24))
      >>> crops[0].shape.as_list()
      [24, 24, 3]
    """
    crops = _crops(image, seed, _cropped(plan), channels, draws, upright)
    return tuple(crops) if plan.one_branch is None else (crops[0], crops[0])


def crop_view(
    image: TensorLike,
    seed: TensorLike,
    recipe: str | Recipe,
    image_size_pixels: int | tuple[int, int],
    *,
    view: int = 0,
    channels: int = 3,
) -> Tensor:
    """Crop one image of any size for one view: the first half of `one_view`.

    Args:
      image, seed: as for `crop_views`.
      recipe: name or `Recipe`.
      image_size_pixels: int or pair (height, width).
      view: int >= 0.
      channels: 1 or 3, channels to which JPEG bytes are decoded.

    Returns:
      float32 tensor `[height, width, C]` in [0, 1].

    Raises:
      ConfigError: unknown recipe, or image, seed or size of another form.

    Example:
      >>> image = tf.zeros([30, 40, 3], tf.uint8)
      >>> crop_view(image, tf.constant([0, 1]), "evaluate", 24).shape.as_list()
      [24, 24, 3]
    """
    views = (View(view, get_recipe(recipe), as_size(image_size_pixels)),)
    return _crops(image, seed, views, channels)[0]


def _cropped(plan):
    """Return the views of a plan that need a crop."""
    if plan.one_branch is None:
        return plan.views
    return (View(SHARED_VIEW, plan.one_branch.shared, plan.views[0].size),)


def _draws(keys):
    """Draw the random numbers of the crops of views with these seeds."""
    crop = OPERATORS["crop"]
    return crop.sample(crop.own_seeds(keys), None, None)


def _crops(image, seed, views, channels, draws=None, upright=False):
    """Crop one image of any size once for each of the views."""
    sizes = [as_size(view.size) for view in views]
    image = tf.convert_to_tensor(image)
    seeds = as_seeds(tf.convert_to_tensor(seed)[tf.newaxis])
    is_jpeg = image.dtype == tf.string
    if is_jpeg:
        require(
            image.shape.rank == 0,
            "JPEG bytes must be one string scalar.",
            shape=str(image.shape),
        )
        orientation = None if upright else orientation_of_jpeg(image)
        size = tf.image.extract_jpeg_shape(image)[:2]
        if orientation is not None:
            size = tf.where(is_transposed(orientation), size[::-1], size)
        height, width = tf.unstack(size)
    else:
        require(
            image.shape.rank == 3,
            "`image` must be [height, width, channels].",
            shape=str(image.shape),
        )
        check_dtype(image, "image")
        height, width = tf.unstack(tf.shape(image)[:2])
    # All views at once: for one image, the cost is the number of operations.
    if draws is None:
        numbers = tf.constant([view.number for view in views])
        draws = _draws(fold_in(tf.tile(seeds, [len(views), 1]), numbers))
    boxes, first = [], 0
    for alike in group_like_views(views):
        own = draws[first : first + len(alike)]
        recipe, size = alike[0].recipe, sizes[first]
        boxes += tf.unstack(OPERATORS["crop"].boxes(own, height, width, recipe, size))
        first += len(alike)
    if is_jpeg:
        image, boxes = decode_boxes(
            image, boxes, height, width, orientation=orientation, channels=channels
        )
    return [crop_one(image, box, size) for box, size in zip(boxes, sizes, strict=True)]
