"""Views of each image, for a whole batch, or in two steps: crop first, rest later.

Every draw is a pure function of (the image's seed, view, operator), so a view does not
depend on the batch size, the device or the order of the threads. For images of one
size, `make_views` applies all operators to the batch, and XLA can compile it. For files
of many sizes, `crop_views` crops each image when it is decoded, and `finish_views`
applies the other operators to the batch, with the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment import one_by_one
from simclr_tf.augment.arguments import (
    as_images,
    as_seeds,
    check_images,
    to_unit,
)
from simclr_tf.augment.one_branch import SHARED_VIEW
from simclr_tf.augment.operators import OPERATORS
from simclr_tf.augment.operators.crop import is_whole_image
from simclr_tf.augment.recipes import get_recipe
from simclr_tf.augment.resizing import apply_crop
from simclr_tf.augment.view_plan import group_like_views, plan_views
from simclr_tf.config.image_size import as_size
from simclr_tf.errors import require
from simclr_tf.seeding import fold_in

if TYPE_CHECKING:
    from simclr_tf.augment.one_branch import OneBranch
    from simclr_tf.augment.recipes import Recipe
    from simclr_tf.augment.view_plan import ViewPlan


def make_views(
    images: TensorLike, seeds: TensorLike, plan: ViewPlan
) -> tuple[Tensor, ...]:
    """Make all views of a plan, on the whole batch at once, with independent draws.

    Args:
      images: uint8 in 0..255 or floating in [0, 1], `[B, H, W, C]`; H, W, C known.
      seeds: int32 `[B, 2]`, one stateless seed an image; all views derive from it.
      plan: ViewPlan.

    Returns:
      tuple of float32 `[B, height, width, C]` in [0, 1], one a view of the plan.

    Raises:
      ConfigError: images or seeds of another form.

    Example:
      >>> from simclr_tf.augment import ViewGroup, plan_views
      >>> plan = plan_views("cifar", 24, (ViewGroup(2), ViewGroup(3, 0.5)))
      >>> images = tf.zeros([4, 32, 32, 3], tf.uint8)
      >>> views = make_views(images, tf.reshape(tf.range(8), [4, 2]), plan)
      >>> [view.shape[1] for view in views]
      [24, 24, 12, 12, 12]

    Source: SimCLR v1 (arXiv:2002.05709), Algorithm 1 and Appendix A; several sizes:
    SwAV (arXiv:2006.09882), section 3.3.
    """
    if plan.one_branch is not None:
        crop = one_view(
            images,
            seeds,
            plan.one_branch.shared,
            view=SHARED_VIEW,
            image_size_pixels=plan.views[0].size,
        )
        return finish_views((crop, crop), seeds, plan)
    images = check_images(images)
    made = []
    for views in group_like_views(plan.views):
        size = _view_size(views[0].size, images)
        keys = _view_seeds(seeds, images, [view.number for view in views])
        # One pass over all views: fewer operations to run and to compile.
        made += _split(
            _view(_stack([images] * len(views)), _stack(keys), views[0].recipe, size),
            len(views),
        )
    return tuple(made)


def two_views(
    images: TensorLike,
    seeds: TensorLike,
    recipe: str | Recipe | OneBranch | Sequence[str | Recipe],
    *,
    image_size_pixels: int | tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Make two views of each image: `make_views` of a plan of two.

    Args:
      images, seeds: as in `make_views`.
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
    """
    size = None if image_size_pixels is None else as_size(image_size_pixels)
    return make_views(images, seeds, plan_views(recipe, size))


def one_view(
    images: TensorLike,
    seeds: TensorLike,
    recipe: str | Recipe,
    *,
    view: int = 0,
    image_size_pixels: int | tuple[int, int] | None = None,
) -> Tensor:
    """Make one view of each image; view k is number k of a plan.

    Args:
      images: uint8 in 0..255 or floating in [0, 1], `[B, H, W, C]`; H, W, C known.
      seeds: int32 `[B, 2]`, one stateless seed an image.
      recipe: name or `Recipe`.
      view: int >= 0; each number has its own draws.
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


def finish_views(
    crops: TensorLike, seeds: TensorLike, plan: ViewPlan
) -> tuple[Tensor, ...]:
    """Apply all operators after the crop: the second half of `make_views`.

    Args:
      crops: tuple of uint8 or floating in [0, 1], `[B, h, w, C]`, one a view.
      seeds: int32 `[B, 2]`, the seeds that the crops were made with.
      plan: ViewPlan.

    Returns:
      tuple of float32 `[B, h, w, C]` in [0, 1].

    Raises:
      ConfigError: crops or seeds of another form, or not one crop a view.

    Example:
      >>> crops = tf.zeros([2, 24, 24, 3])
      >>> seeds = tf.constant([[0, 1], [0, 2]])
      >>> len(finish_views((crops, crops), seeds, plan_views("simclr_v2", 24)))
      2
    """
    require(
        len(crops) == len(plan.views),
        "There must be one crop for each view.",
        crops=len(crops),
        views=len(plan.views),
    )
    if plan.one_branch is not None:
        changed, other = (as_images(crop, "crops") for crop in crops)
        for number, stage in enumerate(plan.one_branch.stages):
            changed = one_view(changed, seeds, stage, view=number)
        return changed, other
    crops, finished = list(crops), []
    for views in group_like_views(plan.views):
        own = [as_images(crops.pop(0), "crops") for _ in views]
        keys = _view_seeds(seeds, own[0], [view.number for view in views])
        stacked = _finish(_stack(own), _stack(keys), views[0].recipe)
        finished += _split(stacked, len(views))
    return tuple(finished)


def finish_view(
    crops: TensorLike, seeds: TensorLike, recipe: str | Recipe, *, view: int = 0
) -> Tensor:
    """Apply all operators after the crop: the second half of `one_view`.

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


def _view_seeds(seeds, images, views):
    """Return the seeds `[B, 2]` of each view, checked against the images."""
    seeds = as_seeds(seeds, images.shape[0])
    return [fold_in(seeds, view) for view in views]


def _view_size(image_size_pixels, images):
    if image_size_pixels is None:
        return tuple(images.shape[1:3])
    return as_size(image_size_pixels)


def _stack(batches):
    """Join batches of B into one."""
    return batches[0] if len(batches) == 1 else tf.concat(batches, axis=0)


def _split(stacked, number):
    return tf.split(stacked, number) if number > 1 else [stacked]


def _view(images, keys, recipe, size):
    """Make one view of each image; `keys` are the seeds of the view."""
    height, width = images.shape[1:3]
    if is_whole_image(recipe, size) and size == (height, width):
        return _finish(to_unit(images), keys, recipe)  # exact on any device
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
    """Apply all operators after the crop; `keys` are the seeds of the view."""
    return _applied(_operators_after_crop(recipe), crops, keys, recipe)


def _operators_after_crop(recipe):
    return [name for name in recipe.order if OPERATORS[name].is_on(recipe)]


def _applied(names, images, keys, recipe):
    if names and one_by_one.is_cheaper(images):
        return one_by_one.apply_operators(names, images, keys, recipe)
    for name in names:
        images = OPERATORS[name].change(images, keys, recipe)
    return tf.clip_by_value(images, 0.0, 1.0)
