"""Preprocessing inside the graph: from encoded images to the views of `evaluate`."""

import tensorflow as tf

from simclr_tf.augment import crop_view, finish_view, get_recipe
from simclr_tf.augment.operators.crop import is_whole_image
from simclr_tf.config.image_size import as_size
from simclr_tf.data.pixels import WHITE, decode_in_graph

RECIPE = "evaluate"


def views_from_bytes(image_bytes, image_size_pixels, channels, background=WHITE):
    """Decode and resize image files, like the recipe `evaluate`.

    Each file is decoded to what a person sees, and resized as `resizing_text`
    describes. WebP is left out: older versions of TensorFlow cannot load a module with
    its operator.

    Args:
      image_bytes: string tensor `[N]`, files of any sizes: JPEG, PNG, opaque GIF (first
        frame), or BMP of 24 bits.
      image_size_pixels: int or (height, width) of the views.
      channels: 1 or 3.
      background: (R, G, B), 0 to 255, shown where an image is transparent.

    Returns:
      float32 tensor `[N, height, width, channels]` in [0, 1].

    Raises:
      tf.errors.InvalidArgumentError: bytes of another kind, or damaged ones.
    """
    seed = tf.zeros([2], tf.int32)  # The recipe has no random operators.

    def crop(encoded):
        image = decode_in_graph(encoded, channels, background)
        return crop_view(image, seed, RECIPE, image_size_pixels)

    shape = [*as_size(image_size_pixels), channels]
    crops = tf.map_fn(
        crop, image_bytes, fn_output_signature=tf.TensorSpec(shape, tf.float32)
    )
    seeds = tf.zeros([tf.shape(crops)[0], 2], tf.int32)
    return finish_view(crops, seeds, RECIPE)


def resizing_text(image_size_pixels):
    """Describe how the recipe `evaluate` makes a view of an image.

    Args:
      image_size_pixels: int or (height, width) of the view.

    Returns:
      str, without a full stop.

    Example:
      >>> resizing_text(28)
      'resizes the whole image to 28 x 28 pixels, whatever its shape (bicubic, without \
antialiasing)'
      >>> resizing_text(96).partition(", ")[0]
      'cuts out its centre in the shape of the view'
    """
    recipe, size = get_recipe(RECIPE), as_size(image_size_pixels)
    to = f"to {' x '.join(map(str, size))} pixels"
    filtering = "(bicubic, without antialiasing)"
    if is_whole_image(recipe, size):
        return f"resizes the whole image {to}, whatever its shape {filtering}"
    return (
        "cuts out its centre in the shape of the view, with "
        f"{recipe.center_crop_fraction} of the sides of the largest such part, and "
        f"resizes it {to} {filtering}"
    )
