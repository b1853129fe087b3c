"""Operators applied image by image, if that is cheaper than in a batch.

On a batch, every operator is computed for every image, and the result is used only for
images that drew the operator. This is the only way on an accelerator, and the best one
for small images. Image by image, a large image stays in the cache of a core, and
operators that it did not draw are skipped (half of the blurs, a fifth of the jitters,
half of the passes through HSV). The draws, and so the views, are the same.
"""

import os

import tensorflow as tf

from simclr_tf.augment.operators import OPERATORS

# CPU time of `finish_views`, "simclr_v1", compiled by XLA, relative to the batch: 0.55
# at 224 pixels, 0.63 at 96, 0.82 at 64; for smaller images the loop saves little.
_LARGE = 96 * 96
_FEW_CORES = 4  # The loop runs on one core, a batch on all.


def is_cheaper(images):
    """Tell whether a batch should go one by one on this machine's devices.

    Args:
      images: tensor `[B, H, W, C]`, H and W known.

    Returns:
      bool.

    Example:
      >>> is_cheaper(tf.zeros([2, 32, 32, 3]))
      False
    """
    height, width = images.shape[1:3]
    return (
        height * width >= _LARGE
        and (os.cpu_count() or 1) <= _FEW_CORES
        and not any(map(tf.config.list_logical_devices, ("GPU", "TPU")))
    )


def apply_operators(names, images, seeds, recipe):
    """Draw and apply operators, one image after the other.

    Args:
      names: list of str, operators that the recipe has, in their order.
      images: float32 `[B, H, W, C]` in [0, 1].
      seeds: int32 `[B, 2]`, the seeds of this view.
      recipe: Recipe.

    Returns:
      float32 tensor like `images`, clipped to [0, 1].

    Example:
      >>> from simclr_tf.augment.recipes import get_recipe
      >>> images, seeds = tf.ones([2, 8, 8, 3]), tf.constant([[0, 1], [0, 2]])
      >>> recipe = get_recipe("simclr_v1")
      >>> apply_operators(["flip", "blur"], images, seeds, recipe).shape.as_list()
      [2, 8, 8, 3]
    """
    operators = [OPERATORS[name] for name in names]
    chosen = [
        operator.chosen(operator.own_seeds(seeds), recipe) for operator in operators
    ]

    def of_one(number):
        image, seed = images[number][tf.newaxis], seeds[number][tf.newaxis]
        for operator, is_chosen in zip(operators, chosen, strict=True):
            image = tf.cond(
                is_chosen[number],
                lambda operator=operator, image=image: operator.change(
                    image, seed, recipe
                ),
                lambda image=image: tf.identity(image),
            )
        return tf.clip_by_value(image[0], 0.0, 1.0)  # While it is in the cache.

    return tf.map_fn(
        of_one,
        tf.range(tf.shape(images)[0]),
        fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
    )
