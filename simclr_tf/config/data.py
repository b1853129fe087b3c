"""Options of the images of a run, and of their views.

It imports no TensorFlow, like all of `simclr_tf.config`.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simclr_tf.config.image_size import ImageSize, as_size
from simclr_tf.config.schema import (
    JOINED,
    LARGEST_SIDE,
    Section,
    option,
    read_registry,
    require_fraction,
    require_positive,
)
from simclr_tf.errors import require, unknown_choice
from simclr_tf.lazy import module

if TYPE_CHECKING:
    from simclr_tf.augment.one_branch import OneBranch
    from simclr_tf.augment.recipes import Recipe


# Imported by name, because recipes are on a floor above; they import no TensorFlow.
RECIPES = "simclr_tf.augment.recipes:RECIPES"
_recipes = module("simclr_tf.augment.recipes")
_one_branch = module("simclr_tf.augment.one_branch")
_colours = module("PIL.ImageColor")


def source_forms():
    """Describe the values of `--data`: the forms of all kinds of data sets."""
    kinds = read_registry("simclr_tf.data.sources:SOURCES").values()
    forms = [form for kind in kinds for form in kind.forms]
    return f"{', '.join(forms[:-1])} or {forms[-1]}"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue (0 to 255) of a colour.

    Args:
      colour: str, a name of CSS, or `#rrggbb`.

    Raises:
      ConfigError: another text.

    Example:
      >>> rgb_of("white"), rgb_of("#ff8000")
      ((255, 255, 255), (255, 128, 0))
    """
    if colour == "white":  # Without importing Pillow.
        return (255, 255, 255)
    try:
        rgb = _colours.getrgb(colour.strip())
    except ValueError:
        rgb = ()
    require(
        len(rgb) == 3,
        "`data.background` must be the name of a colour, such as white, or #rrggbb.",
        background=colour,
    )
    return tuple(rgb)


def colour_text(rgb: tuple[int, int, int]) -> str:
    """Write a colour as `rgb_of` reads it.

    Example:
      >>> colour_text((255, 255, 255)), colour_text((255, 128, 0))
      ('white', '#ff8000')
    """
    text = "#{:02x}{:02x}{:02x}".format(*rgb)
    return "white" if text == "#ffffff" else text


@dataclass(frozen=True)
class DataConfig(Section):
    """The images, and how they are read."""

    source: str = option(
        "embedded:freedoom_12",
        lambda: f"Images: {source_forms()}. Given several times: all of them as one.",
        flag="data",
        common=True,
        joined=JOINED,
    )
    split: str = option(
        "train", "Split to pretrain on, e.g. train or train[:10%].", flag="split"
    )
    test_split: str = option(
        "test", "Split that evaluation tests on.", flag="test_split"
    )
    slices: Literal["stratified", "in_order"] = option(
        "stratified",
        "Which images a slice such as train[:80%] takes. stratified: a fixed random "
        "sample (seed 0, whatever --seed is), its share of each class; train[80%:] is "
        "the rest. in_order: the first ones, as in version 0.1.0. tfds: the first ones "
        "in its files.",
        resumable=True,  # A run knows its images by their fingerprint.
    )
    data_dir: str | None = option(
        None,
        "Folder of prepared tfds data sets; TensorFlow Datasets' default if unset.",
        flag="data_dir",
        resumable=True,
    )
    labels: Literal["auto", "none"] = option(
        "auto",
        "auto: use labels for the online probe where the source has them; "
        "none: ignore them.",
    )
    image_size_pixels: ImageSize = option(
        32,
        "Size of a view in pixels: one number for a square, or height x width, such "
        "as 64x96.",
        flag="image_size_pixels",
        common=True,
        largest=LARGEST_SIDE,
    )
    channels: int | None = option(
        None, "Channels to decode images to; as in the source if unset."
    )
    background: str = option(
        "white",
        "Colour that shows where an image file is transparent: a name, or #rrggbb. "
        "Every verb and the export's signature of bytes take that of the run.",
    )
    max_corrupt_fraction: float = option(
        0.01,
        "The run stops if more than this fraction of the images cannot be read; "
        "up to this fraction they are named and skipped.",
        resumable=True,
    )
    cache: Literal["none", "memory", "disk"] = option(
        "none",
        "Where image files are kept after the first reading: memory, or disk (in "
        "cache_dir, for later runs too). Changes only the time to read, no image.",
        resumable=True,
    )
    cache_dir: str | None = option(
        None,
        "Folder of --data.cache=disk, on a fast local disk. It may be deleted when no "
        "run uses it.",
        resumable=True,
    )

    def image_shape(self, channels: int) -> tuple[int, int, int]:
        """Return the shape (height, width, channels) of a view.

        Example:
          >>> DataConfig(image_size_pixels=(64, 96)).image_shape(3)
          (64, 96, 3)
        """
        return (*as_size(self.image_size_pixels), channels)

    def with_flags(self, chosen: dict[str, Any]) -> DataConfig:
        """Return these options with those that a verb was given.

        Args:
          chosen: dict of flag to value.

        Returns:
          DataConfig.

        Example:
          >>> DataConfig().with_flags({"data": "folder:a", "data.channels": 1}).source
          'folder:a'
        """
        fields = {
            item.metadata["flag"] or f"data.{item.name}": item.name
            for item in dataclasses.fields(self)
        }
        changes = {fields[flag]: value for flag, value in chosen.items()}
        return dataclasses.replace(self, **changes)

    def check(self) -> None:
        require_positive(channels=self.channels)
        require_fraction("max_corrupt_fraction", self.max_corrupt_fraction)
        rgb_of(self.background)
        require(
            self.cache != "disk" or self.cache_dir,
            "`data.cache=disk` needs `data.cache_dir`, a folder on a fast local disk.",
            cache=self.cache,
            cache_dir=self.cache_dir,
        )


def _changes_of_a_recipe():
    """Make a base class with all options of a recipe but the order, all unset."""
    hints = typing.get_type_hints(_recipes.Recipe)
    fields = [
        (item.name, hints[item.name] | None, option(None, item.metadata["help"]))
        for item in dataclasses.fields(_recipes.Recipe)
        if item.name != "order"
    ]
    return dataclasses.make_dataclass("RecipeChanges", fields, frozen=True)


@dataclass(frozen=True)
class AugmentConfig(Section, _changes_of_a_recipe()):  # type: ignore[misc]
    """The augmentation of the two views: a named recipe, and changes to it.

    Every option of the operators is unset by default: the recipe's value is used.
    """

    recipe: str = option(
        "simclr_v2",
        "Named recipe of the views.",
        flag="recipe",
        choices=RECIPES,
        common=True,
    )
    one_branch: str | None = option(
        None,
        "Ablation: both views have the same random crop, and only the first is "
        "changed further, by these operators in this order, with commas between: "
        f"{', '.join(_one_branch.one_branch_operators())}. If unset, both "
        "views follow the recipe.",
    )

    def check(self) -> None:
        known = _one_branch.one_branch_operators()
        for operator in self.one_branch_operators():
            if operator not in known:
                raise unknown_choice("augment.one_branch", operator, known)
        self.build()

    def changes(self) -> dict[str, Any]:
        """Return the options that differ from the recipe, as keyword arguments."""
        values = dataclasses.asdict(self)
        return {
            k: v
            for k, v in values.items()
            if k not in ("recipe", "one_branch") and v is not None
        }

    def one_branch_operators(self) -> tuple[str, ...]:
        """Return the operators of `one_branch`, as a tuple.

        Example:
          >>> AugmentConfig(one_branch="color, crop").one_branch_operators()
          ('color', 'crop')
        """
        if self.one_branch is None:
            return ()
        return tuple(name.strip() for name in self.one_branch.split(","))

    def build(self) -> Recipe | OneBranch:
        """Build the named recipe with its changes: a Recipe, or a OneBranch.

        Raises:
          ConfigError: an option out of its range.

        Example:
          >>> AugmentConfig(recipe="cifar", hue=0.1).build().hue
          0.1
        """
        recipe = dataclasses.replace(_recipes.get_recipe(self.recipe), **self.changes())
        if self.one_branch is None:
            return recipe
        return _one_branch.OneBranch(recipe, self.one_branch_operators())
