"""Random resized crop and centre crop.

Source: SimCLR v1 (arXiv:2002.05709), Appendix A.
"""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass
from typing import Literal

from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.augment.arguments import as_seeds
from simclr_tf.augment.operators.operator import Operator
from simclr_tf.augment.ranges import (
    check_at_least,
    check_choice,
    check_fraction,
    check_interval,
)
from simclr_tf.augment.resizing import apply_crop
from simclr_tf.config.image_size import as_size
from simclr_tf.config.schema import option
from simclr_tf.errors import require
from simclr_tf.lazy import module, tf

seeding = module("simclr_tf.seeding")

Geometry = Literal["random_resized_crop", "center_crop"]
CropFloor = Literal["exact", "reference"]
# The reference's sampler has a minimum area of 0.08, but must also cover 0.1 of the
# "object", which is the whole image: so no crop is smaller than 0.1.
REFERENCE_CROP_FLOOR = 0.1


@dataclass(frozen=True)
class CropOptions:
    """The options of the crop."""

    geometry: Geometry = option(
        "random_resized_crop", "How views are cut out; center_crop is not random."
    )
    crop_area_min_fraction: float = option(
        0.08, "Smallest crop, as a fraction of the image's area."
    )
    crop_area_max_fraction: float = option(
        1.0, "Largest crop, as a fraction of the image's area."
    )
    crop_aspect_min: float = option(
        3 / 4, "Smallest width / height of a crop, relative to the image's."
    )
    crop_aspect_max: float = option(
        4 / 3, "Largest width / height of a crop, relative to the image's."
    )
    crop_floor: CropFloor = option(
        "exact",
        "exact: the smallest crop as given; reference: never below 0.1, like the "
        "reference's sampler.",
    )
    center_crop_fraction: float = option(
        0.875, "Side of the centre crop over the image's limiting side."
    )
    center_crop_above_pixels: int = option(
        32,
        "center_crop: views of at most this size are the whole image, resized.",
    )

    def check(self):
        check_choice("geometry", self.geometry, typing.get_args(Geometry))
        check_choice("crop_floor", self.crop_floor, typing.get_args(CropFloor))
        check_interval(
            "crop_area_min_fraction",
            self.crop_area_min_fraction,
            "crop_area_max_fraction",
            self.crop_area_max_fraction,
            most=1.0,
        )
        require(
            self.crop_floor == "exact"
            or self.crop_area_max_fraction >= REFERENCE_CROP_FLOOR,
            f'`crop_floor="reference"` allows no crop below {REFERENCE_CROP_FLOOR} '
            'of the area. Use crop_floor="exact" or a larger maximum.',
            crop_area_max_fraction=self.crop_area_max_fraction,
        )
        check_interval(
            "crop_aspect_min",
            self.crop_aspect_min,
            "crop_aspect_max",
            self.crop_aspect_max,
        )
        check_fraction("center_crop_fraction", self.center_crop_fraction)
        check_at_least("center_crop_above_pixels", self.center_crop_above_pixels, 0)


class Crop(Operator):
    """Cut a box out and resize it: the first operator of every view."""

    seed_id = 0
    Options = CropOptions
    one_branch = "crop"

    def sample(self, seeds, recipe, image_shape):
        """Draw the random numbers of the boxes: `[B, 4]` in [0, 1)."""
        return seeding.uniform(as_seeds(seeds), (4,))

    def boxes(self, draw, height, width, recipe, size):
        """Return the box that each image is cropped to.

        Args:
          draw: float32 `[B, 4]`, of `sample`.
          height, width: int, or int32 scalar tensors: H and W.
          recipe: Recipe.
          size: pair (height, width) of the view.

        Returns:
          int32 tensor `[B, 4]`: (y, x, h, w).

        Example:
          >>> from simclr_tf.augment.recipes import get_recipe
          >>> draw, recipe = tf.zeros([1, 4]), get_recipe("evaluate")
          >>> Crop().boxes(draw, 256, 256, recipe, (224, 224)).numpy().tolist()
          [[16, 16, 224, 224]]
        """
        if recipe.geometry == "random_resized_crop":
            return boxes_of_draws(
                draw,
                height,
                width,
                area_min_fraction=recipe.crop_area_min_fraction,
                area_max_fraction=recipe.crop_area_max_fraction,
                aspect_min=recipe.crop_aspect_min,
                aspect_max=recipe.crop_aspect_max,
                floor=recipe.crop_floor,
            )
        if is_whole_image(recipe, size):
            box = tf.stack([0, 0, height, width])
        else:
            box = center_box(height, width, size, fraction=recipe.center_crop_fraction)
        return tf.tile(box[tf.newaxis], [tf.shape(draw)[0], 1])

    def strengths(self, images, recipe, large_images):
        size = tuple(images.shape[1:3])
        if recipe.geometry != "random_resized_crop":
            resized = tf.image.resize(large_images, size)
            return [("crop (off: the centre)", [("", resized)])]
        low, high = recipe.crop_area_min_fraction, recipe.crop_area_max_fraction
        ratio, shown = low / high, []
        areas = [high * ratio ** (place / 4) for place in range(5)]
        for number, area in enumerate(areas if low < high else [high]):
            boxes = sample_crop(
                tf.fill([len(large_images), 2], number),
                *large_images.shape[1:3],
                area_min_fraction=area,
                area_max_fraction=area,
                aspect_min=recipe.crop_aspect_min,
                aspect_max=recipe.crop_aspect_max,
            )
            shown.append((f"{area:.0%} of it", apply_crop(large_images, boxes, size)))
        title = f"crop and resize, {low:.0%} to {high:.0%} of the area (always)"
        return [(title, shown)]


def is_whole_image(recipe, size):
    """Tell whether a view of `size` (height, width) shows the whole image.

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> is_whole_image(get_recipe("evaluate"), (32, 32))
      True
    """
    return (
        recipe.geometry == "center_crop"
        and max(size) <= recipe.center_crop_above_pixels
    )


def sample_crop(
    seeds: TensorLike,
    height: int | Tensor,
    width: int | Tensor,
    *,
    area_min_fraction: float = 0.08,
    area_max_fraction: float = 1.0,
    aspect_min: float = 3 / 4,
    aspect_max: float = 4 / 3,
    floor: str = "exact",
) -> Tensor:
    """Draw a box for each image: its area is uniform, its aspect log-uniform.

    The area a is uniform in [min, max] of the image's area, and log(aspect) is
    uniform in its interval, cut to the boxes of area a that fit into the image
    (a <= aspect <= 1/a). Aspect is width over height *relative to the image's own*,
    as in the paper and the reference: a view of size S x S is stretched by at most 4/3
    relative to the whole image resized to S x S. The logarithm makes an aspect as
    likely as its inverse. There are no second draws: torchvision redraws area and
    aspect until a box fits, which makes crops above 3/4 of the area rarer than the
    paper's "uniform in area"; the reference's TensorFlow kernel differs more (mean area
    0.42).

    Sides are rounded to whole pixels, and rounded up if the area would be below the
    minimum: area >= ceil(min * H * W) always. Positions are uniform.

    Args:
      seeds: int32 `[B, 2]`.
      height, width: int, or int32 scalar tensors: H and W.
      area_min_fraction, area_max_fraction: float, 0 < min <= max <= 1.
      aspect_min, aspect_max: float, 0 < min <= max.
      floor: "exact", or "reference" for a minimum of at least 0.1.

    Returns:
      int32 tensor `[B, 4]`: (y, x, h, w), inside the image, h and w >= 1.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> seeds = tf.constant([[0, 1], [0, 2]])
      >>> y, x, h, w = tf.unstack(sample_crop(seeds, 32, 32), axis=1)
      >>> bool(tf.reduce_all((h * w >= 82) & (y + h <= 32) & (x + w <= 32)))
      True

    Source: Appendix A of SimCLR v1: "uniform from 0.08 to 1.0 in area" and "a random
    aspect ratio (default: of 3/4 to 4/3) of the original aspect ratio".
    """
    return boxes_of_draws(
        seeding.uniform(as_seeds(seeds), (4,)),
        height,
        width,
        area_min_fraction=area_min_fraction,
        area_max_fraction=area_max_fraction,
        aspect_min=aspect_min,
        aspect_max=aspect_max,
        floor=floor,
    )


def boxes_of_draws(
    draws,
    height,
    width,
    *,
    area_min_fraction,
    area_max_fraction,
    aspect_min,
    aspect_max,
    floor,
):
    """Compute the boxes of `sample_crop` from its random numbers.

    Args:
      draws: float32 `[B, 4]` in [0, 1): of area, aspect, y and x.
      height, width, ...: as for `sample_crop`.

    Returns:
      int32 tensor `[B, 4]`: (y, x, h, w).

    Example:
      >>> boxes_of_draws(tf.zeros([1, 4]), 10, 10, area_min_fraction=0.25,
      ...     area_max_fraction=1.0, aspect_min=1.0, aspect_max=1.0,
      ...     floor="exact").numpy().tolist()
      [[0, 0, 5, 5]]
    """
    check_choice("floor", floor, typing.get_args(CropFloor))
    low = area_min_fraction
    if floor == "reference":
        low = max(low, REFERENCE_CROP_FLOOR)
    check_interval(
        "area_min_fraction", low, "area_max_fraction", area_max_fraction, most=1.0
    )
    check_interval("aspect_min", aspect_min, "aspect_max", aspect_max)
    height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    area = low + draws[:, 0] * (area_max_fraction - low)
    # log(aspect) in [log a, -log a] fits; the requested interval is cut to that.
    most = -tf.math.log(area)
    log_min = tf.maximum(tf.minimum(math.log(aspect_min), most), -most)
    log_max = tf.maximum(tf.minimum(math.log(aspect_max), most), -most)
    root = tf.exp(0.5 * (log_min + draws[:, 1] * (log_max - log_min)))
    side = tf.sqrt(area)
    # float64: in float32, 0.08 * H * W could be a pixel off for large photographs.
    pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64) * low
    least = tf.cast(tf.math.ceil(pixels - 1e-6), tf.int32)
    h = _rounded(side / root * tf.cast(height, tf.float32))
    h = tf.clip_by_value(h, (least + width - 1) // width, height)
    w = _rounded(side * root * tf.cast(width, tf.float32))
    w = tf.clip_by_value(w, (least + h - 1) // h, width)
    y = _position(draws[:, 2], height - h)
    x = _position(draws[:, 3], width - w)
    return tf.stack([y, x, h, w], axis=1)


def _rounded(values):
    return tf.cast(tf.round(values), tf.int32)


def _position(draws, room):
    """Return a uniform position in 0..room; float rounding must not reach room + 1."""
    position = tf.floor(draws * tf.cast(room + 1, tf.float32))
    return tf.minimum(tf.cast(position, tf.int32), room)


def center_box(
    height: int | Tensor,
    width: int | Tensor,
    size: int | tuple[int, int],
    *,
    fraction: float = 0.875,
) -> Tensor:
    """Return the central box with the view's aspect, `fraction` of the limiting side.

    Args:
      height, width: int, or int32 scalar tensors: H and W.
      size: int, or pair (height, width): the view's size, for its aspect.
      fraction: float in (0, 1].

    Returns:
      int32 tensor `[4]`: (y, x, h, w).

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> center_box(375, 500, 224).numpy().tolist()
      [24, 86, 328, 328]

    Source: SimCLR v1, Appendix B.5 (resize to 256, crop 224 = 0.875 of it); the
    reference crops first, so that each pixel is interpolated once.
    """
    target_height, target_width = as_size(size)
    check_fraction("fraction", fraction)
    height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    h, w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    aspect = target_width / target_height
    crop_h = tf.maximum(_rounded(fraction * tf.minimum(h, w / aspect)), 1)
    crop_w = tf.maximum(_rounded(fraction * tf.minimum(w, h * aspect)), 1)
    y, x = (height - crop_h + 1) // 2, (width - crop_w + 1) // 2
    return tf.stack([y, x, crop_h, crop_w])
