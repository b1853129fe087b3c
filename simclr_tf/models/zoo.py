"""Encoders by name, and the door through which users bring their own."""

import inspect

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, received_text, require, unknown_choice
from simclr_tf.models.endpoints import has_graph
from simclr_tf.models.resnet import resnet

# The encoders of the two papers, the narrow ones of the CPU presets, a shallow one.
ENCODERS = {
    "resnet10": {"depth": 10},
    "resnet18": {"depth": 18},
    "resnet34": {"depth": 34},
    "resnet50": {"depth": 50},
    "resnet50_sk": {"depth": 50, "sk_ratio": 0.0625},
    "resnet50_2x": {"depth": 50, "width_multiplier": 2},
    "resnet50_2x_sk": {"depth": 50, "width_multiplier": 2, "sk_ratio": 0.0625},
    "resnet50_4x": {"depth": 50, "width_multiplier": 4},
    "resnet101": {"depth": 101},
    "resnet101_sk": {"depth": 101, "sk_ratio": 0.0625},
    "resnet101_2x": {"depth": 101, "width_multiplier": 2},
    "resnet101_2x_sk": {"depth": 101, "width_multiplier": 2, "sk_ratio": 0.0625},
    "resnet152": {"depth": 152},
    "resnet152_sk": {"depth": 152, "sk_ratio": 0.0625},
    "resnet152_2x": {"depth": 152, "width_multiplier": 2},
    "resnet152_2x_sk": {"depth": 152, "width_multiplier": 2, "sk_ratio": 0.0625},
    "resnet152_3x_sk": {"depth": 152, "width_multiplier": 3, "sk_ratio": 0.0625},
    "resnet200": {"depth": 200},
    "resnet18_cifar": {"depth": 18, "stem": "cifar"},
    "resnet50_cifar": {"depth": 50, "stem": "cifar"},
    "resnet18_quarter_cifar": {"depth": 18, "width_multiplier": 0.25, "stem": "cifar"},
    "resnet18_quarter_small": {"depth": 18, "width_multiplier": 0.25, "stem": "small"},
}


def build_encoder(name, **overrides):
    """A fresh encoder from the catalogue.

    Args:
      name: str, a key of `ENCODERS`.
      **overrides: arguments of `resnet` that replace the catalogue's.

    Returns:
      keras.Model, as of `resnet`.

    Raises:
      ConfigError: unknown name or option, or a value outside its range.

    Example:
      >>> build_encoder("resnet18_quarter_cifar", channels=1).input_shape
      (None, None, None, 1)
    """
    if name not in ENCODERS:
        raise unknown_choice("encoder", name, ENCODERS)
    options = list(inspect.signature(resnet).parameters)
    for option in overrides:
        if option not in options:
            raise unknown_choice("encoder option", option, options)
    return resnet(**{"name": name, **ENCODERS[name], **overrides})


def check_encoder(model, image_shape=None):
    """Make sure that a model maps images to features, pooling them if need be.

    Feature maps `[N, H, W, F]` are averaged over H and W in float32, in a layer
    called "final_avg_pool"; features in 16 bits are cast to float32. A functional
    model that already gives float32 `[N, F]` comes back as it is; the result shares
    the weights of `model` in every case.

    Args:
      model: keras.Model (Keras 2 API) from one image batch to `[N, F]` or
        `[N, H, W, F]`: functional, sequential or subclassed.
      image_shape: tuple (H, W, C) for models that do not know their input; H and W
        may be None. Default: any size, 3 channels.

    Returns:
      keras.Model with a graph: images to float32 features `[N, F]`.

    Raises:
      ConfigError: not such a model; the message says what it is instead.

    Example:
      >>> from simclr_tf._keras import keras
      >>> images = keras.Input((None, None, 1))
      >>> maps = keras.layers.Conv2D(8, 3)(images)
      >>> check_encoder(keras.Model(images, maps)).output_shape
      (None, 8)
    """
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


def _symbolic(model, image_shape):
    """The model's own input and output, or those of a call on a new input."""
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
        # Whatever the user's `call` raises; Keras spreads it over many lines.
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"The encoder could not be called on images {image_shape}; pass "
            "`image_shape=(height, width, channels)` if it needs another shape. "
            f"{type(error).__name__}: {reason} "
            + received_text(encoder=type(model).__name__)
        ) from error


def _check_tensor(tensor, what, forms):
    """`forms`: the allowed shapes in words, by rank."""
    require(
        hasattr(tensor, "shape"),
        f"An encoder has one {what}, a tensor.",
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
