"""A user's own encoder, prepared for a distribution strategy."""

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.distribution import belongs_to_scope, num_replicas
from simclr_tf.errors import ConfigError, require
from simclr_tf.models import SynchronizedBatchNormalization, synchronized_copy
from simclr_tf.models.endpoints import has_graph
from simclr_tf.models.keras3_network import (
    batch_norms,
    check_rebuilt,
    network_of,
    set_network_weights,
)


def replicated_encoder(encoder):
    """Return the encoder with variables on every replica and synchronized batch norm.

    A model with a graph of layers that was built outside the strategy's scope is
    copied into the scope with its weights; the original does not change. In the copy
    (and in a model built inside the scope) batch norm sees the global batch.

    Args:
      encoder: keras.Model; called inside `strategy.scope()`.

    Returns:
      keras.Model: the same object for one device.

    Raises:
      ConfigError: the encoder cannot be copied, or has a custom batch norm.

    Example:
      >>> pictures = keras.Input((8, 8, 3))
      >>> encoder = keras.Model(pictures, keras.layers.Flatten()(pictures))
      >>> replicated_encoder(encoder) is encoder
      True
    """
    _check_keras3(encoder)
    is_at_home = all(belongs_to_scope(variable) for variable in encoder.variables)
    if is_at_home and not _local_norms(encoder):
        return encoder
    if not has_graph(encoder):
        raise _build_in_scope(encoder, "it has no graph of layers")
    if network_of(encoder) is not None:
        check_rebuilt(network_of(encoder))
    copy = synchronized_copy(encoder)
    if _local_norms(copy):
        raise _build_in_scope(
            encoder, f"{_local_norms(copy)[0].name} is a custom batch norm"
        )
    return copy


def _local_norms(encoder):
    """List batch norms that would see only one replica's part of the batch."""
    if num_replicas() == 1:
        return []
    own = network_of(encoder)
    inner = [] if own is None else batch_norms(own.network)
    return [
        layer
        for layer in encoder.submodules
        if isinstance(layer, keras.layers.BatchNormalization)
        and not isinstance(layer, SynchronizedBatchNormalization)
    ] + [layer for layer in inner if not layer.synchronized]


def give_back(encoder, trained):
    """Give a user's Keras 3 network the weights of the copy that was trained.

    Args:
      encoder: the network that was passed to `pretrain`, or anything else.
      trained: keras.Model, the encoder of the run.
    """
    layer = network_of(trained)
    if layer is not None and encoder is not None and layer.network is not encoder:
        values = [variable.numpy() for variable in layer.network.variables]
        set_network_weights(encoder, values)


def _check_keras3(encoder):
    """Refuse a strategy for which Keras 3 networks were not tried."""
    if network_of(encoder) is None:
        return
    strategy = tf.distribute.get_strategy()
    require(
        num_replicas() == 1
        or (
            isinstance(strategy, tf.distribute.MirroredStrategy)
            and not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        ),
        "A network of Keras 3 is trained on one device or with --strategy=mirrored: "
        "Keras 3 supports no other strategy. For several machines or a TPU, build the "
        f"network with the Keras 2 API (`{keras.__name__}`).",
        strategy=type(strategy).__name__,
    )


def _build_in_scope(encoder, reason):
    norm = "simclr_tf.models.SynchronizedBatchNormalization"
    if network_of(encoder) is not None:
        norm = "keras.layers.BatchNormalization(synchronized=True)"
    return ConfigError(
        f"The encoder {encoder.name} cannot be copied to the replicas: {reason}. Build "
        "it inside `with simclr_tf.distribution.make_strategy(...).scope():`, with "
        f"{norm}, and call `pretrain` there."
    )
