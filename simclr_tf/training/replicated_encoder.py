"""A user's own encoder, prepared for a distribution strategy."""

from simclr_tf._keras import keras
from simclr_tf.distribution import belongs_to_scope, num_replicas
from simclr_tf.errors import ConfigError
from simclr_tf.models import SynchronizedBatchNormalization, synchronized_copy
from simclr_tf.models.endpoints import has_graph


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
    is_at_home = all(belongs_to_scope(variable) for variable in encoder.variables)
    if is_at_home and not _local_norms(encoder):
        return encoder
    if not has_graph(encoder):
        raise _build_in_scope(encoder, "it has no graph of layers")
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
    return [
        layer
        for layer in encoder.submodules
        if isinstance(layer, keras.layers.BatchNormalization)
        and not isinstance(layer, SynchronizedBatchNormalization)
    ]


def _build_in_scope(encoder, reason):
    return ConfigError(
        f"The encoder {encoder.name} cannot be copied to the replicas: {reason}. Build "
        "it inside `with simclr_tf.distribution.make_strategy(...).scope():`, with "
        "simclr_tf.models.SynchronizedBatchNormalization, and call `pretrain` there."
    )
