"""From a recipe and seeds to draws, and from draws to pixels: each operator by name."""

import tensorflow as tf

from simclr_tf.augment import ablation, blur, color, crop, grayscale
from simclr_tf.seeding import fold_in

# The operators' places in the seed tree. Appending is free; changing one changes
# what every run with a given seed sees.
OPERATION_IDS = {
    "crop": 0,
    "flip": 1,
    "color_jitter": 2,
    "grayscale": 3,
    "blur": 4,
    "cutout": 5,
    "rotate": 6,
    "noise": 7,
    "sobel": 8,
}


def is_whole_image(recipe, size):
    """Whether a view of `size` (height, width) is the image with nothing cut off.

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> is_whole_image(get_recipe("evaluate"), (32, 32))
      True
    """
    return (
        recipe.geometry == "center_crop"
        and max(size) <= recipe.center_crop_above_pixels
    )


def crop_draws(seeds):
    """The random numbers of `crop_boxes`: all that the crop of a view depends on.

    Args:
      seeds: int32 `[B, 2]`, the seeds of this view.

    Returns:
      float32 tensor `[B, 4]` in [0, 1).

    Example:
      >>> crop_draws(tf.constant([[0, 1]])).shape.as_list()
      [1, 4]
    """
    return crop.crop_draws(fold_in(seeds, OPERATION_IDS["crop"]))


def crop_boxes(draws, height, width, recipe, size):
    """The box that each image is cropped to, in one view.

    Args:
      draws: float32 `[B, 4]`, of `crop_draws`.
      height, width: int, or int32 scalar tensors: H and W.
      recipe: Recipe.
      size: pair (height, width) of the view.

    Returns:
      int32 tensor `[B, 4]`: (y, x, h, w).

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> draws, recipe = tf.zeros([1, 4]), get_recipe("evaluate")
      >>> crop_boxes(draws, 256, 256, recipe, (224, 224)).numpy().tolist()
      [[16, 16, 224, 224]]
    """
    if recipe.geometry == "random_resized_crop":
        return crop.boxes_of_draws(
            draws,
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
        box = crop.center_box(height, width, size, fraction=recipe.center_crop_fraction)
    return tf.tile(box[tf.newaxis], [tf.shape(draws)[0], 1])


def apply_operation(operation, images, seeds, recipe):
    """Draw and apply one operator, unless the recipe switches it off.

    Args:
      operation: str, one of `recipes.OPERATIONS`.
      images: float32 `[B, H, W, C]` in [0, 1].
      seeds: int32 `[B, 2]`, the seeds of this view.
      recipe: Recipe.

    Returns:
      float32 tensor like `images`.

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> images, seeds = tf.ones([1, 8, 8, 3]), tf.constant([[0, 1]])
      >>> same = apply_operation("blur", images, seeds, get_recipe("cifar"))
      >>> same is images
      True
    """
    if not is_on(operation, recipe):
        return images
    change = _CHANGES[operation][1]
    return change(images, fold_in(seeds, OPERATION_IDS[operation]), recipe)


def is_chosen(operation, seeds, recipe):
    """Which images an operator was drawn for; it leaves the others as they are.

    Args:
      operation, seeds, recipe: as for `apply_operation`.

    Returns:
      bool tensor `[B]`; all of them for an operator that does not tell.

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> is_chosen("blur", tf.constant([[0, 1]]), get_recipe("cifar")).numpy().tolist()
      [False]
    """
    if not is_on(operation, recipe):
        return tf.zeros(tf.shape(seeds)[:1], tf.bool)
    chosen = _CHANGES[operation][2]
    if chosen is None:
        return tf.ones(tf.shape(seeds)[:1], tf.bool)
    return chosen(fold_in(seeds, OPERATION_IDS[operation]), recipe)


def leading_flips(seeds, recipe):
    """Which images are mirrored, where that is the first thing after the crop.

    Args:
      seeds: int32 `[B, 2]`, the seeds of this view.
      recipe: Recipe.

    Returns:
      bool tensor `[B]`, or None: nothing is mirrored, or another operator acts before.

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> leading_flips(tf.constant([[0, 1]]), get_recipe("cifar")).shape.as_list()
      [1]
    """
    active = [name for name in recipe.order if is_on(name, recipe)]
    if active[:1] != ["flip"]:
        return None
    return _sample_flip(fold_in(seeds, OPERATION_IDS["flip"]), recipe)


def is_on(operation, recipe):
    """Whether a recipe has an operator at all.

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> is_on("blur", get_recipe("cifar")), is_on("flip", get_recipe("cifar"))
      (False, True)
    """
    return getattr(recipe, _CHANGES[operation][0]) > 0.0


def _sample_flip(seeds, recipe):
    return crop.sample_flip(seeds, probability=recipe.flip_probability)


def _flip(images, seeds, recipe):
    return crop.apply_flip(images, _sample_flip(seeds, recipe))


def _sample_color_jitter(seeds, recipe):
    return color.sample_color_jitter(
        seeds,
        probability=recipe.jitter_probability,
        strength=recipe.color_strength,
        brightness=recipe.brightness,
        contrast=recipe.contrast,
        saturation=recipe.saturation,
        hue=recipe.hue,
        brightness_mode=recipe.brightness_mode,
    )


def _color_jitter(images, seeds, recipe):
    return color.apply_color_jitter(images, _sample_color_jitter(seeds, recipe))


def _sample_grayscale(seeds, recipe):
    return grayscale.sample_grayscale(seeds, probability=recipe.grayscale_probability)


def _grayscale(images, seeds, recipe):
    return grayscale.apply_grayscale(images, _sample_grayscale(seeds, recipe))


def _sample_blur(seeds, recipe):
    return blur.sample_blur(
        seeds,
        probability=recipe.blur_probability,
        sigma_min_pixels=recipe.blur_sigma_min_pixels,
        sigma_max_pixels=recipe.blur_sigma_max_pixels,
    )


def _blur(images, seeds, recipe):
    return blur.apply_blur(
        images, _sample_blur(seeds, recipe), kernel_fraction=recipe.blur_kernel_fraction
    )


def _cutout(images, seeds, recipe):
    boxes = ablation.sample_cutout(
        seeds,
        images.shape[1],
        images.shape[2],
        probability=recipe.cutout_probability,
        size_fraction=recipe.cutout_size_fraction,
    )
    return ablation.apply_cutout(images, boxes, fill=recipe.cutout_fill)


def _rotate(images, seeds, recipe):
    turns = ablation.sample_rotate(seeds, probability=recipe.rotate_probability)
    return ablation.apply_rotate(images, turns)


def _noise(images, seeds, recipe):
    noise = ablation.sample_noise(
        seeds,
        images.shape[1:],
        probability=recipe.noise_probability,
        stddev_min=recipe.noise_stddev_min,
        stddev_max=recipe.noise_stddev_max,
    )
    return ablation.apply_noise(images, noise)


def _sobel(images, seeds, recipe):
    sobel = ablation.sample_sobel(seeds, probability=recipe.sobel_probability)
    return ablation.apply_sobel(images, sobel)


# operation -> (the recipe's field that switches it on, how to draw and apply it, which
# images it is drawn for: None where the draw is the whole change)
_CHANGES = {
    "flip": ("flip_probability", _flip, _sample_flip),
    "color_jitter": (
        "jitter_probability",
        _color_jitter,
        lambda seeds, recipe: _sample_color_jitter(seeds, recipe).applied,
    ),
    "grayscale": ("grayscale_probability", _grayscale, _sample_grayscale),
    "blur": (
        "blur_probability",
        _blur,
        lambda seeds, recipe: _sample_blur(seeds, recipe) > 0.0,
    ),
    "cutout": ("cutout_probability", _cutout, None),
    "rotate": ("rotate_probability", _rotate, None),
    "noise": ("noise_probability", _noise, None),
    "sobel": ("sobel_probability", _sobel, None),
}
