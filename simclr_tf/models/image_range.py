"""The range of the images that a loaded encoder takes: floats in [0, 1]."""

from __future__ import annotations

import functools
import types
from typing import Any

import tensorflow as tf

from simclr_tf.array_types import Model
from simclr_tf.errors import DataError

# Crops and noise may leave [0, 1] a little; 0 to 255 and standardised images do so far.
_LARGEST = 2.0


def with_checked_images(model: Model) -> Model:
    """Make a model refuse images that are not floats in [0, 1].

    Numbers of another type are refused wherever the model is called: Keras would cast
    them, and 0 to 255 would give features that mean nothing. Values above 2 are
    refused where they are known at the call: outside of `tf.function`, `fit` and
    `predict`. Copies, and files that are saved, do not check.

    Args:
      model: keras.Model of images.

    Returns:
      The same model.

    Example:
      >>> from simclr_tf._keras import keras
      >>> model = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
      >>> with_checked_images(model)(tf.ones([1, 4, 4, 3], tf.uint8))
      ... # doctest: +IGNORE_EXCEPTION_DETAIL
      Traceback (most recent call last):
      DataError: Images must be floats in [0, 1]: divide 0 to 255 by 255.
    """
    original = model.call

    @functools.wraps(original.__func__)
    def call(self, inputs, *arguments, **keywords):
        _check_images(inputs)
        return original(inputs, *arguments, **keywords)

    model.call = types.MethodType(call, model)  # Keras expects a method.
    return model


@tf.autograph.experimental.do_not_convert
def _check_images(images: Any) -> None:
    """Raise DataError for a tensor of images that is not of floats in [0, 1]."""
    if not isinstance(images, tf.Tensor):
        return
    rule = "Images must be floats in [0, 1]: divide 0 to 255 by 255."
    if not images.dtype.is_floating:
        raise DataError(f"{rule} Received: dtype={images.dtype.name}.")
    if not hasattr(images, "numpy") or not tf.executing_eagerly():
        return
    largest = float(tf.reduce_max(images)) if images.shape.num_elements() else 0.0
    if largest > _LARGEST:
        raise DataError(f"{rule} Received: largest value={largest:g}.")
