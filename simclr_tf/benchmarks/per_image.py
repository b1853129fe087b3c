"""The baseline of the views: one image at a time, with operators of tf.image.

Input pipelines of contrastive learning are usually written like this (the reference
implementation too): a `tf.data` map that augments each image on the host, with
TensorFlow's own random operators. The distributions are those of the recipe.
"""

import tensorflow as tf

from simclr_tf.augment import get_recipe
from simclr_tf.config.image_size import as_size


def two_views_per_image(image, recipe, image_size_pixels):
    """Make two views of one image.

    Args:
      image: uint8 `[H, W, 3]`.
      recipe: name or Recipe; its crop, flip, colour and blur are used.
      image_size_pixels: int, or (height, width).

    Returns:
      (view_a, view_b), float32 `[height, width, 3]` in [0, 1].
    """
    recipe = get_recipe(recipe)
    image = tf.image.convert_image_dtype(image, tf.float32)
    return tuple(_view(image, recipe, image_size_pixels) for _ in range(2))


def _view(image, recipe, size):
    image = _random_resized_crop(image, recipe, size)
    image = tf.image.random_flip_left_right(image)
    image = _with_probability(recipe.jitter_probability, _jitter, image, recipe)
    image = _with_probability(recipe.grayscale_probability, _grayscale, image, recipe)
    image = _with_probability(recipe.blur_probability, _blur, image, recipe)
    return tf.clip_by_value(image, 0.0, 1.0)


def _with_probability(probability, change, image, recipe):
    if probability == 0.0:
        return image
    return tf.cond(
        tf.random.uniform([]) < probability,
        lambda: change(image, recipe),
        lambda: image,
    )


def _random_resized_crop(image, recipe, size):
    begin, extent, _ = tf.image.sample_distorted_bounding_box(
        tf.shape(image),
        tf.zeros([1, 0, 4]),
        min_object_covered=0.0,
        aspect_ratio_range=(recipe.crop_aspect_min, recipe.crop_aspect_max),
        area_range=(recipe.crop_area_min_fraction, recipe.crop_area_max_fraction),
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    image = tf.slice(image, begin, extent)
    size = as_size(size)
    image = tf.image.resize(image, size, "bicubic")
    return tf.ensure_shape(image, [*size, 3])


def _jitter(image, recipe):
    """Apply the four operators in a random order, clipped after each."""
    strength = recipe.color_strength
    brightness, contrast, saturation, hue = (
        value * strength
        for value in (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    )

    def scale_brightness(x):
        return x * tf.random.uniform([], max(1 - brightness, 0.0), 1 + brightness)

    changes = [
        change
        for value, change in (
            (brightness, scale_brightness),
            (
                contrast,
                lambda x: tf.image.random_contrast(
                    x, max(1 - contrast, 0.0), 1 + contrast
                ),
            ),
            (
                saturation,
                lambda x: tf.image.random_saturation(
                    x, max(1 - saturation, 0.0), 1 + saturation
                ),
            ),
            (hue, lambda x: tf.image.random_hue(x, min(hue, 0.5))),
        )
        if value
    ]
    order = tf.random.shuffle(tf.range(len(changes)))
    for place in range(len(changes)):
        image = tf.switch_case(
            order[place],
            [lambda change=change, x=image: change(x) for change in changes],
        )
        image = tf.clip_by_value(image, 0.0, 1.0)
    return image


def _grayscale(image, recipe):
    return tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))


def _blur(image, recipe):
    """Apply two depthwise convolutions with a Gaussian of random width."""
    radius = int(image.shape[0] * recipe.blur_kernel_fraction) // 2
    sigma = tf.random.uniform(
        [], recipe.blur_sigma_min_pixels, recipe.blur_sigma_max_pixels
    )
    offsets = tf.range(-radius, radius + 1, dtype=tf.float32)
    kernel = tf.exp(-tf.square(offsets) / (2.0 * tf.square(sigma)))
    kernel = tf.tile(
        tf.reshape(kernel / tf.reduce_sum(kernel), [1, -1, 1, 1]), [1, 1, 3, 1]
    )
    image = image[tf.newaxis]
    for filters in (kernel, tf.transpose(kernel, [1, 0, 2, 3])):
        image = tf.nn.depthwise_conv2d(image, filters, [1, 1, 1, 1], "SAME")
    return image[0]
