"""Copies of an encoder for any machine: one device, float32, any image size."""

from __future__ import annotations

import tensorflow as tf

from simclr_tf._keras import keras, refuse_keras3
from simclr_tf.array_types import Model
from simclr_tf.errors import ConfigError, received_text, require
from simclr_tf.export.weight_copies import copy_weights
from simclr_tf.models import SynchronizedBatchNormalization, check_encoder
from simclr_tf.models.keras3_network import network_of
from simclr_tf.training.exports import ExportedEncoder

_BATCH_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.experimental.SyncBatchNormalization,  # In older encoders.
)
_SHORT_FLOATS = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


def plain_copy(encoder: Model) -> Model:
    """Copy an encoder with plain batch norm and float32, outside any strategy.

    Every layer is rebuilt from its config, with plain instead of synchronized batch
    norm and float32 instead of 16-bit policies, and gets its weights. All layers are
    trainable, even if they were frozen. Height and width become free if the layers
    allow it. Penalties on activations, which need images, are left out.

    Args:
      encoder: keras.Model as for `check_encoder`.

    Returns:
      keras.Model with a graph of layers, float32 images to features `[N, F]`.

    Raises:
      ConfigError: a layer cannot be rebuilt from its config, or there are no weights.

    Example:
      >>> from simclr_tf.models import resnet
      >>> trained = resnet(18, width_multiplier=0.1, synchronized=True)
      >>> type(plain_copy(trained).get_layer("initial_bn")).__name__
      'BatchNormalization'
    """
    encoder = check_encoder(encoder)
    require(
        len(encoder.weights) > 0,
        "The encoder has no weights to export.",
        encoder=encoder.name,
    )
    require(
        not any(isinstance(layer, ExportedEncoder) for layer in encoder.layers),
        "A SavedModel without a description of its layers cannot be exported again: "
        "copy that folder, or export from the workdir.",
        encoder=encoder.name,
    )
    shape = encoder.input_shape[1:]
    copy = None
    if None not in shape[:2] and network_of(encoder) is None:
        # A Keras 3 network keeps the sides that its user gave it.
        copy = _clone_at_any_size(encoder, shape)
    if copy is None:
        copy = _clone(encoder)
    for layer in encoder.layers:
        if layer.weights:  # The input of the copy may have another name.
            copy_weights(layer, copy.get_layer(layer.name))
    copy.trainable = True
    return copy


def plain_head(head, num_features, name):
    """Copy a head on top of the encoder, like `plain_copy`, with its weights.

    Args:
      head: keras.layers.Layer or keras.Model, float32 features `[N, F]` to floats
        `[N, C]`: a Dense layer, a `ProjectionHead`, or a network of such layers; parts
        of it may be frozen.
      num_features: int, F.
      name: str, its name in messages.

    Returns:
      keras.layers.Layer, built and trainable.

    Raises:
      ConfigError: another kind of layer, or a layer that cannot be rebuilt from its
        config.

    Example:
      >>> head = keras.Sequential([keras.layers.Dense(8, "relu"),
      ...                          keras.layers.Dense(3)])
      >>> plain_head(head, 32, "classifier")(tf.ones([2, 32])).shape.as_list()
      [2, 3]
    """
    refuse_keras3(f"Build it with {keras.__name__}.layers.", **{name: head})
    require(
        isinstance(head, keras.layers.Layer),
        f"`{name}` must be a layer or a model of the Keras 2 API, package "
        f"`{keras.__name__}`.",
        **{name: type(head).__name__},
    )
    _check_head(head, num_features, name)
    copy = plain_layer(head)
    copy(tf.zeros([1, num_features]))  # Builds it.
    copy_weights(head, copy)
    copy.trainable = True
    return copy


def _check_head(head, num_features, name):
    """Build a head, and raise unless it maps features `[N, F]` to floats `[N, C]`."""
    try:
        # Two rows: with one row, a head that returns a single row would pass.
        output = head(tf.zeros([2, num_features]), training=False)
    except Exception as error:
        # Any error of the user's `call`, which Keras spreads over many lines.
        raise ConfigError(
            f"`{name}` could not be called on the encoder's features, float32 "
            f"[N, {num_features}]. {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]} " + received_text(layer=head.name)
        ) from error
    shape = tuple(getattr(output, "shape", ()))
    require(
        len(shape) == 2 and shape[0] == 2 and output.dtype.is_floating,
        f"`{name}` must map features [N, {num_features}] to one tensor of floats "
        "[N, C].",
        layer=head.name,
        output=shape or type(output).__name__,
    )


def plain_layer(layer):
    """Rebuild a layer from its config, without its weights.

    Args:
      layer: keras.layers.Layer, a nested model included.

    Returns:
      keras.layers.Layer: plain batch norm, float32.

    Raises:
      ConfigError: the layer's class has no usable `get_config`.
    """
    if isinstance(layer, keras.Model) and layer.inputs:
        return keras.models.clone_model(layer, clone_function=plain_layer)
    kind = type(layer)
    if isinstance(layer, SynchronizedBatchNormalization) or (
        isinstance(layer, _BATCH_NORMS) and layer.synchronized
    ):
        kind = keras.layers.BatchNormalization
    try:
        return kind.from_config(_plain_config(layer.get_config()))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ConfigError(
            "A layer of the encoder cannot be rebuilt from its config; give its "
            f"class a `get_config` that holds all arguments. {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]} "
            + received_text(layer=layer.name, kind=kind.__name__)
        ) from error


def _clone(encoder, inputs=None):
    # On the CPU, which every machine has; the copy has no fixed device.
    with tf.device("/CPU:0"):
        return keras.models.clone_model(
            encoder, input_tensors=inputs, clone_function=plain_layer
        )


def _clone_at_any_size(encoder, shape):
    """Clone with free height and width; return None if a layer needs the size."""
    try:
        images = keras.Input((None, None, shape[-1]), name="images")
        copy = _clone(encoder, [images])
    except (ValueError, TypeError):
        return None
    same_shapes = [tuple(w.shape) for w in copy.weights] == [
        tuple(w.shape) for w in encoder.weights
    ]
    return copy if same_shapes and None not in copy.output_shape[1:] else None


def _plain_config(config):
    """Return a layer's config without synchronization, 16 bits and penalties.

    Nested configs are treated the same way.
    """
    if isinstance(config, dict):
        plain = {key: _plain_config(value) for key, value in config.items()}
        if "activity_regularizer" in plain:
            plain["activity_regularizer"] = None
        if plain.get("synchronized"):
            plain["synchronized"] = False
        if _policy_name(plain.get("dtype")) in _SHORT_FLOATS:
            plain["dtype"] = "float32"
        return plain
    if isinstance(config, tuple):
        return tuple(_plain_config(value) for value in config)
    if isinstance(config, list):  # Keras wraps lists; convert them to plain lists.
        return [_plain_config(value) for value in config]
    return config


def _policy_name(dtype):
    """Return the name in a dtype entry, which may be a serialised policy."""
    if isinstance(dtype, dict):
        return dtype.get("config", {}).get("name")
    return dtype
