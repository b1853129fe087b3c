"""View plans: how many views, of which recipe and size; imports no TensorFlow.

An objective lists its views as groups (`ViewGroup`); `plan_views` turns the groups into
one `View` for each view.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Sequence
from typing import Any

from simclr_tf.augment.one_branch import OneBranch
from simclr_tf.augment.recipes import Recipe, get_recipe
from simclr_tf.config.image_size import as_size
from simclr_tf.errors import ConfigError, received_text, require


@dataclasses.dataclass(frozen=True)
class ViewGroup:
    """Views of the same size and recipe.

    Attributes:
      count: int >= 1, number of views.
      size_fraction: float in (0, 1], side of the views / side of a full view (SwAV's
        small crops: 96 / 224).
      crop_area: (min, max), fraction of the image's area in a crop; the recipe's if
        None.
    """

    count: int
    size_fraction: float = 1.0
    crop_area: tuple | None = None

    def __post_init__(self):
        require(self.count >= 1, "`count` must be >= 1.", count=self.count)
        require(
            0 < self.size_fraction <= 1,
            "`size_fraction` must be in (0, 1].",
            size_fraction=self.size_fraction,
        )


@dataclasses.dataclass(frozen=True)
class View:
    """One view of every image.

    Attributes:
      number: int, its position in the seed tree.
      recipe: Recipe.
      size: (height, width) in pixels, or None: the images' own.
    """

    number: int
    recipe: Recipe
    size: tuple | None


@dataclasses.dataclass(frozen=True)
class ViewPlan:
    """All views of an image, in order.

    Attributes:
      views: tuple of View.
      one_branch: OneBranch, if both views come from one crop and only the first is
        changed further; else None.
    """

    views: tuple[View, ...]
    one_branch: OneBranch | None = None

    @property
    def num_full_views(self) -> int:
        """int, views of the full size; they are the first ones."""
        return sum(view.size == self.views[0].size for view in self.views)


def group_like_views(views):
    """Group successive views of one recipe and size, which are made in one pass.

    Args:
      views: tuple of View.

    Returns:
      list of lists of View.

    Example:
      >>> plan = plan_views("cifar", 32, (ViewGroup(2), ViewGroup(6, 0.5)))
      >>> [len(views) for views in group_like_views(plan.views)]
      [2, 6]
    """
    key = operator.attrgetter("recipe", "size")
    return [list(group) for _, group in itertools.groupby(views, key)]


def plan_views(
    recipe: str | Recipe | OneBranch | Sequence[str | Recipe],
    image_size_pixels: int | tuple[int, int] | None = None,
    groups: Sequence[ViewGroup] = (ViewGroup(2),),
) -> ViewPlan:
    """Plan the views of an objective.

    Args:
      recipe: name, Recipe, a tuple of recipes, one for each view of the first group,
        or OneBranch.
      image_size_pixels: int or (height, width) of a full view; None: the images' own.
      groups: tuple of ViewGroup, those of the full size first.

    Returns:
      ViewPlan.

    Raises:
      ConfigError: an unknown recipe, a wrong number of recipes, small views of an
        unknown size, or a OneBranch for other than two views.

    Example:
      >>> plan = plan_views("cifar", 32, (ViewGroup(2), ViewGroup(6, 0.5, (0.05, 0.3))))
      >>> [view.size for view in plan.views[1:3]], plan.views[2].number
      ([(32, 32), (16, 16)], 2)
    """
    size: Any = None
    if image_size_pixels is not None:
        size = as_size(image_size_pixels)
    one_branch = recipe if isinstance(recipe, OneBranch) else None
    if one_branch is not None and groups != (ViewGroup(2),):
        raise ConfigError(
            "A recipe that changes one branch is for two views of one size; use "
            "--objective.small_views=0, or an objective with two views. "
            + received_text(
                views=[(group.count, group.size_fraction) for group in groups]
            )
        )
    if one_branch is not None:
        recipes = [one_branch.shared] * 2
    elif isinstance(recipe, (tuple, list)):
        recipes = [get_recipe(one) for one in recipe]
        require(
            len(recipes) == groups[0].count,
            "A list of recipes must have one for each view of the full size.",
            recipes=len(recipes),
            views=groups[0].count,
        )
    else:
        recipe_of_all = get_recipe(recipe)  # type: ignore[arg-type]
        recipes = [recipe_of_all] * groups[0].count
    views = []
    for group in groups:
        for place in range(group.count):
            own = recipes[place] if group is groups[0] else recipes[0]
            views.append(View(len(views), _changed(own, group), _scaled(size, group)))
    return ViewPlan(tuple(views), one_branch)


def _changed(recipe, group):
    if group.crop_area is None:
        return recipe
    smallest, largest = group.crop_area
    return dataclasses.replace(
        recipe, crop_area_min_fraction=smallest, crop_area_max_fraction=largest
    )


def _scaled(size, group):
    if group.size_fraction == 1.0:
        return size
    require(
        size is not None,
        "Small views are a fraction of `image_size_pixels`, which must be given.",
        image_size_pixels=size,
    )
    return tuple(max(1, round(side * group.size_fraction)) for side in size)
