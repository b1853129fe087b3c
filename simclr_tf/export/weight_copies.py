"""Copying of weights between two networks of the same structure."""

import tensorflow as tf

from simclr_tf.errors import require


def copy_weights(source, twin):
    """Copy every variable of a network to another network of the same structure.

    Variables are matched by their attributes: freezing changes the order of a list of
    weights, and variables of equal shapes would be mixed up unnoticed.

    Args:
      source: keras.layers.Layer or keras.Model, built.
      twin: layer or model of the same structure, built.

    Raises:
      ConfigError: a variable has no counterpart of its shape in the other network.

    Example:
      >>> from simclr_tf.models import ProjectionHead
      >>> first, second = ProjectionHead(seed=1), ProjectionHead(seed=2)
      >>> features = tf.ones([2, 8])
      >>> before = float(tf.reduce_max(abs(first(features) - second(features))))
      >>> first.dense_layers[0].trainable = False
      >>> copy_weights(first, second)
      >>> before > 0, float(tf.reduce_max(abs(first(features) - second(features))))
      (True, 0.0)
    """
    pairs = _pairs(source, twin)
    whole = len(pairs) == len(twin.variables) == len(source.variables) and all(
        old.shape == new.shape for old, new in pairs
    )
    require(
        whole,
        "A layer that was rebuilt from its config has other variables; give its class "
        "a `get_config` that holds all arguments.",
        layer=source.name,
        kind=type(source).__name__,
    )
    for old, new in pairs:
        new.assign(tf.cast(old.numpy(), new.dtype))


def _pairs(source, twin):
    """Pair the variables at the same paths below two objects."""
    children = [tf.train.TrackableView(root).children for root in (source, twin)]
    wanted = [{id(v) for v in root.variables} for root in (source, twin)]
    pending, seen, pairs = [(source, twin)], set(), []
    while pending:
        old, new = pending.pop()
        if id(old) in seen or id(new) in seen:
            continue
        seen |= {id(old), id(new)}
        if id(old) in wanted[0] and id(new) in wanted[1]:
            pairs.append((old, new))
            continue
        below = children[1](new)
        pending += [
            (child, below[name])
            for name, child in children[0](old).items()
            if name in below
        ]
    return pairs
