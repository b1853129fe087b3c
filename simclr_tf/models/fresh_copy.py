"""Copies of a network with new initial values, for training from scratch."""

from __future__ import annotations

import itertools

from simclr_tf._keras import keras
from simclr_tf.array_types import Model
from simclr_tf.errors import ConfigError, received_text
from simclr_tf.models.initializers import FRESH_STREAM, kernel_seed


def fresh_copy(network: Model, seed: int, *, stream: int = FRESH_STREAM) -> Model:
    """Build a network of the same layers with new initial values.

    Every layer is rebuilt from its config, in which each initialiser gets its own seed,
    derived from `seed` and its position. Initialisers without a seed are not
    reproducible.

    Args:
      network: keras.Model with a graph of layers.
      seed: int; equal seeds give equal initial values.
      stream: int of `simclr_tf.models.initializers`: copies with one seed but different
        streams differ, so that training from scratch and pretraining do not start from
        the same weights.

    Returns:
      keras.Model; all of its layers are trainable.

    Raises:
      ConfigError: a layer that cannot be rebuilt from its config.

    Example:
      >>> from simclr_tf.models import resnet
      >>> trained = resnet(18, width_multiplier=0.1, stem="small", seed=0)
      >>> one, same = (fresh_copy(trained, seed=1) for _ in range(2))
      >>> [bool((a.get_weights()[0] == b.get_weights()[0]).all())
      ...  for a, b in ((one, same), (one, trained))]
      [True, False]
    """
    seeds = (kernel_seed(seed, place, stream) for place in itertools.count(1))

    def renewed(layer):
        if isinstance(layer, keras.Model) and layer.inputs:
            return keras.models.clone_model(layer, clone_function=renewed)
        try:
            return type(layer).from_config(reseeded(layer.get_config(), seeds))
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ConfigError(
                "Training from scratch rebuilds every layer from its config; give the "
                "class a `get_config` that holds all arguments. "
                + received_text(layer=layer.name, kind=type(layer).__name__)
            ) from error

    copy = keras.models.clone_model(network, clone_function=renewed)
    for layer in copy.submodules:
        if isinstance(layer, keras.layers.MultiHeadAttention):
            _draw_apart(layer, seeds)
    copy.trainable = True
    return copy


def _draw_apart(attention, seeds):
    """Draw each kernel separately: Keras gives queries, keys and values one seed."""
    initializer = attention.get_config()["kernel_initializer"]
    for variable in attention.weights:
        if variable.shape.rank > 2 and "seed" in initializer["config"]:
            own = keras.initializers.deserialize(reseeded(initializer, seeds))
            variable.assign(own(variable.shape))


def reseeded(config, seeds):
    """Return a layer's or a network's config with other seeds.

    Args:
      config: dict, nested, as in `get_config`.
      seeds: iterator of int, one taken for each entry "seed".

    Returns:
      dict.

    Example:
      >>> reseeded({"initializer": {"config": {"seed": None}}}, iter([5]))
      {'initializer': {'config': {'seed': 5}}}
    """
    if isinstance(config, dict):
        if "seed" in config:
            config = {**config, "seed": next(seeds)}
        return {key: reseeded(value, seeds) for key, value in config.items()}
    if isinstance(config, tuple):
        return tuple(reseeded(value, seeds) for value in config)
    if isinstance(config, list):  # Keras wraps lists; convert them to plain lists.
        return [reseeded(value, seeds) for value in config]
    return config
