"""One view of each image of a batch, made on the device that trains."""

import functools

import tensorflow as tf

from simclr_tf.augment import finish_view, get_recipe, one_view


class ImagesOfBatch:
    """What a classifier sees of a batch, whatever form the batch has.

    A batch is a dict of
      * "images" `[N, H, W, C]` uint8 or float in [0, 1], and "seeds" `[N, 2]` int32:
        a view is made here, by `recipe`; or
      * "crops_a" `[N, S, S, C]` and "seeds": the view is finished here; or
      * "images" without "seeds": used as they are, e.g. to validate.

    Args:
      recipe: name or Recipe of the views.
      image_size_pixels: int, size of a view; the images' own size if None.
      compile_views: bool, compile the making of views with XLA.

    Attributes:
      recipe: Recipe.

    Raises:
      ConfigError: an unknown recipe.

    Example:
      >>> make_images = ImagesOfBatch("finetune", 8, compile_views=False)
      >>> batch = {"images": tf.zeros([2, 12, 12, 3], tf.uint8),
      ...          "seeds": tf.zeros([2, 2], tf.int32)}
      >>> make_images(batch).shape.as_list()
      [2, 8, 8, 3]
    """

    def __init__(self, recipe, image_size_pixels=None, compile_views=True):
        self.recipe = recipe = get_recipe(recipe)
        makers = (
            functools.partial(
                one_view, recipe=recipe, image_size_pixels=image_size_pixels
            ),
            functools.partial(finish_view, recipe=recipe),
        )
        if compile_views:
            makers = (
                tf.function(maker, jit_compile=True, autograph=False)
                for maker in makers
            )
        self._make_view, self._finish = makers

    def __call__(self, batch):
        """float32 `[N, S, S, C]` in [0, 1]."""
        if "crops_a" in batch:
            return self._finish(batch["crops_a"], batch["seeds"])
        if "seeds" in batch:
            return self._make_view(batch["images"], batch["seeds"])
        return tf.image.convert_image_dtype(batch["images"], tf.float32)
