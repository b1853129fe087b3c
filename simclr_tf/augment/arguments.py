"""Checks of the arguments that every operator takes: images, seeds and sizes."""

from simclr_tf.errors import require
from simclr_tf.lazy import tf


def as_images(images, name="images"):
    """Convert images to float32 in [0, 1]: uint8 is scaled, floats keep their values.

    Args:
      images: uint8 in 0..255 or floating in [0, 1], `[B, H, W, C]` with H, W and C
        known when a graph is traced.
      name: str, name of the caller's argument.

    Returns:
      float32 tensor `[B, H, W, C]`.

    Raises:
      ConfigError: wrong rank, unknown H, W or C, no pixel, or another dtype.

    Example:
      >>> white = tf.fill([1, 1, 1, 1], tf.constant(255, tf.uint8))
      >>> as_images(white).numpy().item()
      1.0
    """
    return to_unit(check_images(images, name))


def check_images(images, name="images"):
    """Return the images as a tensor of the same dtype, checked as in `as_images`."""
    images = tf.convert_to_tensor(images)
    require(
        images.shape.rank == 4
        and all(size is not None and size > 0 for size in images.shape[1:]),
        f"`{name}` must be [batch, height, width, channels], the last three known "
        "and at least 1.",
        shape=str(images.shape),
    )
    check_dtype(images, name)
    return images


def check_dtype(images, name):
    """Require uint8 or floating point."""
    require(
        images.dtype == tf.uint8 or images.dtype.is_floating,
        f"`{name}` must be uint8 in 0..255 or floating in [0, 1].",
        dtype=images.dtype.name,
    )


def to_unit(images):
    """Scale uint8 in 0..255 to float32 in [0, 1]; floating point keeps its values."""
    scale = unit_scale(images)
    images = tf.cast(images, tf.float32)
    return images if scale == 1.0 else images * scale


def unit_scale(images):
    """Return the factor that scales pixel values to [0, 1]."""
    return 1.0 / 255.0 if images.dtype == tf.uint8 else 1.0


def as_seeds(seeds, batch=None):
    """Return one stateless seed an image, checked.

    Args:
      seeds: int32 `[B, 2]`.
      batch: int or None, the B of the images, if it is known.

    Returns:
      int32 tensor `[B, 2]`.

    Raises:
      ConfigError: another dtype or shape, or another B.

    Example:
      >>> as_seeds(tf.zeros([4, 2], tf.int32), batch=4).shape.as_list()
      [4, 2]
    """
    seeds = tf.convert_to_tensor(seeds)
    require(
        seeds.dtype == tf.int32 and seeds.shape.rank == 2 and seeds.shape[1] == 2,
        "`seeds` must be int32 [batch, 2], one seed an image.",
        dtype=seeds.dtype.name,
        shape=str(seeds.shape),
    )
    require(
        batch is None or seeds.shape[0] is None or seeds.shape[0] == batch,
        "`seeds` and `images` must have the same batch size.",
        seeds=seeds.shape[0],
        images=batch,
    )
    return seeds


def gate(draws, probability):
    """Return True with `probability`: if uniform `draws` in [0, 1) are below it."""
    return draws < probability


def per_image(values):
    """Reshape `[B]` to `[B, 1, 1, 1]`: one value an image, for all its pixels."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
