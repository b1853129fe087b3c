"""Small Vision Transformers: patches to tokens, attention, one vector.

The network of Dosovitskiy et al. in the sizes of DeiT, with MoCo v3's fixed position
embedding, which has no weights and therefore fits every image size.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Literal

from simclr_tf.array_types import Model
from simclr_tf.config.image_size import ImageSize, as_size
from simclr_tf.config.schema import option, require_positive
from simclr_tf.errors import require, unknown_choice
from simclr_tf.lazy import keras, module
from simclr_tf.models.family import EncoderOptions, Family

initializers = module("simclr_tf.models.initializers")
tokens = module("simclr_tf.models.tokens")

# name: (width, blocks, heads)
SIZES = {"vit_tiny": (192, 12, 3), "vit_small": (384, 12, 6)}
POOLINGS = ("class_token", "mean")
MLP_RATIO = 4
EPSILON = 1e-6
# Tokens are summed over all blocks, and the differences between images are small: so
# tokens are float32 under every policy, and only matrix products are not.
STREAM = "float32"


@dataclass(frozen=True)
class VisionTransformerOptions(EncoderOptions):
    """Vision Transformers; width, blocks and heads are in the name."""

    name: str = option("vit_tiny", "Name of the encoder.")
    patch_size: int | None = option(
        None,
        "Side of a patch in pixels; it must divide the image size. If unset, the "
        "largest of 4, 8 and 16 with at least 8 x 8 patches: 4 for 32 px, 8 for 64, "
        "16 for 224.",
    )
    pooling: Literal["class_token", "mean"] = option(
        "class_token",
        "The features: the output of a learned class token, or the mean of the "
        "patches' tokens.",
    )
    batch_norm_momentum: float = option(
        0.9, "Decay of the moving statistics of the projection head."
    )

    def check(self):
        super().check()
        require_positive(patch_size=self.patch_size)


class VisionTransformer(Family):
    """The Vision Transformers of `SIZES`."""

    Options = VisionTransformerOptions
    endpoint_names = r"embedding|block\d+|features"

    def build(self, options, *, image_shape, synchronized=False, seed=None):
        """Build the untrained network, which has no batch norm."""
        height, width, channels = image_shape
        size, blocks, heads = SIZES[options.name]
        return vision_transformer(
            size,
            blocks,
            heads,
            patch_size=options.patch_size or default_patch_size((height, width)),
            image_size_pixels=(height, width),
            pooling=options.pooling,
            channels=channels,
            seed=seed,
            name=options.name,
        )

    def describe(self, options, image_size_pixels=None):
        """Describe size and patch.

        Example:
          >>> VisionTransformer().describe(VisionTransformerOptions(), 32)
          'ViT-Tiny/4'
        """
        text = f"ViT-{options.name.removeprefix('vit_').title()}"
        patch = options.patch_size
        if patch is None and image_size_pixels is not None:
            patch = default_patch_size(image_size_pixels)
        text += "" if patch is None else f"/{patch}"
        return (
            text if options.pooling == "class_token" else f"{text} ({options.pooling})"
        )

    def num_features(self, options, image_shape):
        """Return F, the width of the tokens."""
        return SIZES[options.name][0]


def default_patch_size(image_size_pixels):
    """Return the largest of 4, 8 and 16 that leaves 8 x 8 patches, or 4.

    Of the sizes that divide a height and a width that differ, if one does.

    Example:
      >>> [default_patch_size(size) for size in (16, 32, 64, 96, 128, 224)]
      [4, 4, 8, 8, 16, 16]
      >>> default_patch_size((64, 96)), default_patch_size((128, 168))
      (8, 8)
    """
    height, width = as_size(image_size_pixels)
    sizes = [size for size in (16, 8, 4) if min(height, width) >= 8 * size]
    if height != width:
        sizes = [s for s in sizes if height % s == 0 and width % s == 0]
    return sizes[0] if sizes else 4


def vision_transformer(
    width: int,
    num_blocks: int,
    num_heads: int,
    *,
    patch_size: int,
    image_size_pixels: ImageSize,
    pooling: str = "class_token",
    channels: int = 3,
    seed: int | None = None,
    name: str | None = None,
) -> Model:
    """Build a transformer that maps images to features.

    Patches become tokens, to which position embeddings are added; each block adds
    attention and a two-layer perceptron to its input, x + A(norm(x)) and x +
    M(norm(x)); the features are one token, or the mean of all, after a last norm. Keys
    have no bias, because it would have no effect. The layers
    `embedding`, `block1`, `block2`, ... and `features` are its endpoints.

    Args:
      width: int D, numbers a token; a multiple of 4 and of `num_heads`.
      num_blocks: int >= 1.
      num_heads: int >= 1, of each attention.
      patch_size: int >= 1, pixels.
      image_size_pixels: int or (H, W), the size for training; the position embedding is
        scaled to other sizes.
      pooling: "class_token" or "mean".
      channels: int >= 1, of the images.
      seed: int or None; equal seeds give equal initial values.
      name: str or None, of the model.

    Returns:
      keras.Model: float32 images `[N, H, W, channels]` in [0, 1], H and W multiples
      of `patch_size`, to float32 features `[N, width]`.

    Raises:
      ConfigError: an argument outside its range, or a patch that does not divide the
        image.

    Example:
      >>> encoder = vision_transformer(
      ...     32, 2, 4, patch_size=4, image_size_pixels=16)
      >>> encoder.output_shape
      (None, 32)

    Source: Dosovitskiy et al. (2021), equations 1 to 4; Touvron et al., DeiT (2021),
      Table 1, for the sizes; Chen, Xie and He, MoCo v3 (2021), for the position
      embedding and the initial values.
    """
    grid = _checked_grid(image_size_pixels, patch_size)
    _check(width, num_blocks, num_heads, pooling, channels)
    net = _Layers(width, seed)
    images = keras.Input((None, None, channels), name="images")
    x = net.patches(images, patch_size, name="patches")
    x = tokens.PositionEmbedding(grid, dtype=STREAM, name="positions")(x)
    x = keras.layers.Reshape((-1, width), dtype=STREAM, name="tokens")(x)
    if pooling == "class_token":
        x = net.class_token(x, name="class_token")
    x = keras.layers.Activation("linear", dtype=STREAM, name="embedding")(x)
    for number in range(1, num_blocks + 1):
        x = _block(net, x, num_heads, name=f"block{number}")
    x = net.norm(x, name="last_norm")
    if pooling == "class_token":
        x = tokens.FirstToken(dtype=STREAM, name="features")(x)
    else:
        x = keras.layers.GlobalAveragePooling1D(dtype=STREAM, name="features")(x)
    return keras.Model(images, x, name=name or f"vit_{width}_{num_blocks}")


class _Layers:
    """Add layers of one width, each with its own seed, to a graph."""

    def __init__(self, width, seed):
        self._width, self._seed, self._number = width, seed, 0

    def _next_seed(self):
        seed = initializers.kernel_seed(
            self._seed, self._number, initializers.ENCODER_STREAM
        )
        self._number += 1
        return seed

    def patches(self, x, patch_size, *, name):
        """Embed patches; the kernel's variance is 1 / fan_in."""
        kernel = keras.initializers.VarianceScaling(seed=self._next_seed())
        return tokens.PatchEmbedding(
            self._width,
            patch_size,
            strides=patch_size,
            kernel_initializer=kernel,
            name=name,
        )(x)

    def class_token(self, x, *, name):
        """Put a learned token in front, with DeiT's initial values."""
        initializer = keras.initializers.TruncatedNormal(
            stddev=0.02, seed=self._next_seed()
        )
        return tokens.ClassToken(initializer, dtype=STREAM, name=name)(x)

    def dense(self, x, units, *, name, activation=None, use_bias=True):
        """Apply W x + b, with W uniform and of variance 2 / (fan_in + fan_out)."""
        return keras.layers.Dense(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=keras.initializers.GlorotUniform(self._next_seed()),
            name=name,
        )(x)

    def norm(self, x, *, name):
        """Normalize each token."""
        return keras.layers.LayerNormalization(
            epsilon=EPSILON, dtype=STREAM, name=name
        )(x)


def _block(net, x, num_heads, *, name):
    """Apply x + A(norm(x)), then x + M(norm(x))."""
    width = x.shape[-1]
    y = net.norm(x, name=f"{name}_norm1")
    # A bias of the keys adds the same number to all logits of a query, which has no
    # effect on the softmax: its gradient would be only rounding errors.
    parts = [
        net.dense(y, width, name=f"{name}_{part}", use_bias=part != "key")
        for part in ("query", "key", "value")
    ]
    y = tokens.Attention(num_heads, name=f"{name}_attention")(parts)
    y = net.dense(y, width, name=f"{name}_projection")
    x = keras.layers.Add(dtype=STREAM, name=f"{name}_add")([x, y])
    y = net.norm(x, name=f"{name}_norm2")
    y = net.dense(y, MLP_RATIO * width, name=f"{name}_mlp1", activation="gelu")
    y = net.dense(y, width, name=f"{name}_mlp2")
    return keras.layers.Add(dtype=STREAM, name=name)([x, y])


def _checked_grid(image_size_pixels, patch_size):
    """Return (rows, columns) of patches."""
    sides = as_size(image_size_pixels)
    _require_positive_integers(patch_size=patch_size)
    require(
        all(side % patch_size == 0 for side in sides),
        "The image size must be a multiple of the patch. Use another "
        "--image_size_pixels, or another --encoder.patch_size.",
        image_size_pixels=sides,
        patch_size=patch_size,
    )
    return tuple(side // patch_size for side in sides)


def _check(width, num_blocks, num_heads, pooling, channels):
    _require_positive_integers(
        width=width, num_blocks=num_blocks, num_heads=num_heads, channels=channels
    )
    require(
        width % 4 == 0 and width % num_heads == 0,
        "`width` must be a multiple of 4 (two coordinates, sine and cosine) and of "
        "`num_heads`.",
        width=width,
        num_heads=num_heads,
    )
    if pooling not in POOLINGS:
        raise unknown_choice("pooling", pooling, POOLINGS)


def _require_positive_integers(**values):
    for name, value in values.items():
        require(
            isinstance(value, numbers.Integral) and value >= 1,
            f"`{name}` must be a whole number >= 1.",
            **{name: value},
        )
