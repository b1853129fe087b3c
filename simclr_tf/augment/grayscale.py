"""Grayscale: colour taken away. Images without colour stay as they are.

Source: SimCLR v1 (arXiv:2002.05709), Appendix A.
"""

import tensorflow as tf

from simclr_tf.augment.arguments import as_images, as_seeds, gate, per_image
from simclr_tf.augment.color import has_color
from simclr_tf.augment.ranges import check_probability
from simclr_tf.seeding import uniform

_GRAY_WEIGHTS = (0.2989, 0.587, 0.114)


def sample_grayscale(seeds, *, probability=0.2):
    """Whether each image loses its colour.

    Args:
      seeds: int32 `[B, 2]`.
      probability: float in [0, 1].

    Returns:
      bool tensor `[B]`.

    Raises:
      ConfigError: a value is outside its range.

    Example:
      >>> sample_grayscale(tf.constant([[0, 1]]), probability=0.0).numpy().tolist()
      [False]
    """
    check_probability("probability", probability)
    return gate(uniform(as_seeds(seeds)), probability)


def apply_grayscale(images, grayscale):
    """0.2989 R + 0.587 G + 0.114 B in all three channels of the chosen images.

    Args:
      images: uint8 or floating in [0, 1], `[B, H, W, C]`.
      grayscale: bool `[B]`.

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: images of another form.

    Example:
      >>> red = tf.constant([1.0, 0.0, 0.0], shape=[1, 1, 1, 3])
      >>> gray = apply_grayscale(red, tf.constant([True]))
      >>> [round(float(v), 4) for v in gray[0, 0, 0]]
      [0.2989, 0.2989, 0.2989]

    Source: ITU-R BT.601 luma, as `tf.image.rgb_to_grayscale`.
    """
    images = as_images(images)
    if not has_color(images, True, "grayscale"):
        return images
    red, green, blue = (
        weight * plane
        for weight, plane in zip(_GRAY_WEIGHTS, tf.unstack(images, axis=3), strict=True)
    )
    luma = (red + green + blue)[..., tf.newaxis]
    return tf.where(per_image(grayscale), luma, images)
