"""The layers without weights of `simclr_tf.models.tokens`, in operations of Keras 3.

Every installation of Keras 3 can load a network of them. Imported by `make_keras3.py`,
and by a process that has this package.
"""

import keras
import numpy as np
from keras import ops


class Own(keras.layers.Layer):
    """A layer of this package, made of operations of Keras 3."""

    def __init__(self, name=None, dtype=None, trainable=True, **options):
        super().__init__(name=name)
        self.options = options

    def get_config(self):
        return {**super().get_config(), **self.options}

    def compute_output_spec(self, inputs):
        return self.operations(inputs)


class PositionEmbedding(Own):
    """Add sines and cosines of each token's row and column."""

    def operations(self, tokens):
        quarter = tokens.shape[-1] // 4
        frequencies = (10000.0 ** (-np.arange(quarter) / quarter)).astype("float32")
        ones, waves = ops.ones_like(ops.take(tokens, [0], axis=-1)), []
        for axis in (2, 1):
            place, side = ops.cumsum(ones, axis=axis), self.options["grid"][axis - 1]
            scale = side / ops.max(place, axis=axis, keepdims=True)
            angles = ((place - 0.5) * scale - 0.5) * frequencies
            waves += [ops.sin(angles), ops.cos(angles)]
        return tokens + ops.concatenate(waves, axis=-1)


class ClassToken(Own):
    """Put a learned token before the others."""

    def operations(self, tokens):
        first = ops.take(ops.take(tokens, [0], axis=1), 0, axis=2)
        token = keras.layers.Embedding(1, tokens.shape[-1], name=self.name)
        token = token(ops.zeros_like(first, dtype="int32"))
        return ops.concatenate([token, tokens], axis=1)


class FirstToken(Own):
    """Take the first token."""

    def operations(self, tokens):
        return ops.take(tokens, 0, axis=1)


class Attention(Own):
    """Mix values by the softmax of queries and keys, head by head."""

    def operations(self, inputs):
        width, heads = inputs[0].shape[-1], self.options["num_heads"]
        split = keras.layers.Reshape((-1, heads, width // heads))
        queries, keys, values = (ops.transpose(split(x), [0, 2, 1, 3]) for x in inputs)
        queries = queries * (width // heads) ** -0.5
        shares = ops.softmax(ops.matmul(queries, ops.transpose(keys, [0, 1, 3, 2])))
        mixed = ops.transpose(ops.matmul(shares, values), [0, 2, 1, 3])
        return keras.layers.Reshape((-1, width))(mixed)


def in_operations(config):
    """Build the network of a config, with operations instead of our layers."""
    own = {f"simclr_tf>{kind.__name__}": kind for kind in Own.__subclasses__()}
    model = keras.Model.from_config(config, custom_objects=own)
    if any(isinstance(layer, Own) for layer in model.layers):
        model = keras.models.clone_model(model, call_function=_call)
    return model


def _call(layer, *args, **kwargs):
    return (layer.operations if isinstance(layer, Own) else layer)(*args, **kwargs)
