"""Views of which only the first is changed: the paper's ablation of operators.

Both views start from one random crop of the image. The second stays as it is; the
first goes through one or several operators, one after the other. This module imports
no TensorFlow.
"""

import dataclasses

from simclr_tf.augment.recipes import Recipe, get_recipe
from simclr_tf.errors import require, unknown_choice

SHARED_VIEW = 2  # The crop that both views start from: a draw of its own.

# Operator -> the fields of a recipe that switch it on. Colour keeps the recipe's own
# probabilities of jitter and of grey; every other operator changes every image.
ONE_BRANCH_OPERATORS = {
    "crop": (),
    "cutout": ("cutout_probability",),
    "color": (),
    "sobel": ("sobel_probability",),
    "noise": ("noise_probability",),
    "blur": ("blur_probability",),
    "rotate": ("rotate_probability",),
}
_COLOR = ("jitter_probability", "grayscale_probability")
_SWITCHES = tuple(
    field.name
    for field in dataclasses.fields(Recipe)
    if field.name.endswith("_probability")
)
_WHOLE_IMAGE = {
    "geometry": "center_crop",
    "center_crop_fraction": 1.0,
    "center_crop_above_pixels": 1 << 30,
}


@dataclasses.dataclass(frozen=True)
class OneBranch:
    """One random crop for both views; operators on the first view alone.

    Args:
      recipe: Recipe, or the name of one: every number of the operators.
      operators: tuple of names out of `ONE_BRANCH_OPERATORS`, in the order in which
        they are applied; "crop" is a second random crop, with the recipe's flips.

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
        for operator in self.operators:
            if operator not in ONE_BRANCH_OPERATORS:
                raise unknown_choice("operator", operator, ONE_BRANCH_OPERATORS)

    @property
    def shared(self):
        """Recipe of the crop that both views start from: nothing but the crop."""
        return dataclasses.replace(self.recipe, **_off())

    @property
    def stages(self):
        """tuple of Recipe, one an operator: that operator alone."""
        return tuple(_alone(self.recipe, operator) for operator in self.operators)


def recipe_of_views(recipe):
    """The recipe of two views: a `OneBranch` as it is, else as of `get_recipe`.

    Raises:
      ConfigError: an unknown recipe.

    Example:
      >>> recipe_of_views("cifar").color_strength
      0.5
    """
    return recipe if isinstance(recipe, OneBranch) else get_recipe(recipe)


def _off():
    return {switch: 0.0 for switch in _SWITCHES}


def _alone(recipe, operator):
    kept = _off()
    if operator == "crop":
        kept["flip_probability"] = recipe.flip_probability
    elif operator == "color":
        kept.update({switch: getattr(recipe, switch) for switch in _COLOR})
    kept.update({switch: 1.0 for switch in ONE_BRANCH_OPERATORS[operator]})
    geometry = {} if operator == "crop" else _WHOLE_IMAGE
    return dataclasses.replace(recipe, **geometry, **kept)
