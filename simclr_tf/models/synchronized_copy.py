"""Copies of users' encoders with synchronized batch norm."""

from __future__ import annotations

from simclr_tf._keras import keras
from simclr_tf.array_types import Model
from simclr_tf.errors import ConfigError, received_text
from simclr_tf.models.synchronized_batch_norm import SynchronizedBatchNormalization

_BATCH_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.experimental.SyncBatchNormalization,
)


def synchronized_copy(encoder: Model) -> Model:
    """Copy a network with batch norm over all replicas, in a strategy's scope.

    Plain batch norm would see only one replica's part of the batch, and a network that
    was built outside a strategy's scope cannot be trained by that strategy; so every
    layer is rebuilt from its config and gets its weights.

    Args:
      encoder: keras.Model with a graph of layers, of `check_encoder`.

    Returns:
      keras.Model.

    Raises:
      ConfigError: a layer that cannot be rebuilt from its config.

    Example:
      >>> images = keras.Input((8, 8, 3))
      >>> x = keras.layers.BatchNormalization(name="bn")(images)
      >>> encoder = keras.Model(images, keras.layers.Flatten()(x))
      >>> type(synchronized_copy(encoder).get_layer("bn")).__name__
      'SynchronizedBatchNormalization'
    """
    copy = keras.models.clone_model(encoder, clone_function=synchronized_layer)
    copy.set_weights(encoder.get_weights())
    return copy


def synchronized_layer(layer):
    """Rebuild a layer from its config, with synchronized batch norm, without weights.

    Args:
      layer: keras.layers.Layer, a nested model included.

    Returns:
      keras.layers.Layer; batch norm becomes SynchronizedBatchNormalization.

    Raises:
      ConfigError: the layer's class has no usable `get_config`.
    """
    if isinstance(layer, keras.Model) and layer.inputs:
        return keras.models.clone_model(layer, clone_function=synchronized_layer)
    kind = type(layer)
    if kind in _BATCH_NORMS:
        kind = SynchronizedBatchNormalization
    try:
        config = layer.get_config()
        if "synchronized" in config:  # A head, which has its own batch norm.
            config["synchronized"] = True
        return kind.from_config(config)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ConfigError(
            "For several replicas the encoder is copied, but one of its layers cannot "
            "be rebuilt from its config; give its class a `get_config` that "
            f"holds all arguments, or use --strategy=one_device. {type(error).__name__}"
            f": {' '.join(str(error).split())[:200]} "
            + received_text(layer=layer.name, kind=type(layer).__name__)
        ) from error
