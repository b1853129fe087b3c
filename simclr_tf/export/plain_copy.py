"""A copy of an encoder as anyone can run it: one device, float32, any size."""

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, received_text
from simclr_tf.models import SynchronizedBatchNormalization, check_encoder

_BATCH_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.experimental.SyncBatchNormalization,  # Of older encoders.
)
_SHORT_FLOATS = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


def plain_copy(encoder):
    """The same function with plain batch norm and float32, outside any strategy.

    Every layer is made anew from its config, in which synchronized batch norm
    becomes plain and 16-bit policies become float32, and gets its weights. All
    layers are trainable, whatever was frozen. Height and width become free where the
    layers allow it.

    Args:
      encoder: keras.Model as for `check_encoder`.

    Returns:
      keras.Model with a graph of layers, float32 images to features `[N, F]`.

    Raises:
      ConfigError: a layer cannot be made anew from its config, or there are no
        weights.

    Example:
      >>> from simclr_tf.models import resnet
      >>> trained = resnet(18, width_multiplier=0.1, synchronized=True)
      >>> type(plain_copy(trained).get_layer("initial_bn")).__name__
      'BatchNormalization'
    """
    encoder = check_encoder(encoder)
    if not encoder.weights:
        raise ConfigError(
            "The encoder has no weights to export. An encoder loaded from an export "
            "cannot be exported again: copy that folder, or export from the workdir. "
            + received_text(encoder=encoder.name)
        )
    shape = encoder.input_shape[1:]
    copy = None
    if None not in shape[:2]:
        copy = _clone_at_any_size(encoder, shape)
    if copy is None:
        copy = _clone(encoder)
    for layer in encoder.layers:
        # By name: equal shapes in another order would go unnoticed in one list.
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    copy.trainable = True
    return copy


def plain_layer(layer):
    """A layer made anew from its config, without its weights.

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
            isinstance(layer, _BATCH_NORMS) and layer.synchronized):
        kind = keras.layers.BatchNormalization
    try:
        return kind.from_config(_plain_config(layer.get_config()))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ConfigError(
            "A layer of the encoder cannot be made anew from its config; give its "
            f"class a `get_config` that holds all arguments. {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]} "
            + received_text(layer=layer.name, kind=kind.__name__)
        ) from error


def _clone(encoder, inputs=None):
    # On the CPU, where every machine can build it; no device is written down.
    with tf.device("/CPU:0"):
        return keras.models.clone_model(
            encoder, input_tensors=inputs, clone_function=plain_layer
        )


def _clone_at_any_size(encoder, shape):
    """The clone with free height and width, or None where a layer needs the size."""
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
    """A layer's config without synchronization and 16-bit policies, nested too."""
    if isinstance(config, dict):
        plain = {key: _plain_config(value) for key, value in config.items()}
        if plain.get("synchronized"):
            plain["synchronized"] = False
        if _policy_name(plain.get("dtype")) in _SHORT_FLOATS:
            plain["dtype"] = "float32"
        return plain
    if isinstance(config, tuple):
        return tuple(_plain_config(value) for value in config)
    if isinstance(config, list):  # Keras wraps lists: plain ones are made.
        return [_plain_config(value) for value in config]
    return config


def _policy_name(dtype):
    """The name in a dtype entry, which may be a serialised policy."""
    if isinstance(dtype, dict):
        return dtype.get("config", {}).get("name")
    return dtype
