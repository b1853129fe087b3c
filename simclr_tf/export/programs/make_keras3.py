"""Build a `.keras` file of Keras 3, read it back in safe mode and compare its outputs.

This package's layers without weights (`simclr_tf.models.tokens`) are here once more,
in operations of Keras 3, which every installation of Keras 3 can load.

Arguments: the file to write; an npz file of cases (`compare_outputs`) with, beside
them, "network" (the graph in JSON) and the weights, "weight:LAYER/INDEX".
"""

import json
import sys

import keras
import numpy as np
from compare_outputs import compare
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


def main(path, cases):
    """Write the file and compare what it computes once it is read back."""
    arrays = np.load(cases)
    model = _in_operations(json.loads(str(arrays["network"])))
    for layer in model.layers:
        names = [f"weight:{layer.name}/{index}" for index in range(len(layer.weights))]
        layer.set_weights([arrays[name] for name in names])
    model.save(path)
    model = keras.saving.load_model(path, safe_mode=True)

    def outputs(images):
        features = model(images, training=False)
        return [("features", ops.convert_to_numpy(features))]

    compare(outputs, cases, foreign=["simclr_tf"])


def _in_operations(config):
    """Build the network of a config; in place of our layers, their operations."""
    own = {f"simclr_tf>{kind.__name__}": kind for kind in Own.__subclasses__()}
    model = keras.Model.from_config(config, custom_objects=own)
    if any(isinstance(layer, Own) for layer in model.layers):
        model = keras.models.clone_model(model, call_function=_call)
    return model


def _call(layer, *args, **kwargs):
    return (layer.operations if isinstance(layer, Own) else layer)(*args, **kwargs)


if __name__ == "__main__":
    main(*sys.argv[1:])
