"""Checks of users' own networks: whether they map images of a size to features."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Model
from simclr_tf.errors import ConfigError, received_text, require
from simclr_tf.models.endpoints import has_graph
from simclr_tf.models.keras3_network import is_keras3_network, keras3_encoder
from simclr_tf.models.size_and_flops import traced_operations


def check_encoder(
    model: Model, image_shape: tuple[int | None, ...] | None = None
) -> Model:
    """Make sure that a model maps images to features; pool feature maps if needed.

    Feature maps `[N, H, W, F]` are averaged over H and W in float32, in a layer
    called "final_avg_pool"; features in 16 bits are cast to float32. A functional
    model that already gives float32 `[N, F]` is returned unchanged; the result always
    shares the weights of `model`.

    Args:
      model: keras.Model from one image batch to `[N, F]` or `[N, H, W, F]`:
        functional, sequential or subclassed, of the Keras 2 API or of Keras 3.
      image_shape: tuple (H, W, C) for models without a known input shape; H and W may
        be None. Default: any size, 3 channels.

    Returns:
      keras.Model with a graph: images to float32 features `[N, F]`.

    Raises:
      ConfigError: another kind of model; the message describes it.

    Example:
      >>> from simclr_tf._keras import keras
      >>> images = keras.Input((None, None, 1))
      >>> maps = keras.layers.Conv2D(8, 3)(images)
      >>> check_encoder(keras.Model(images, maps)).output_shape
      (None, 8)
    """
    if is_keras3_network(model):
        model = keras3_encoder(model, image_shape or (None, None, 3))
    require(
        isinstance(model, keras.Model),
        f"An encoder must be a `keras.Model` of the Keras 2 API, package "
        f"`{keras.__name__}` (`from simclr_tf._keras import keras`).",
        encoder=f"{type(model).__module__}.{type(model).__qualname__}",
    )
    inputs, outputs = _symbolic(model, image_shape)
    _check_tensor(inputs, "input", {4: "[N, H, W, C]"})
    _check_tensor(outputs, "output", {2: "[N, F]", 4: "[N, H, W, F]"})
    features = outputs
    if outputs.shape.rank == 4:
        features = _pooling_layer(model)(outputs)
    elif outputs.dtype != "float32":
        features = keras.layers.Activation("linear", dtype="float32")(outputs)
    if features is outputs and has_graph(model):
        return model
    return keras.Model(inputs, features, name=model.name)


def fitting_encoder(
    encoder: Model,
    image_shape: tuple[int | None, ...],
    way_out: str = "Set --image_size_pixels or --data.channels, or change the encoder.",
) -> Model:
    """Make sure that an encoder takes images of a shape.

    Only shapes are computed: with real images, TensorFlow would compute garbage from
    maps that have shrunk to nothing.

    Args:
      encoder: keras.Model as for `check_encoder`.
      image_shape: (H, W, C).
      way_out: str, what the error advises.

    Returns:
      keras.Model with features `[N, F]`, of `check_encoder`.

    Raises:
      ConfigError: the network does not take such images.

    Example:
      >>> images = keras.Input((None, None, 3))
      >>> encoder = keras.Model(images, keras.layers.Conv2D(5, 3)(images))
      >>> fitting_encoder(encoder, (8, 8, 3)).output_shape
      (None, 5)
    """
    if is_keras3_network(encoder):
        encoder = keras3_encoder(encoder, image_shape)
    encoder = check_encoder(encoder, (None, None, image_shape[-1]))
    images = tf.TensorSpec([1, *image_shape], tf.float32)
    try:
        operations = traced_operations(encoder, images)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        if isinstance(error, ConfigError):
            raise
        raise _does_not_fit(encoder, image_shape, way_out, _reason(error)) from error
    for operation in operations:
        for tensor in operation.outputs:
            if tensor.shape.rank == 4 and 0 in tensor.shape.as_list():
                shape = tuple(tensor.shape)
                reason = f"{operation.name} leaves maps of {shape}."
                raise _does_not_fit(encoder, image_shape, way_out, reason)
    return encoder


def takes_one_size(encoder: Any) -> bool:
    """Tell whether the input of a network has sides of its own.

    Args:
      encoder: keras.Model of the Keras 2 API or of Keras 3, or anything else.

    Returns:
      bool; False where the network has no known input.

    Example:
      >>> images = keras.Input((8, 8, 3))
      >>> takes_one_size(keras.Model(images, keras.layers.Flatten()(images)))
      True
    """
    try:
        shape = encoder.input_shape
    except (AttributeError, RuntimeError, ValueError):  # Not yet called.
        return False
    return isinstance(shape, tuple) and len(shape) == 4 and None not in shape[1:3]


def size_multiple(encoder: Model) -> int:
    """Return the number of pixels of which an image's sides must be multiples.

    Args:
      encoder: keras.Model; layers that need such sides have an attribute of this name.

    Returns:
      int; 1 for networks of convolutions.

    Example:
      >>> from simclr_tf.models import vision_transformer
      >>> size_multiple(
      ...     vision_transformer(8, 1, 1, patch_size=4, image_size_pixels=8))
      4
    """
    return math.lcm(*(getattr(layer, "size_multiple", 1) for layer in encoder.layers))


def _does_not_fit(encoder, image_shape, way_out, reason):
    return ConfigError(
        f"The encoder {encoder.name} does not take images of {tuple(image_shape)} "
        f"(height, width, channels); its input is {encoder.input_shape}. {way_out} "
        + reason
    )


def _reason(error):
    """Return Keras's error about a layer, without the stack and the arguments."""
    text = str(error).split("Call arguments received")[0]
    start = max(0, text.find("Exception encountered"), text.find("Input 0 of"))
    return " ".join(text[start:].split())[:300]


def _symbolic(model, image_shape):
    """Return the model's own input and output, or those of a call on a new input."""
    if has_graph(model):
        return model.input, model.output
    image_shape = (None, None, 3) if image_shape is None else tuple(image_shape)
    require(
        len(image_shape) == 3,
        "`image_shape` must be (height, width, channels).",
        image_shape=image_shape,
    )
    images = keras.Input(image_shape, name="images")
    try:
        return images, model(images)
    except Exception as error:
        # Any error of the user's `call`, which Keras spreads over many lines.
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"The encoder could not be called on images {image_shape}; pass "
            "`image_shape=(height, width, channels)` if it needs another shape. "
            f"{type(error).__name__}: {reason} "
            + received_text(encoder=type(model).__name__)
        ) from error


def _check_tensor(tensor, what, forms):
    """Check a tensor; `forms`: the allowed shapes in words, by rank."""
    require(
        hasattr(tensor, "shape"),
        f"An encoder must have one {what}, a tensor.",
        **{what: tensor},
    )
    shape = tuple(tensor.shape)
    require(
        len(shape) in forms and shape[-1] is not None,
        f"An encoder's {what} must have the shape {' or '.join(forms.values())}, "
        "with a known last axis.",
        shape=shape,
    )
    require(
        tensor.dtype.is_floating,
        f"An encoder's {what} must hold floats.",
        dtype=tensor.dtype.name,
    )


def _pooling_layer(model):
    taken = {layer.name for layer in model.layers}
    name = "final_avg_pool"
    while name in taken:
        name += "_features"
    return keras.layers.GlobalAveragePooling2D(dtype="float32", name=name)
