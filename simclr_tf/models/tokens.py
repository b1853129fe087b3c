"""Layers of a Vision Transformer that Keras does not have.

All weights except the class token are in Keras's own layers, so that names, seeds and
exports work as for a ResNet. `simclr_tf.export.keras3` has the same layers in
operations of Keras 3.
"""

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.errors import ConfigError, received_text

_serializable = keras.utils.register_keras_serializable(package="simclr_tf")


@_serializable
class PatchEmbedding(keras.layers.Conv2D):
    """A convolution over patches that do not overlap: one token a patch.

    Args:
      **kwargs: of `keras.layers.Conv2D`, with `strides` equal to `kernel_size`.

    Raises:
      ConfigError: called on images whose sides the patch does not divide. Where a graph
        does not know the sides, `tf.errors.InvalidArgumentError` when it runs.

    Example:
      >>> PatchEmbedding(8, 4, strides=4)(tf.zeros([2, 12, 16, 3])).shape.as_list()
      [2, 3, 4, 8]
    """

    @property
    def size_multiple(self):
        """int, pixels: the sides of an image must be multiples of it."""
        return self.kernel_size[0]

    def call(self, inputs):
        """Embed images `[N, H, W, C]` as `[N, H / patch, W / patch, D]`."""
        sides = inputs.shape[1:3]
        pairs = zip(sides, self.kernel_size, strict=True)
        if any(side is not None and side % patch for side, patch in pairs):
            error = ConfigError(
                "The sides of the images must be multiples of the patch. Use another "
                "image size, or another --encoder.patch_size. "
                + received_text(images=tuple(sides), patch=self.kernel_size)
            )
            error._keras_call_info_injected = True  # Keras would add ten lines.
            raise error
        if None in tuple(sides):
            patch = self.kernel_size[0]
            shape = tf.shape(inputs)
            check = tf.debugging.assert_equal(
                shape[1:3] % patch,
                [0, 0],
                f"The sides of the images must be multiples of {patch} pixels.",
            )
            # LiteRT's and ONNX's converters drop the check; the reshape that fits
            # whole patches only remains, and stops those runtimes.
            with tf.control_dependencies([check] if check is not None else []):
                whole = [shape[0], *tf.unstack(shape[1:3] // patch * patch)]
            inputs = tf.reshape(inputs, [*whole, inputs.shape[-1]])
        return super().call(inputs)


@_serializable
class PositionEmbedding(keras.layers.Layer):
    """Add fixed sines and cosines of a token's position in the image.

    With the position (x, y) of a token and w_k = 10000^(-4 k / D), k = 0 .. D/4 - 1,
    the D numbers added are sin(w_k x), cos(w_k x), sin(w_k y), cos(w_k y). Positions
    count tokens in images of the reference size. In images of other sizes they are
    scaled, so that the same point of an image gets the same numbers at every size.

    Args:
      grid: (rows, columns) of tokens of the reference size.

    Example:
      >>> layer = PositionEmbedding((1, 1))
      >>> layer(tf.zeros([1, 1, 1, 4])).numpy().ravel().tolist()
      [0.0, 1.0, 0.0, 1.0]

    Source: Chen, Xie and He, MoCo v3 (2021), whose embedding this is at the reference
      size.
    """

    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)

    def call(self, tokens):
        """Add the embedding to tokens `[N, rows, columns, D]`."""
        rows, columns = tf.shape(tokens)[1], tf.shape(tokens)[2]
        features = tokens.shape[-1]
        waves_y = _waves(rows, self.grid[0], features)[:, None, :]
        waves_x = _waves(columns, self.grid[1], features)[None, :, :]
        half = [rows, columns, features // 2]
        table = tf.concat(
            [tf.broadcast_to(waves_x, half), tf.broadcast_to(waves_y, half)], axis=-1
        )
        return tokens + tf.cast(table, tokens.dtype)

    def get_config(self):
        return {**super().get_config(), "grid": list(self.grid)}


def _waves(number, reference, features):
    """Return sines, then cosines, of the positions along one side: float32."""
    scale = reference / tf.cast(number, tf.float32)
    places = (tf.range(number, dtype=tf.float32) + 0.5) * scale - 0.5
    quarter = features // 4
    frequencies = 10000.0 ** (-tf.range(quarter, dtype=tf.float32) / quarter)
    angles = places[:, None] * frequencies
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)


@_serializable
class ClassToken(keras.layers.Layer):
    """Put one learned token in front of the others.

    Args:
      initializer: of the token.

    Example:
      >>> ClassToken("ones")(tf.zeros([1, 2, 3])).numpy()[0, :, 0].tolist()
      [1.0, 0.0, 0.0]
    """

    # Neither weight decay nor layer adaptation.
    variable_roles = {"embeddings": "bias"}

    def __init__(self, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            "embeddings", (1, input_shape[-1]), initializer=self.initializer
        )
        super().build(input_shape)

    def call(self, tokens):
        """Lengthen tokens `[N, T, D]` to `[N, 1 + T, D]`."""
        token = tf.cast(self.embeddings, tokens.dtype)[None]
        shape = [tf.shape(tokens)[0], 1, tokens.shape[-1]]
        return tf.concat([tf.broadcast_to(token, shape), tokens], axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.initializer),
        }


@_serializable
class FirstToken(keras.layers.Layer):
    """Take the first token: `[N, T, D]` to `[N, D]`.

    Example:
      >>> FirstToken()(tf.constant([[[1.0], [2.0]]])).numpy().tolist()
      [[1.0]]
    """

    def call(self, tokens):
        """Take the first of the tokens `[N, T, D]`."""
        return tokens[:, 0]


@_serializable
class Attention(keras.layers.Layer):
    """Softmax attention with several heads: softmax(Q K' / sqrt(d)) V in each.

    The layer has no weights: earlier layers make queries, keys and values. The softmax
    is computed in float32 under every policy.

    Args:
      num_heads: int, divides the width D; a head has d = D / num_heads numbers.

    Example:
      >>> tokens = tf.ones([1, 2, 4])
      >>> Attention(2)([tokens, tokens, 3 * tokens]).numpy().ravel().tolist()
      [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]

    Source: Vaswani et al., Attention Is All You Need (2017), equation 1.
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def call(self, inputs):
        """Map queries, keys and values, each `[N, T, D]`, to `[N, T, D]`."""
        queries, keys, values = (self._heads(tensor) for tensor in inputs)
        queries *= tf.cast(queries.shape[-1], queries.dtype) ** -0.5
        logits = tf.matmul(queries, keys, transpose_b=True)  # [N, heads, T, T]
        shares = tf.nn.softmax(tf.cast(logits, tf.float32))
        mixed = tf.matmul(tf.cast(shares, values.dtype), values)
        return tf.concat(tf.unstack(mixed, axis=1), axis=-1)

    def _heads(self, tensor):
        """Reshape `[N, T, D]` to `[N, heads, T, d]`."""
        return tf.stack(tf.split(tensor, self.num_heads, axis=-1), axis=1)

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
