"""Random resized crop, centre crop and horizontal flip.

Source: SimCLR v1 (arXiv:2002.05709), Appendix A.
"""

import math

import tensorflow as tf

from simclr_tf.augment.arguments import (
    as_images,
    as_seeds,
    as_size,
    check_images,
    gate,
    per_image,
    unit_scale,
)
from simclr_tf.augment.ranges import check_choice, check_interval, check_probability
from simclr_tf.augment.recipes import CROP_FLOORS, REFERENCE_CROP_FLOOR
from simclr_tf.augment.separable import apply_separable
from simclr_tf.errors import require
from simclr_tf.seeding import uniform

# TensorFlow's bicubic kernel is a table with this many steps a pixel.
_TABLE_STEPS = 1024.0


def sample_crop(
    seeds,
    height,
    width,
    *,
    area_min_fraction=0.08,
    area_max_fraction=1.0,
    aspect_min=3 / 4,
    aspect_max=4 / 3,
    floor="exact",
):
    """A random box for each image: its area is uniform, its aspect log-uniform.

    The area a is uniform in [min, max] of the image's area, and log(aspect) is
    uniform in its interval, cut to the boxes of area a that fit into the image
    (a <= aspect <= 1/a). Aspect is width over height *relative to the image's own*,
    as the paper says and the reference does: a view of size S x S is stretched by
    4/3 at most against the whole image resized to S x S. log makes an aspect as
    likely as its inverse. Nothing is drawn twice and there is no fall-back: torchvision
    redraws area and aspect until a box fits, which makes crops above 3/4 of the
    area rarer than the paper's "uniform in area"; the reference's TensorFlow kernel
    is further from it (mean area 0.42).

    Sides are rounded to whole pixels, and up where rounding would lead below the
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
        crop_draws(seeds),
        height,
        width,
        area_min_fraction=area_min_fraction,
        area_max_fraction=area_max_fraction,
        aspect_min=aspect_min,
        aspect_max=aspect_max,
        floor=floor,
    )


def crop_draws(seeds):
    """The random numbers of `sample_crop`: for area, aspect, and both positions.

    Args:
      seeds: int32 `[B, 2]`.

    Returns:
      float32 tensor `[B, 4]` in [0, 1).

    Example:
      >>> crop_draws(tf.constant([[0, 1], [0, 2]])).shape.as_list()
      [2, 4]
    """
    return uniform(as_seeds(seeds), (4,))


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
    """The boxes of `sample_crop`, from its random numbers.

    Args:
      draws: float32 `[B, 4]`, of `crop_draws`.
      height, width, ...: as for `sample_crop`.

    Returns:
      int32 tensor `[B, 4]`: (y, x, h, w).

    Example:
      >>> boxes_of_draws(tf.zeros([1, 4]), 10, 10, area_min_fraction=0.25,
      ...     area_max_fraction=1.0, aspect_min=1.0, aspect_max=1.0,
      ...     floor="exact").numpy().tolist()
      [[0, 0, 5, 5]]
    """
    check_choice("floor", floor, CROP_FLOORS)
    low = area_min_fraction
    if floor == "reference":
        low = max(low, REFERENCE_CROP_FLOOR)
    check_interval(
        "area_min_fraction", low, "area_max_fraction", area_max_fraction, most=1.0
    )
    check_interval("aspect_min", aspect_min, "aspect_max", aspect_max)
    height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    area = low + draws[:, 0] * (area_max_fraction - low)
    # log(aspect) in [log a, -log a] fits; the interval asked for is cut to that.
    most = -tf.math.log(area)
    log_min = tf.maximum(tf.minimum(math.log(aspect_min), most), -most)
    log_max = tf.maximum(tf.minimum(math.log(aspect_max), most), -most)
    root = tf.exp(0.5 * (log_min + draws[:, 1] * (log_max - log_min)))
    side = tf.sqrt(area)
    # float64, or 0.08 * H * W could be a pixel off for large photographs.
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
    """Uniform in 0..room; float rounding must not reach room + 1."""
    position = tf.floor(draws * tf.cast(room + 1, tf.float32))
    return tf.minimum(tf.cast(position, tf.int32), room)


def center_box(height, width, size, *, fraction=0.875):
    """The central box of the view's own aspect, `fraction` of the limiting side.

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
    check_interval("fraction", fraction, "fraction", fraction, most=1.0)
    height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    h, w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    aspect = target_width / target_height
    crop_h = tf.maximum(_rounded(fraction * tf.minimum(h, w / aspect)), 1)
    crop_w = tf.maximum(_rounded(fraction * tf.minimum(w, h * aspect)), 1)
    y, x = (height - crop_h + 1) // 2, (width - crop_w + 1) // 2
    return tf.stack([y, x, crop_h, crop_w])


def apply_crop(images, boxes, size, *, flips=None):
    """Cut the boxes out and resize them, bicubic, to one size; mirror some.

    Keys' cubic kernel (a = -0.5), half-pixel centres, no antialiasing. Taps outside
    the box get no weight and the others are rescaled to sum to 1. This is
    `tf.image.resize(crop, size, "bicubic")`, table steps of 1/1024 pixel included,
    as two matrix products for the whole batch; XLA can compile it. Cubic
    interpolation overshoots at edges, so the result is clipped.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      boxes: int32 `[B, 4]`: (y, x, h, w), inside the image.
      size: int, or pair (height, width).
      flips: bool `[B]`, the images that are mirrored left to right as by `apply_flip`,
        which costs nothing here: their columns are read in the other order. None: none.

    Returns:
      float32 tensor `[B, height, width, C]` in [0, 1].

    Raises:
      ConfigError: images, boxes or size of another form.

    Example:
      >>> images = tf.random.stateless_uniform([1, 8, 8, 3], (0, 0))
      >>> whole = apply_crop(images, tf.constant([[0, 0, 8, 8]]), 8)
      >>> bool(tf.reduce_max(tf.abs(whole - images)) < 1e-6)
      True

    Source: Keys, Cubic convolution interpolation (1981), equation 15.
    """
    images = check_images(images)
    height, width = as_size(size)
    boxes = tf.convert_to_tensor(boxes)
    require(
        boxes.dtype == tf.int32 and boxes.shape.rank == 2 and boxes.shape[1] == 4,
        "`boxes` must be int32 [batch, 4]: (y, x, h, w).",
        dtype=boxes.dtype.name,
        shape=str(boxes.shape),
    )
    y, x, h, w = tf.unstack(boxes, axis=1)
    rows = _interpolation(y, h, images.shape[1], height)
    columns = _interpolation(x, w, images.shape[2], width, flips)
    return apply_separable(
        images,
        rows,
        columns,
        then=lambda crops: tf.clip_by_value(crops * unit_scale(images), 0.0, 1.0),
    )


def _interpolation(starts, lengths, source, target, flips=None):
    """`[B, target, source]`: weights of the source pixels in each target pixel."""
    scale = tf.cast(lengths, tf.float32) / float(target)
    centers = tf.range(target, dtype=tf.float32)[tf.newaxis] + 0.5
    if flips is not None:  # Exactly the centres of the opposite pixels.
        centers = tf.where(flips[:, tf.newaxis], target - centers, centers)
    positions = centers * scale[:, tf.newaxis] - 0.5  # [B, target], in the box
    whole = tf.floor(positions)
    steps = tf.round((positions - whole) * _TABLE_STEPS)
    positions = whole + steps / _TABLE_STEPS
    pixels = tf.range(source) - starts[:, tf.newaxis]  # [B, source], in the box
    inside = (pixels >= 0) & (pixels < lengths[:, tf.newaxis])
    pixels = tf.cast(pixels, tf.float32)[:, tf.newaxis, :]
    weights = _cubic(tf.abs(pixels - positions[:, :, tf.newaxis]))
    weights = tf.where(inside[:, tf.newaxis, :], weights, 0.0)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


def _cubic(distance):
    """Keys' kernel with a = -0.5 at distance >= 0 pixels."""
    d = distance
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return tf.where(d <= 1.0, near, tf.where(d < 2.0, far, 0.0))


def sample_flip(seeds, *, probability=0.5):
    """Whether each image is mirrored.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      bool tensor `[B]`.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_flip(tf.constant([[0, 1]]), probability=1.0).numpy().tolist()
      [True]
    """
    check_probability("probability", probability)
    return gate(uniform(as_seeds(seeds)), probability)


def apply_flip(images, flips):
    """Mirror the chosen images left to right.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      flips: bool `[B]`.

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: images of another form.

    Example:
      >>> images = tf.reshape([0.0, 1.0], [1, 1, 2, 1])
      >>> apply_flip(images, tf.constant([True])).numpy().ravel().tolist()
      [1.0, 0.0]
    """
    images = as_images(images)
    return tf.where(per_image(flips), tf.reverse(images, axis=[2]), images)
