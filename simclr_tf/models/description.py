"""Encoders as data: the graph of layers as JSON, the weights by name.

A description cannot run a program: it may only name layers, initializers and
regularizers of Keras and of this package from closed lists. Descriptions from strangers
are therefore safe to rebuild, unlike SavedModels.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Array, Model, Variable
from simclr_tf.errors import DataError, require
from simclr_tf.models import tokens
from simclr_tf.models.checked_config import checked_graph
from simclr_tf.models.closed_lists import variables_at_most
from simclr_tf.models.endpoints import has_graph

KIND = "keras_functional/1"
# Layers without a program, a file or a lookup table in their config.
LAYERS = frozenset(
    {
        "Activation",
        "Add",
        "Average",
        "AveragePooling2D",
        "BatchNormalization",
        "Concatenate",
        "Conv2D",
        "Cropping2D",
        "Dense",
        "DepthwiseConv2D",
        "Dropout",
        "ELU",
        "EinsumDense",
        "Flatten",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "GroupNormalization",
        "InputLayer",
        "LayerNormalization",
        "LeakyReLU",
        "MaxPooling2D",
        "Maximum",
        "Minimum",
        "MultiHeadAttention",
        "Multiply",
        "PReLU",
        "Permute",
        "ReLU",
        "Rescaling",
        "Reshape",
        "SeparableConv2D",
        "Softmax",
        "SpatialDropout2D",
        "Subtract",
        "UnitNormalization",
        "UpSampling2D",
        "ZeroPadding2D",
    }
)
# Layers of this package, by their names in Keras's registry.
OWN_LAYERS = frozenset(
    f"simclr_tf>{layer.__name__}"
    for layer in (
        tokens.Attention,
        tokens.ClassToken,
        tokens.FirstToken,
        tokens.PatchEmbedding,
        tokens.PositionEmbedding,
    )
)
_OF_LATER_RELEASES = ("optional", "softmax_robust_masking")


def describe_network(encoder: Model) -> dict[str, Any] | None:
    """Describe the graph of layers as plain JSON data.

    Args:
      encoder: keras.Model with a graph of layers, none of them nested networks.

    Returns:
      dict with "kind" and "config", for `network_from_description`; None if a layer is
      not one of `LAYERS` or `OWN_LAYERS`, so that the network cannot be rebuilt from
      data.

    Example:
      >>> from simclr_tf.models import resnet
      >>> copy = network_from_description(describe_network(resnet(18, 0.1)))
      >>> copy.output_shape
      (None, 51)
    """
    if not has_graph(encoder):
        return None
    functional = keras.Model(encoder.input, encoder.output, name=encoder.name)
    try:
        # To JSON and back, so that tuples are lists, as for every reader.
        description = json.loads(
            json.dumps({"kind": KIND, "config": _portable(functional.get_config())})
        )
        _checked_config(description)
        weights_by_name(functional)
    except (DataError, TypeError, ValueError, NotImplementedError):
        return None
    return description


def network_from_description(
    description: Mapping[str, Any],
    source: str = "the description",
    *,
    values: int | None = None,
) -> Model:
    """Build a trainable network with fresh weights.

    Args:
      description: dict of `describe_network`, from anyone.
      source: str, its origin, for messages.
      values: int, how many numbers its weights are; a network with more is refused
        before it is built. None takes the description at its word.

    Returns:
      keras.Model with a graph of layers.

    Raises:
      DataError: another kind of data, a layer outside the lists, or more weights
        than `values`.
    """
    try:
        config = _checked_config(description)
        with contextlib.ExitStack() as stack:
            if values is not None:
                stack.enter_context(variables_at_most(values))
            return keras.Model.from_config(config)
    except (
        DataError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ImportError,
        RuntimeError,
        OverflowError,
        tf.errors.OpError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"The network in {source} cannot be rebuilt: {reason}"
        ) from error


def weights_by_name(encoder: Model) -> dict[str, Array]:
    """Return every weight as float32 array under `layer/weight`, in the layers' order.

    Args:
      encoder: keras.Model with a graph of layers.

    Returns:
      dict of str to NumPy array.

    Raises:
      ConfigError: two weights have one name.

    Example:
      >>> from simclr_tf.models import resnet
      >>> list(weights_by_name(resnet(18, 0.1)))[:2]
      ['initial_conv/kernel', 'initial_bn/gamma']
    """
    named = variables_by_name(encoder)
    return {name: variable.numpy() for name, variable in named.items()}


def set_weights_by_name(
    encoder: Model, weights: Mapping[str, Array], source: str = "the weights"
) -> None:
    """Give every variable the array of its name.

    Args:
      encoder: keras.Model with a graph of layers.
      weights: dict of name to array, of `weights_by_name`.
      source: str, their origin, for messages.

    Raises:
      DataError: a name is missing or surplus, or a shape differs; nothing is changed.
    """
    variables = variables_by_name(encoder)
    missing = sorted(set(variables) - set(weights))
    surplus = sorted(set(weights) - set(variables))
    shapes = [
        name
        for name in variables
        if name in weights and tuple(variables[name].shape) != np.shape(weights[name])
    ]
    problems = [
        f"{what} {names[0]} and {len(names) - 1} more"
        for what, names in (
            ("missing:", missing),
            ("surplus:", surplus),
            ("another shape:", shapes),
        )
        if names
    ]
    if problems:
        raise DataError(
            f"{source} do not belong to this network ({'; '.join(problems)})."
        )
    for name, variable in variables.items():
        variable.assign(weights[name])


def variables_by_name(encoder: Model) -> dict[str, Variable]:
    """Return every variable under `layer/weight`, in the layers' order.

    Args:
      encoder: keras.Model with a graph of layers.

    Returns:
      dict of str to variable.

    Raises:
      ConfigError: two weights have one name.
    """
    named, number = {}, 0
    for layer in encoder.layers:
        for variable in layer.weights:
            named[f"{layer.name}/{_own_name(layer, variable)}"] = variable
            number += 1
    require(
        len(named) == number,
        "Two weights of the network have the same name.",
        encoder=encoder.name,
    )
    return named


def _own_name(layer, variable):
    """Return `kernel`, or `query/kernel` in a nested layer, without the name scope."""
    path = variable.name.split(":")[0]
    _, found, own = path.rpartition(f"{layer.name}/")
    return own if found else path.split("/")[-1]


def _portable(config):
    """Remove entries that some releases of Keras write and others do not know."""
    if isinstance(config, dict):
        return {
            key: _portable(value)
            for key, value in config.items()
            if not (key in _OF_LATER_RELEASES and value is False)
        }
    if isinstance(config, (list, tuple)):
        return [_portable(value) for value in config]
    return config


def _checked_config(description):
    """Copy the config in a description; raise DataError for what is on no list."""
    if not isinstance(description, dict) or description.get("kind") != KIND:
        raise DataError(f"it is not of the kind `{KIND}`")
    return checked_graph(description.get("config"), LAYERS, OWN_LAYERS)
