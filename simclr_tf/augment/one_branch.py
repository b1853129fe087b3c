"""Pairs of views in which only the first is changed: the paper's ablation.

Both views start from one random crop of the image. One or several operators are applied
to the first view; the second view is the crop. This module imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from simclr_tf.augment.operators import OPERATORS
from simclr_tf.augment.recipes import Recipe, get_recipe
from simclr_tf.errors import require, unknown_choice

if TYPE_CHECKING:
    from simclr_tf.augment.operators.operator import Operator


SHARED_VIEW = 2  # Number of the crop that both views start from, for its own draw.

_WHOLE_IMAGE = {
    "geometry": "center_crop",
    "center_crop_fraction": 1.0,
    "center_crop_above_pixels": 1 << 30,
}


def one_branch_operators() -> dict[str, list[Operator]]:
    """List the names that `OneBranch` can apply, each with its operators.

    Example:
      >>> list(one_branch_operators())
      ['crop', 'color', 'blur', 'cutout', 'rotate', 'noise', 'sobel']
    """
    groups = {}
    for operator in OPERATORS.values():
        if operator.one_branch is not None:
            groups.setdefault(operator.one_branch, []).append(operator)
    return groups


@dataclasses.dataclass(frozen=True)
class OneBranch:
    """One random crop for both views; operators on the first view alone.

    Args:
      recipe: Recipe, or the name of one, with the parameters of the operators.
      operators: tuple of names of `one_branch_operators()`, in the order of
        application; "crop" is a second random crop, with the recipe's flips, and
        "color" is jitter and grey with the recipe's probabilities. Every other operator
        changes every image.

    Raises:
      ConfigError: an unknown operator, or none.

    Example:
      >>> pair = OneBranch("cifar", ("color", "rotate"))
      >>> [stage.rotate_probability for stage in pair.stages]
      [0.0, 1.0]

    Source: arXiv 2002.05709, section 3.1 and Figure 5: "we always first randomly crop
    images and resize them to the same resolution, and we then apply the targeted
    transformation(s) only to one branch", the other being the identity.
    """

    recipe: Recipe | str
    operators: tuple[str, ...]

    def __post_init__(self):
        object.__setattr__(self, "recipe", get_recipe(self.recipe))
        require(
            isinstance(self.operators, tuple) and self.operators,
            "`operators` must be a tuple of at least one name.",
            operators=self.operators,
        )
        known = one_branch_operators()
        for operator in self.operators:
            if operator not in known:
                raise unknown_choice("operator", operator, known)

    @property
    def shared(self) -> Recipe:
        """Recipe of the crop that both views start from, without other operators."""
        return dataclasses.replace(get_recipe(self.recipe), **_off())

    @property
    def stages(self) -> tuple[Recipe, ...]:
        """tuple of Recipe, one for each operator, without other operators."""
        return tuple(_alone(self.recipe, operator) for operator in self.operators)


def recipe_of_views(recipe: str | Recipe | OneBranch) -> Recipe | OneBranch:
    """Return the recipe of two views: a `OneBranch` unchanged, else as in `get_recipe`.

    Raises:
      ConfigError: an unknown recipe.

    Example:
      >>> recipe_of_views("cifar").color_strength
      0.5
    """
    return recipe if isinstance(recipe, OneBranch) else get_recipe(recipe)


def _off():
    return {operator.switch: 0.0 for operator in OPERATORS.values() if operator.switch}


def _alone(recipe, name):
    """Return a recipe with only the operators of one name."""
    operators, values = one_branch_operators()[name], _off()
    for operator in operators:
        if operator.switch:
            own = getattr(recipe, operator.switch)
            values[operator.switch] = 1.0 if operator.one_branch_always else own
    crops = any(operator.switch is None for operator in operators)
    geometry = {} if crops else _WHOLE_IMAGE
    return dataclasses.replace(recipe, **geometry, **values)
