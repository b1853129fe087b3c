"""Averaged networks: moving averages of a network, as key encoders and teachers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Layer, Tensor, TensorLike, Variable
from simclr_tf.distribution import assign_on_replicas
from simclr_tf.errors import require
from simclr_tf.models.synchronized_batch_norm import SynchronizedBatchNormalization
from simclr_tf.models.synchronized_copy import synchronized_layer


class AveragedNetwork(keras.layers.Layer):
    """A copy of a network; its weights are a moving average of the network's weights.

    The copy gets no gradient: all of its variables count as not trainable. Its batch
    norm has its own statistics, updated when the copy is called in training.

    Args:
      network: keras.Model with a graph of layers, or a built keras layer that can be
        made from its config; built in the strategy's scope.
      name: str, of the layer.
      batch_norm_groups: int, groups of the rows for batch norm in training; see
        `SynchronizedBatchNormalization`. (Batch norm inside custom layers does not
        change.)

    Raises:
      ConfigError: a layer that cannot be rebuilt from its config.

    Example:
      >>> import tensorflow as tf
      >>> images = keras.Input((4,))
      >>> network = keras.Model(images, keras.layers.Dense(2)(images))
      >>> target = AveragedNetwork(network)
      >>> _ = network.trainable_variables[1].assign_add([1.0, 1.0])
      >>> target.average(network, decay=0.75)
      >>> target.weights[1].numpy().tolist(), target.trainable_variables
      ([0.25, 0.25], [])

    Source: He et al., MoCo (2020), equation 2; Tarvainen & Valpola, Mean teachers
    (2017).
    """

    def __init__(
        self,
        network: Layer,
        name: str = "averaged_network",
        batch_norm_groups: int = 1,
    ) -> None:
        super().__init__(name=name, autocast=False)  # The network casts as it did.
        self.network = synchronized_layer(network)
        if not self.network.built:
            self.network.build_from_config(network.get_build_config())
        self.follow(network)
        for layer in self.network.submodules:
            if isinstance(layer, SynchronizedBatchNormalization):
                layer.groups = batch_norm_groups

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Apply the copy to the inputs."""
        return self.network(inputs, training=training)

    def follow(self, network: Layer) -> None:
        """Copy all weights and statistics of the network."""
        self.network.set_weights(network.get_weights())

    def average(self, network: Layer, decay: float | TensorLike) -> None:
        """Set weights to decay * weights + (1 - decay) * the network's.

        Inside `strategy.run`, on every replica. Only trainable variables are averaged;
        the copy keeps its own moving statistics.

        Args:
          network: the network that was copied.
          decay: float in [0, 1], or a float32 scalar tensor.
        """
        own, followed = (
            [v for v in one.weights if v.trainable] for one in (self.network, network)
        )
        require(
            len(own) == len(followed),
            "The network must be the one from which the averaged network was copied.",
            network=network.name,
        )
        values = [
            decay * average + (1.0 - decay) * weight
            for average, weight in zip(own, followed, strict=True)
        ]
        assign_on_replicas(own, values)

    @property
    def trainable_weights(self) -> list[Variable]:
        """An empty list: no gradient reaches the copy."""
        return []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """All variables of the copy."""
        return self.network.weights


class AveragedPair(keras.layers.Layer):
    """Averaged copies of an encoder and its head, which make keys and targets.

    Args:
      encoder, head: the trained networks, see `AveragedNetwork`.
      batch_norm_groups: int, see `AveragedNetwork`.
      name: str, of the layer.
    """

    def __init__(
        self,
        encoder: Layer,
        head: Layer,
        batch_norm_groups: int = 1,
        name: str = "averaged_pair",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.encoder = AveragedNetwork(encoder, "averaged_encoder", batch_norm_groups)
        self.head = AveragedNetwork(head, "averaged_head", batch_norm_groups)

    def call(self, images: TensorLike, training: bool = False) -> Tensor:
        """Make projections `[N, D]` of images `[N, H, W, C]`, without a gradient."""
        features = self.encoder(images, training=training)
        return tf.stop_gradient(self.head(features, training=training))

    def follow(self, encoder: Layer, head: Layer) -> None:
        """Copy all weights and statistics of both networks."""
        self.encoder.follow(encoder)
        self.head.follow(head)

    def average(self, encoder: Layer, head: Layer, decay: float | TensorLike) -> None:
        """Apply `AveragedNetwork.average` to both."""
        self.encoder.average(encoder, decay)
        self.head.average(head, decay)
