"""The recipes of the views, by name; imports no TensorFlow.

A recipe holds every number that shapes a view. The paper's operators come first,
in the order in which they are applied; cutout, rotation, noise and Sobel filtering
are the other operators of its Figure 4 and are off in all named recipes.
"""

import dataclasses
from typing import Literal

from simclr_tf.augment.ranges import (
    check_at_least,
    check_choice,
    check_interval,
    check_probability,
)
from simclr_tf.errors import require, unknown_choice

GEOMETRIES = ("random_resized_crop", "center_crop")
CROP_FLOORS = ("exact", "reference")
BRIGHTNESS_MODES = ("additive", "multiplicative")
# The reference asks its crop for at least 0.08 of the area, but also for 0.1 of the
# "object", which is the whole image: no crop of it is smaller than this.
REFERENCE_CROP_FLOOR = 0.1
# What happens to a crop, in the reference's order; the others follow.
OPERATIONS = (
    "flip",
    "color_jitter",
    "grayscale",
    "blur",
    "cutout",
    "rotate",
    "noise",
    "sobel",
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a view; the defaults are SimCLR v2's.

    A probability of 0 switches an operator off. All values are checked on
    construction; `dataclasses.replace(recipe, color_strength=0.5)` makes a variant.

    Args:
      geometry: "random_resized_crop", or "center_crop" (no randomness).
      crop_area_min_fraction, crop_area_max_fraction: part of the image's area that a
        random crop covers, 0 < min <= max <= 1 (Appendix A: 0.08 and 1).
      crop_aspect_min, crop_aspect_max: width over height of a crop, relative to
        the image's own (Appendix A: 3/4 and 4/3).
      crop_floor: "exact", or "reference": no crop below a tenth of the area, which
        is what the reference implementation really does.
      center_crop_fraction: side of the centre crop over the image's limiting side.
      center_crop_above_pixels: views of at most this size are the whole image,
        resized, instead of a centre crop.
      flip_probability: of mirroring left to right.
      jitter_probability: of the four colour operators, in random order.
      color_strength: s, multiplies the next four; 1 for ImageNet, 0.5 for CIFAR.
      brightness, contrast, saturation: half-widths of the factors' range around 1
        (of the offset's range around 0 if brightness is additive). A range that
        would reach below 0 starts at 0.
      hue: half-width of the rotation's range in turns; more than 0.5 is all hues.
      brightness_mode: "additive" (v1) or "multiplicative" (v2).
      grayscale_probability: of dropping all colour.
      blur_probability: of the Gaussian blur.
      blur_sigma_min_pixels, blur_sigma_max_pixels: range of its standard deviation.
      blur_kernel_fraction: kernel size over the view's height.
      cutout_probability, cutout_size_fraction, cutout_fill: a square of this side,
        over the view's shorter side, is painted with this grey in [0, 1].
      rotate_probability: of a rotation by 90, 180 or 270 degrees.
      noise_probability, noise_stddev_min, noise_stddev_max: Gaussian noise, with a
        standard deviation drawn per image, on the scale [0, 1].
      sobel_probability: of showing the gradient's magnitude instead of the image.
      order: the operators after the crop, in the order they are applied.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> Recipe(color_strength=0.5).hue
      0.2
    """

    geometry: Literal["random_resized_crop", "center_crop"] = "random_resized_crop"
    crop_area_min_fraction: float = 0.08
    crop_area_max_fraction: float = 1.0
    crop_aspect_min: float = 3 / 4
    crop_aspect_max: float = 4 / 3
    crop_floor: Literal["exact", "reference"] = "exact"
    center_crop_fraction: float = 0.875
    center_crop_above_pixels: int = 32
    flip_probability: float = 0.5
    jitter_probability: float = 0.8
    color_strength: float = 1.0
    brightness: float = 0.8
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    brightness_mode: Literal["additive", "multiplicative"] = "multiplicative"
    grayscale_probability: float = 0.2
    blur_probability: float = 0.5
    blur_sigma_min_pixels: float = 0.1
    blur_sigma_max_pixels: float = 2.0
    blur_kernel_fraction: float = 0.1
    cutout_probability: float = 0.0
    cutout_size_fraction: float = 0.5
    cutout_fill: float = 0.5
    rotate_probability: float = 0.0
    noise_probability: float = 0.0
    noise_stddev_min: float = 0.05
    noise_stddev_max: float = 0.2
    sobel_probability: float = 0.0
    order: tuple[str, ...] = OPERATIONS

    def __post_init__(self):
        self._check_geometry()
        for field in dataclasses.fields(self):
            if field.name.endswith("_probability"):
                check_probability(field.name, getattr(self, field.name))
        for name in ("color_strength", "brightness", "contrast", "saturation", "hue"):
            check_at_least(name, getattr(self, name), 0.0)
        check_choice("brightness_mode", self.brightness_mode, BRIGHTNESS_MODES)
        self._check_interval("blur_sigma_min_pixels", "blur_sigma_max_pixels")
        self._check_fraction("blur_kernel_fraction")
        self._check_fraction("cutout_size_fraction")
        check_probability("cutout_fill", self.cutout_fill)
        self._check_interval("noise_stddev_min", "noise_stddev_max", exclusive=False)
        require(
            isinstance(self.order, tuple) and sorted(self.order) == sorted(OPERATIONS),
            f"`order` must be a tuple that names each of {', '.join(OPERATIONS)} once.",
            order=self.order,
        )

    def _check_geometry(self):
        check_choice("geometry", self.geometry, GEOMETRIES)
        check_choice("crop_floor", self.crop_floor, CROP_FLOORS)
        self._check_interval(
            "crop_area_min_fraction", "crop_area_max_fraction", most=1.0
        )
        require(
            self.crop_floor == "exact"
            or self.crop_area_max_fraction >= REFERENCE_CROP_FLOOR,
            f'`crop_floor="reference"` allows no crop below {REFERENCE_CROP_FLOOR} '
            'of the area. Use crop_floor="exact" or a larger maximum.',
            crop_area_max_fraction=self.crop_area_max_fraction,
        )
        self._check_interval("crop_aspect_min", "crop_aspect_max")
        self._check_fraction("center_crop_fraction")
        check_at_least("center_crop_above_pixels", self.center_crop_above_pixels, 0)

    def _check_interval(self, low_name, high_name, **bounds):
        low, high = getattr(self, low_name), getattr(self, high_name)
        check_interval(low_name, low, high_name, high, **bounds)

    def _check_fraction(self, name):
        value = getattr(self, name)
        check_interval(name, value, name, value, most=1.0)


RECIPES = {
    # SimCLR v1, ImageNet: Appendix A of arXiv:2002.05709 (brightness is added).
    "simclr_v1": Recipe(brightness_mode="additive"),
    # SimCLR v2, ImageNet: as the reference implementation trains it.
    "simclr_v2": Recipe(),
    # CIFAR: Appendix B.9 (half the colour strength, no blur).
    "cifar": Recipe(color_strength=0.5, blur_probability=0.0),
    # Small grey pictures that fill their frame, such as Fashion-MNIST: milder crops
    # (0.08 loses to raw pixels there), and only what is defined without colour.
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
    # Looking at an image as it is: centre crop and resize, nothing random.
    "evaluate": Recipe(
        geometry="center_crop",
        flip_probability=0.0,
        jitter_probability=0.0,
        grayscale_probability=0.0,
        blur_probability=0.0,
    ),
}


def get_recipe(recipe):
    """The recipe of that name; a recipe object is returned as it is.

    Args:
      recipe: str, a key of `RECIPES`, or a `Recipe`.

    Returns:
      Recipe.

    Raises:
      ConfigError: there is no recipe of that name, or `recipe` is neither.

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


def recipe_pair(recipe):
    """The recipes of both views.

    Args:
      recipe: name or Recipe, for both, or a pair of them.

    Returns:
      (Recipe, Recipe).

    Raises:
      ConfigError: an unknown name, or not two of them.

    Example:
      >>> recipe_pair("cifar") == (get_recipe("cifar"), get_recipe("cifar"))
      True
    """
    if isinstance(recipe, (tuple, list)):
        require(
            len(recipe) == 2,
            "A pair of recipes is (recipe_a, recipe_b).",
            recipe=recipe,
        )
        return get_recipe(recipe[0]), get_recipe(recipe[1])
    return (get_recipe(recipe),) * 2
