"""Classifiers: an encoder, the first layers of a projection head, a linear layer."""

from __future__ import annotations

import numbers

from simclr_tf._keras import keras
from simclr_tf.array_types import Layer, Model, Variable
from simclr_tf.errors import require, unknown_choice
from simclr_tf.models.encoders import family_among
from simclr_tf.models.endpoints import endpoints
from simclr_tf.models.synchronized_copy import synchronized_copy, synchronized_layer

LOGITS = "classifier_logits"
_HEAD_PREFIX = "head_"
NOTHING = "none"  # Value of `freeze_until` if everything is trained.


def classifier_network(
    encoder: Model,
    num_classes: int,
    *,
    projection_head: Layer | None = None,
    head_layer: int = 0,
    synchronized: bool = False,
) -> Model:
    """Build a classifier from an encoder and, optionally, part of its head.

    logits = W h_K + b, where h_0 = h are the features and h_k the output of layer k of
    the projection head, its ReLU included. W and b start at zero: a linear classifier
    is convex, and the first gradients do not disturb the encoder.

    Args:
      encoder: keras.Model of `check_encoder`; the classifier gets a copy.
      num_classes: int C >= 1.
      projection_head: ProjectionHead, built; needed if `head_layer` > 0.
      head_layer: int K in 0 .. layers of the head; 0 for no head.
      synchronized: bool, batch norm over all replicas.

    Returns:
      keras.Model of plain Keras layers: float images `[N, H, W, C]` in [0, 1] to
      float32 logits `[N, C]`.

    Raises:
      ConfigError: a number outside its range, or a missing head.

    Example:
      >>> from simclr_tf.models import resnet
      >>> network = classifier_network(resnet(18, 0.1, stem="small"), 10)
      >>> network.output_shape
      (None, 10)

    Source: Chen et al., SimCLRv2 (2020), section 2 and Figure 5 (fine-tuning from the
    middle of the head); SimCLR (2020), section B.5.
    """
    require(
        isinstance(num_classes, numbers.Integral) and num_classes >= 1,
        "`num_classes` must be a whole number >= 1.",
        num_classes=num_classes,
    )
    check_head_layer(projection_head, head_layer)
    encoder = _copy(encoder, synchronized)
    x = encoder.output
    for index in range(head_layer):
        x = _layer_of_head(projection_head, index, x, synchronized)
    logits = keras.layers.Dense(
        num_classes, kernel_initializer="zeros", dtype="float32", name=LOGITS
    )(x)
    return keras.Model(encoder.input, logits, name=f"{encoder.name}_classifier")


def check_head_layer(projection_head: Layer | None, head_layer: int) -> None:
    """Refuse a layer that a projection head does not have.

    Args:
      projection_head, head_layer: as for `classifier_network`.

    Raises:
      ConfigError: a number outside its range, or a head that is not there.
    """
    layers = [] if projection_head is None else projection_head.dense_layers
    require(
        isinstance(head_layer, numbers.Integral) and 0 <= head_layer <= len(layers),
        f"`head_layer` must be a whole number from 0 to {len(layers)}, the layers "
        "of the projection head.",
        head_layer=head_layer,
    )


def split_classifier(network: Model) -> tuple[Model, Model]:
    """Split a classifier into its encoder and the layers after it, sharing weights.

    Args:
      network: keras.Model of `classifier_network`, or one that was saved and loaded.

    Returns:
      (keras.Model, keras.Model): images to features `[N, F]`, and features to logits
      `[N, C]`.

    Raises:
      ConfigError: the network was not made by `classifier_network`.

    Example:
      >>> from simclr_tf.models import resnet
      >>> network = classifier_network(resnet(18, 0.1, stem="small"), 10)
      >>> [part.output_shape for part in split_classifier(network)]
      [(None, 51), (None, 10)]
    """
    after = _layers_after_encoder(network)
    features = after[0].input
    x = inputs = keras.Input(features.shape[1:], name="features")
    for layer in after:
        x = layer(x)
    return (
        keras.Model(
            network.input, features, name=network.name.removesuffix("_classifier")
        ),
        keras.Model(inputs, x, name="classifier"),
    )


def freeze_until(network: Model, endpoint: str) -> list[str]:
    """Freeze a network up to and including an endpoint, batch norm too.

    A frozen batch norm uses its moving statistics, in training too, and does not update
    them: frozen layers stay bit-identical.

    Args:
      network: keras.Model of `classifier_network`, not yet compiled.
      endpoint: str, "none" or one of the encoder's `simclr_tf.models.endpoints`, of
        which the last is the whole encoder.

    Returns:
      list of str, names of the frozen layers.

    Raises:
      ConfigError: an endpoint that this encoder does not have.

    Example:
      >>> from simclr_tf.models import resnet
      >>> network = classifier_network(resnet(18, 0.1, stem="small"), 10)
      >>> freeze_until(network, "initial_conv")
      ['images', 'initial_conv_pad', 'initial_conv']
    """
    encoder = _encoder_of(network)
    check_endpoint(encoder, endpoint)
    if endpoint == NOTHING:
        return []
    part = keras.Model(network.input, endpoints(encoder)[endpoint])
    for layer in part.layers:
        layer.trainable = False
    return [layer.name for layer in part.layers]


def check_endpoint(encoder: Model, endpoint: str) -> None:
    """Refuse an unknown endpoint of `freeze_until` before the training.

    Args:
      encoder: keras.Model with a graph of layers.
      endpoint: str, as for `freeze_until`.

    Raises:
      ConfigError: an unknown endpoint; the message lists the encoder's endpoints.
    """
    if endpoint != NOTHING and endpoint not in (found := endpoints(encoder)):
        raise unknown_choice("freeze_until", endpoint, [NOTHING, *found])


def depth_groups(network: Model) -> list[list[Variable]]:
    """Group the trained variables by depth, from the images to the logits.

    Args:
      network: keras.Model of `classifier_network`.

    Returns:
      list of lists of variables: those up to each endpoint that ends a group (of a
      ResNet the stem and the block groups, of a transformer the embedding and the
      blocks), and those after the encoder. Groups without trained variables are left
      out. A custom network is one group.

    Example:
      >>> from simclr_tf.models import resnet
      >>> network = classifier_network(resnet(18, 0.1, stem="small"), 10)
      >>> [len(group) for group in depth_groups(network)]
      [3, 15, 15, 15, 15, 2]
    """
    encoder = _encoder_of(network)
    inner = family_among([layer.name for layer in encoder.layers]).inner_endpoints
    ends = [end for name, end in endpoints(encoder).items() if name not in inner]
    groups, seen = [], set()
    for end in [*ends, network.output]:
        part = keras.Model(network.input, end)
        fresh = [v for v in part.trainable_variables if id(v) not in seen]
        seen.update(id(v) for v in fresh)
        if fresh:
            groups.append(fresh)
    return groups


def _encoder_of(network):
    """Return the encoder inside a classifier, sharing its layers."""
    return keras.Model(network.input, _layers_after_encoder(network)[0].input)


def _layers_after_encoder(network):
    """Return the layers of the projection head, and the last one."""
    layers = network.layers
    require(
        bool(layers) and layers[-1].name == LOGITS,
        "The network must be a fine-tuned classifier, which ends in the layer "
        f"`{LOGITS}`, as saved by `simclr-tf finetune`.",
        last_layer=layers[-1].name if layers else None,
    )
    return [
        layer
        for layer in layers
        if layer.name.startswith(_HEAD_PREFIX) or layer.name == LOGITS
    ]


def _copy(encoder, synchronized):
    """Copy a network with its own variables, all of them trainable."""
    if synchronized:
        copy = synchronized_copy(encoder)
    else:
        copy = keras.models.clone_model(encoder)
        copy.set_weights(encoder.get_weights())
    copy.trainable = True
    return copy


def _layer_of_head(head, index, x, synchronized):
    """Return layer `index` of a projection head as layers of the graph."""
    is_last = index == len(head.dense_layers) - 1
    originals = [head.dense_layers[index]]
    if index < len(head.norm_layers):
        originals.append(head.norm_layers[index])
    for original in originals:
        kind = synchronized_layer if synchronized else _renewed
        layer = kind(original)
        layer._name = f"{_HEAD_PREFIX}{original.name}"
        x = layer(x)
        layer.set_weights(original.get_weights())
    if is_last:
        return x
    return keras.layers.ReLU(name=f"{_HEAD_PREFIX}relu{index + 1}")(x)


def _renewed(layer):
    return type(layer).from_config(layer.get_config())
