"""The recipes of the views, by name; imports no TensorFlow.

A recipe has the options of all operators, and the order in which they are applied.
Cutout, rotation, noise and Sobel filtering are off in all named recipes.
"""

from __future__ import annotations

import dataclasses
import textwrap

from simclr_tf.augment.operators import OPERATORS
from simclr_tf.errors import ConfigError, received_text, require, unknown_choice


def require_distinct(operators):
    """Refuse operators that would share a seed or an option.

    Args:
      operators: dict of name to Operator.

    Raises:
      ConfigError: two of them have one `seed_id`, or options of one name.

    Example:
      >>> require_distinct(OPERATORS)
    """
    ids, owners = {}, {}
    for name, operator in operators.items():
        other = ids.setdefault(operator.seed_id, name)
        if other != name:
            raise ConfigError(
                f"`{other}` and `{name}` have the same seed_id, so they would draw the "
                f"same numbers. The next free one is {max(ids) + 1}. "
                + received_text(seed_id=operator.seed_id)
            )
        for item in dataclasses.fields(operator.Options):
            other = owners.setdefault(item.name, name)
            require(
                other == name,
                f"`{other}` and `{name}` both have this option: rename one.",
                option=item.name,
            )


require_distinct(OPERATORS)
_NAMES = tuple(OPERATORS)
# The operators after the crop, in the reference's order; then all others.
DEFAULT_ORDER = tuple(name for name in OPERATORS if OPERATORS[name].switch)


# Reversed: dataclasses take the fields of the last base class first.
@dataclasses.dataclass(frozen=True)
class Recipe(
    *(operator.Options for operator in reversed(OPERATORS.values()))  # type: ignore[misc]
):
    """Every hyper-parameter of a view; the defaults are SimCLR v2's.

    A probability of 0 switches an operator off. All values are checked on
    construction; `dataclasses.replace(recipe, color_strength=0.5)` makes a variant.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> Recipe(color_strength=0.5).hue
      0.2
    """

    order: tuple[str, ...] = dataclasses.field(
        default=DEFAULT_ORDER,
        metadata={"help": "The operators after the crop, in the order of application."},
    )

    def __post_init__(self):
        require(
            tuple(OPERATORS) == _NAMES,
            "An operator must be added to OPERATORS before `simclr_tf.config` and "
            "`simclr_tf.augment.recipes` are imported.",
            operators=", ".join(OPERATORS),
        )
        for operator in OPERATORS.values():
            operator.Options.check(self)
        require(
            isinstance(self.order, tuple)
            and sorted(self.order) == sorted(DEFAULT_ORDER),
            f"`order` must be a tuple that names each of {', '.join(DEFAULT_ORDER)} "
            "once.",
            order=self.order,
        )


def _with_arguments(doc):
    """Add the help of every option to a docstring."""
    lines = ["    Args:"]
    for item in dataclasses.fields(Recipe):
        text = f"{item.name}: {item.metadata['help']}"
        lines += textwrap.wrap(
            text, 88, initial_indent=" " * 6, subsequent_indent=" " * 8
        )
    return doc.replace("    Raises:", "\n".join([*lines, "", "    Raises:"]), 1)


Recipe.__doc__ = _with_arguments(Recipe.__doc__)

RECIPES = {
    # SimCLR v1, ImageNet: Appendix A of arXiv:2002.05709 (brightness is added).
    "simclr_v1": Recipe(brightness_mode="additive"),
    # SimCLR v2, ImageNet: as in the reference implementation.
    "simclr_v2": Recipe(),
    # CIFAR: Appendix B.9 (half the colour strength, no blur).
    "cifar": Recipe(color_strength=0.5, blur_probability=0.0),
    # Small grey pictures that fill their frame, such as Fashion-MNIST: milder crops
    # (0.08 is worse than raw pixels there), and no operators on colour.
    "small_grey": Recipe(
        crop_area_min_fraction=0.3,
        color_strength=0.5,
        saturation=0.0,
        hue=0.0,
        grayscale_probability=0.0,
        blur_probability=0.0,
    ),
    # Training with labels, after pretraining: Appendix B.5 and B.6 (crop and flip).
    "finetune": Recipe(
        jitter_probability=0.0, grayscale_probability=0.0, blur_probability=0.0
    ),
    # Evaluation: centre crop and resize, nothing random.
    "evaluate": Recipe(
        geometry="center_crop",
        flip_probability=0.0,
        jitter_probability=0.0,
        grayscale_probability=0.0,
        blur_probability=0.0,
    ),
}


def get_recipe(recipe: str | Recipe) -> Recipe:
    """Return the recipe of that name; a recipe object is returned unchanged.

    Args:
      recipe: str, a key of `RECIPES`, or a `Recipe`.

    Returns:
      Recipe.

    Raises:
      ConfigError: an unknown name, or another type.

    Example:
      >>> get_recipe("cifar").color_strength
      0.5
    """
    if isinstance(recipe, Recipe):
        return recipe
    require(
        isinstance(recipe, str), "`recipe` must be a name or a Recipe.", recipe=recipe
    )
    if recipe not in RECIPES:
        raise unknown_choice("recipe", recipe, RECIPES)
    return RECIPES[recipe]
