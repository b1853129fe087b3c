"""Each operator of a recipe at several strengths, on a few images: SimCLR's Figure 4.

Draws are set by hand here, not at random: a row goes from the mildest to the
strongest that the recipe can draw, or, where the recipe leaves the operator out, that
it would draw by default.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from simclr_tf.augment import (
    ColorJitter,
    Recipe,
    apply_blur,
    apply_color_jitter,
    apply_crop,
    apply_cutout,
    apply_flip,
    apply_grayscale,
    apply_noise,
    apply_rotate,
    apply_sobel,
    sample_crop,
    sample_noise,
)
from simclr_tf.augment.blur import kernel_radius
from simclr_tf.reports.blocks import Tile

_STEPS = (-1.0, -0.5, 0.5, 1.0)


def operator_rows(images, large_images, recipe):
    """Rows of tiles, one an operator.

    Args:
      images: float32 `[n, S, S, C]` in [0, 1], as large as a view.
      large_images: float32 `[n, L, L, C]`, L >= S, the same images to be cropped.
      recipe: Recipe.

    Returns:
      tuple of (title, tuple of Tile): the originals, the crop, the flip, the four
      colour operators, and so on; those that need colour only for three channels.

    Example:
      >>> rows = operator_rows(*[np.zeros([1, 8, 8, 1], np.float32)] * 2, Recipe())
      >>> [title.split(" ")[0] for title, _ in rows]
      ['original', 'crop', 'flip', 'brightness', 'contrast', 'blur', 'cutout', \
'rotate', 'noise', 'sobel']
    """
    images = tf.convert_to_tensor(images, tf.float32)
    large_images = tf.convert_to_tensor(large_images, tf.float32)
    size, channels = images.shape[1], images.shape[3]
    rows = [
        ("original", [("", images)]),
        _crop(large_images, recipe, size),
        (
            f"flip {_often(recipe.flip_probability)}",
            [("flipped", apply_flip(images, tf.fill([len(images)], True)))],
        ),
        _brightness(images, recipe),
        _factor(images, recipe, "contrast"),
    ]
    if channels == 3:
        rows += [
            _factor(images, recipe, "saturation"),
            _hue(images, recipe),
            (
                f"grayscale {_often(recipe.grayscale_probability)}",
                [("grey", apply_grayscale(images, tf.fill([len(images)], True)))],
            ),
        ]
    rows += [
        _blur(images, recipe),
        _cutout(images, recipe),
        _rotate(images, recipe),
        _noise(images, recipe),
        (
            f"sobel {_often(recipe.sobel_probability)}",
            [("edges", apply_sobel(images, tf.fill([len(images)], True)))],
        ),
    ]
    return tuple((title, _tiles(shown)) for title, shown in rows)


def _tiles(shown):
    """All strengths of the first image, then of the next."""
    number = len(shown[0][1])
    return tuple(
        Tile(np.asarray(changed[image]), caption)
        for image in range(number)
        for caption, changed in shown
    )


def _often(probability):
    return "(off)" if not probability else f"({probability:.0%} of the views)"


def _crop(images, recipe, size):
    if recipe.geometry != "random_resized_crop":
        return "crop (off: the centre)", [("", tf.image.resize(images, [size, size]))]
    low, high = recipe.crop_area_min_fraction, recipe.crop_area_max_fraction
    areas = np.geomspace(high, low, 5) if low < high else [high]
    shown = []
    for number, area in enumerate(areas):
        boxes = sample_crop(
            tf.fill([len(images), 2], number),
            images.shape[1],
            images.shape[2],
            area_min_fraction=float(area),
            area_max_fraction=float(area),
            aspect_min=recipe.crop_aspect_min,
            aspect_max=recipe.crop_aspect_max,
        )
        shown.append((f"{area:.0%} of it", apply_crop(images, boxes, size)))
    return f"crop and resize, {low:.0%} to {high:.0%} of the area (always)", shown


def _jitter_title(recipe, name, low, high, unit=""):
    probability = recipe.jitter_probability * bool(high - low)
    return f"{name} {unit}{low:.2g} to {unit}{high:.2g} {_often(probability)}"


def _jittered(images, **changes):
    """Images with one of the four colour operators, the same for all."""
    number = len(images)
    neutral = {"brightness_scale": 1.0, "brightness_offset": 0.0, "contrast": 1.0}
    values = {
        name: tf.fill([number], float(value))
        for name, value in {**neutral, **changes}.items()
    }
    values = {"saturation": None, "hue": None, **values}
    return apply_color_jitter(
        images,
        ColorJitter(
            applied=tf.fill([number], True),
            order=tf.tile([[0, 1, 2, 3]], [number, 1]),
            **values,
        ),
    )


def _half_width(recipe, name):
    """Half the range of a colour operator; of the default where it is none."""
    value = getattr(recipe, name) * recipe.color_strength
    return value or getattr(Recipe(), name), bool(value)


def _brightness(images, recipe):
    if recipe.brightness_mode == "multiplicative":
        return _factor(images, recipe, "brightness", "brightness_scale")
    half, used = _half_width(recipe, "brightness")
    shown = [
        (f"{step * half:+.2g}", _jittered(images, brightness_offset=step * half))
        for step in _STEPS
    ]
    return _jitter_title(recipe, "brightness", -half * used, half * used), shown


def _factor(images, recipe, name, field=None):
    half, used = _half_width(recipe, name)
    factors = [max(0.0, 1 + step * half) for step in _STEPS]
    shown = [
        (f"×{factor:.2g}", _jittered(images, **{field or name: factor}))
        for factor in dict.fromkeys(factors)
    ]
    ends = (factors[0], factors[-1]) if used else (1.0, 1.0)
    return _jitter_title(recipe, name, *ends, unit="×"), shown


def _hue(images, recipe):
    half, used = _half_width(recipe, "hue")
    half = min(half, 0.5)
    shown = [
        (f"{step * half:+.2g} turns", _jittered(images, hue=step * half))
        for step in _STEPS
    ]
    return _jitter_title(recipe, "hue, turns", -half * used, half * used), shown


def _blur(images, recipe):
    sigmas = np.linspace(recipe.blur_sigma_min_pixels, recipe.blur_sigma_max_pixels, 4)
    shown = [
        (
            f"σ {sigma:.2g} px",
            apply_blur(
                images,
                tf.fill([len(images)], float(sigma)),
                kernel_fraction=recipe.blur_kernel_fraction,
            ),
        )
        for sigma in sigmas
    ]
    title = f"blur {_often(recipe.blur_probability)}"
    if not kernel_radius(images.shape[1], recipe.blur_kernel_fraction):
        title += f": none at {images.shape[1]} px, its kernel is one pixel"
    return title, shown


def _cutout(images, recipe):
    size = images.shape[1]
    shown = []
    for part in sorted({0.25, recipe.cutout_size_fraction, 0.75}):
        side = max(1, round(part * size))
        box = [(size - side) // 2, (size - side) // 2, side, side]
        shown.append(
            (
                f"{part:.0%} of the side",
                apply_cutout(
                    images, tf.tile([box], [len(images), 1]), fill=recipe.cutout_fill
                ),
            )
        )
    return f"cutout {_often(recipe.cutout_probability)}", shown


def _rotate(images, recipe):
    shown = [
        (f"{90 * turns}°", apply_rotate(images, tf.fill([len(images)], turns)))
        for turns in (1, 2, 3)
    ]
    return f"rotate {_often(recipe.rotate_probability)}", shown


def _noise(images, recipe):
    shown = []
    for stddev in np.linspace(recipe.noise_stddev_min, recipe.noise_stddev_max, 4):
        noise = sample_noise(
            tf.tile([[0, 1]], [len(images), 1]),
            images.shape[1:],
            stddev_min=float(stddev),
            stddev_max=float(stddev),
        )
        shown.append((f"σ {stddev:.2g}", apply_noise(images, noise)))
    return f"noise {_often(recipe.noise_probability)}", shown


def changed_fields(recipe, named):
    """The fields in which a recipe differs from another, as rows of a table.

    Args:
      recipe, named: Recipe.

    Returns:
      tuple of (name, value there, value here), all str.

    Example:
      >>> changed_fields(Recipe(hue=0.1), Recipe())
      (('hue', '0.2', '0.1'),)
    """
    return tuple(
        (field.name, str(getattr(named, field.name)), str(getattr(recipe, field.name)))
        for field in dataclasses.fields(Recipe)
        if getattr(named, field.name) != getattr(recipe, field.name)
    )
