"""Residual networks of any width, with selective kernels or squeeze-excitation.

The network of the SimCLR papers, down to its constants: stride in the 3x3
convolution (v1.5), a projection shortcut in the first block of *every* group,
padding that does not depend on the image size, kernels drawn with variance
1 / fan_in, and a zero gamma at the end of each residual branch, so that a new block
returns its shortcut.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Literal, get_args

from simclr_tf.array_types import Model
from simclr_tf.config.schema import option, require_fraction
from simclr_tf.errors import require, unknown_choice
from simclr_tf.lazy import keras
from simclr_tf.models.conv_norm import ConvNorm, fixed_padding
from simclr_tf.models.family import EncoderOptions, Family
from simclr_tf.models.selective_kernel import selective_kernel
from simclr_tf.models.squeeze_excitation import squeeze_excitation

# depth: (kind of block, blocks in each of the four groups)
DEPTHS = {
    10: ("basic", (1, 1, 1, 1)),  # Not in the papers: half of ResNet-18's blocks.
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
    200: ("bottleneck", (3, 24, 36, 3)),
}
_WIDEST = 1024  # Times the layers of the paper, whose widest are 4 times.
Stem = Literal["imagenet", "cifar", "small"]
STEMS = get_args(Stem)
GROUP_CHANNELS = (64, 128, 256, 512)
ENDPOINTS = (
    "initial_conv",
    "initial_max_pool",
    "block_group1",
    "block_group2",
    "block_group3",
    "block_group4",
    "final_avg_pool",
)


@dataclass(frozen=True)
class ResNetOptions(EncoderOptions):
    """The ResNets of SimCLR and SimCLRv2; the depth is in the name."""

    name: str = option("resnet50", "Name of the encoder.")
    width_multiplier: float = option(1.0, "Factor of the width of every layer.")
    sk_ratio: float = option(
        0.0, "Selective kernels' reduction; 0 switches them off (paper: 0.0625)."
    )
    se_ratio: float = option(0.0, "Squeeze-and-excitation's reduction; 0: off.")
    stem: Stem = option(
        "imagenet", "imagenet: 7x7/2 and max pool; cifar: 3x3/1; small: 3x3/2."
    )

    def check(self):
        super().check()
        require(
            0 < self.width_multiplier <= _WIDEST,
            f"`width_multiplier` must be > 0 and at most {_WIDEST:,}.",
            width_multiplier=self.width_multiplier,
        )
        require_fraction("sk_ratio", self.sk_ratio)
        require_fraction("se_ratio", self.se_ratio)

    @property
    def depth(self):
        """int, layers of the network."""
        return int(self.name.removeprefix("resnet"))


class ResNet(Family):
    """The ResNets, by depth: `resnet10` to `resnet200`."""

    Options = ResNetOptions
    endpoint_names = "|".join(ENDPOINTS)
    # The first is part of the stem; after the second comes only the pool.
    inner_endpoints = ("initial_conv", "block_group4")

    def build(self, options, *, image_shape, synchronized=False, seed=None):
        """Build the untrained network, for images of any size."""
        return resnet(
            options.depth,
            width_multiplier=options.width_multiplier,
            sk_ratio=options.sk_ratio,
            se_ratio=options.se_ratio,
            stem=options.stem,
            channels=image_shape[-1],
            synchronized=synchronized,
            batch_norm_momentum=options.batch_norm_momentum,
            batch_norm_epsilon=options.batch_norm_epsilon,
            seed=seed,
        )

    def describe(self, options, image_size_pixels=None):
        """Describe depth, width and the options that differ from the defaults.

        Example:
          >>> ResNet().describe(ResNetOptions(width_multiplier=2, sk_ratio=0.0625))
          'ResNet-50 (2x, sk 0.0625)'
        """
        parts = [f"{options.width_multiplier:g}x"]
        if options.stem != "imagenet":
            parts.append(f"stem {options.stem}")
        for name, ratio in (("sk", options.sk_ratio), ("se", options.se_ratio)):
            parts += [f"{name} {ratio:g}"] if ratio else []
        return f"ResNet-{options.depth} ({', '.join(parts)})"

    def num_features(self, options, image_shape):
        """Return F: 512, or 2048 with bottleneck blocks, times the width."""
        filters = scaled_channels(GROUP_CHANNELS[-1], options.width_multiplier)
        return filters * (1 if DEPTHS[options.depth][0] == "basic" else 4)


def resnet(
    depth: int,
    width_multiplier: float = 1,
    sk_ratio: float = 0.0,
    se_ratio: float = 0.0,
    stem: str = "imagenet",
    channels: int = 3,
    synchronized: bool = False,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    seed: int | None = None,
    name: str | None = None,
) -> Model:
    """Build a residual network that maps images of any size to features.

    A functional model of built-in Keras layers only, so that it loads without this
    package. The layers `initial_conv`, `initial_max_pool`, `block_group1` to
    `block_group4` and `final_avg_pool` are its endpoints.

    Stems: "imagenet" (7x7 stride 2, max pool: 1/4 of the size; with selective
    kernels three 3x3 convolutions as in ResNet-D), "cifar" (3x3 stride 1, no pool),
    "small" (3x3 stride 2, no pool: four times cheaper, for 32 to 64 pixels).

    Args:
      depth: int, 10, 18, 34, 50, 101, 152 or 200.
      width_multiplier: float > 0; a layer of c channels gets the nearest whole
        number to c * width_multiplier, at least 1.
      sk_ratio: float in [0, 1]; above 0 switches on the changes of ResNet-D and, in
        bottleneck blocks, selective kernels (SimCLRv2: 0.0625).
      se_ratio: float in [0, 1]; above 0 switches on squeeze-and-excitation.
      stem: "imagenet", "cifar" or "small".
      channels: int >= 1, of the images.
      synchronized: bool, batch norm over all replicas (with one replica: Keras's).
      batch_norm_momentum: float in [0, 1), decay of the moving statistics.
      batch_norm_epsilon: float > 0, added to the variance.
      seed: int or None; equal seeds give equal initial values.
      name: str or None, of the model.

    Returns:
      keras.Model: float32 images `[N, H, W, channels]` in [0, 1] to float32
      features `[N, F]`; F is 512 (basic blocks) or 2048 times the width multiplier.

    Raises:
      ConfigError: an argument outside its range, an unknown depth or stem.

    Example:
      >>> encoder = resnet(18, width_multiplier=0.25, stem="cifar")
      >>> encoder.output_shape
      (None, 128)

    Source: He et al. (2016); Chen et al., SimCLR (2020) and SimCLRv2 (2020); He et
      al., Bag of Tricks (2019) for ResNet-D.
    """
    _check(depth, width_multiplier, sk_ratio, se_ratio, stem, channels)
    net = ConvNorm(
        seed=seed,
        synchronized=synchronized,
        momentum=batch_norm_momentum,
        epsilon=batch_norm_epsilon,
    )
    kind, blocks_per_group = DEPTHS[depth]
    block = basic_block if kind == "basic" else bottleneck_block

    images = keras.Input((None, None, channels), name="images")
    x = _stem(net, images, stem, width_multiplier, resnet_d=sk_ratio > 0)
    for group, (base, num_blocks) in enumerate(
        zip(GROUP_CHANNELS, blocks_per_group, strict=True), start=1
    ):
        filters = scaled_channels(base, width_multiplier)
        for index in range(1, num_blocks + 1):
            x = block(
                net,
                x,
                filters,
                strides=2 if group > 1 and index == 1 else 1,
                projection=index == 1,
                sk_ratio=sk_ratio,
                se_ratio=se_ratio,
                name=f"block_group{group}_block{index}",
            )
        x = keras.layers.Activation("linear", name=f"block_group{group}")(x)
    # float32 under every policy, because hundreds of numbers are added.
    features = keras.layers.GlobalAveragePooling2D(
        dtype="float32", name="final_avg_pool"
    )(x)
    return keras.Model(images, features, name=name or f"resnet{depth}")


def scaled_channels(base, width_multiplier):
    """Return the whole number nearest to base * width_multiplier, at least 1.

    Example:
      >>> [scaled_channels(base, 0.25) for base in GROUP_CHANNELS]
      [16, 32, 64, 128]
    """
    return max(1, math.floor(base * width_multiplier + 0.5))


def _stem(net, x, stem, width_multiplier, *, resnet_d):
    """Compute the input of the first group, with two endpoints."""
    filters = scaled_channels(64, width_multiplier)
    if stem == "cifar":
        x = net.conv(x, filters, 3, 1, name="initial_conv")
    elif stem == "small":
        x = net.conv(x, filters, 3, 2, name="initial_conv")
    elif resnet_d:
        half = scaled_channels(32, width_multiplier)
        for index, strides in ((1, 2), (2, 1)):
            x = net.conv(x, half, 3, strides, name=f"stem_conv{index}")
            x = net.norm(x, name=f"stem_bn{index}")
            x = net.relu(x, name=f"stem_relu{index}")
        x = net.conv(x, filters, 3, 1, name="initial_conv")
    else:
        x = net.conv(x, filters, 7, 2, name="initial_conv")
    x = net.norm(x, name="initial_bn")
    x = net.relu(x, name="initial_relu")
    if stem == "imagenet":
        return keras.layers.MaxPooling2D(3, 2, "same", name="initial_max_pool")(x)
    return keras.layers.Activation("linear", name="initial_max_pool")(x)


def basic_block(net, x, filters, *, strides, projection, sk_ratio, se_ratio, name):
    """Compute relu(shortcut + bn(conv3x3(relu(bn(conv3x3(x)))))) (ResNet-10, 18, 34).

    Args:
      net: `ConvNorm` of the network.
      x: symbolic tensor `[N, H, W, C]`.
      filters: int, channels of both convolutions.
      strides: int, of the first convolution.
      projection: bool, a convolution in the shortcut instead of the identity.
      sk_ratio: float; above 0 the shortcut is ResNet-D's.
      se_ratio: float; above 0 the branch ends in squeeze-and-excitation.
      name: str, the beginning of the layers' names.

    Returns:
      Symbolic tensor `[N, H / strides, W / strides, filters]`.
    """
    shortcut = x
    if projection:
        shortcut = _shortcut(net, x, filters, strides, sk_ratio > 0, name=name)
    x = net.conv(x, filters, 3, strides, name=f"{name}_conv1")
    x = net.norm(x, name=f"{name}_bn1")
    x = net.relu(x, name=f"{name}_relu1")
    x = net.conv(x, filters, 3, 1, name=f"{name}_conv2")
    x = net.norm(x, name=f"{name}_bn2", zero_gamma=True)
    return _join(net, x, shortcut, filters, se_ratio, name=name)


def bottleneck_block(net, x, filters, *, strides, projection, sk_ratio, se_ratio, name):
    """Apply 1x1, 3x3 with the stride, and 1x1 to 4 F (ResNet-50 and deeper).

    Args: as in `basic_block`; with `sk_ratio` above 0 the 3x3 convolution becomes
      a selective kernel.

    Returns:
      Symbolic tensor `[N, H / strides, W / strides, 4 * filters]`.
    """
    shortcut = x
    if projection:
        shortcut = _shortcut(net, x, 4 * filters, strides, sk_ratio > 0, name=name)
    x = net.conv(x, filters, 1, 1, name=f"{name}_conv1")
    x = net.norm(x, name=f"{name}_bn1")
    x = net.relu(x, name=f"{name}_relu1")
    if sk_ratio > 0:
        x = selective_kernel(net, x, filters, strides, sk_ratio, name=f"{name}_conv2")
    else:
        x = net.conv(x, filters, 3, strides, name=f"{name}_conv2")
        x = net.norm(x, name=f"{name}_bn2")
        x = net.relu(x, name=f"{name}_relu2")
    x = net.conv(x, 4 * filters, 1, 1, name=f"{name}_conv3")
    x = net.norm(x, name=f"{name}_bn3", zero_gamma=True)
    return _join(net, x, shortcut, filters, se_ratio, name=name)


def _shortcut(net, x, filters, strides, resnet_d, *, name):
    """Apply 1x1 convolution and batch norm; ResNet-D strides in a mean pool."""
    if resnet_d:
        padding = "same"
        if strides > 1:
            x = fixed_padding(x, 2, name=f"{name}_shortcut_pad")
            padding = "valid"
        x = keras.layers.AveragePooling2D(
            2, strides, padding, name=f"{name}_shortcut_pool"
        )(x)
        strides = 1
    x = net.conv(x, filters, 1, strides, name=f"{name}_shortcut_conv")
    return net.norm(x, name=f"{name}_shortcut_bn")


def _join(net, x, shortcut, filters, se_ratio, *, name):
    """Compute relu(branch + shortcut), optionally with a gated branch."""
    if se_ratio > 0:
        x = squeeze_excitation(net, x, filters, se_ratio, name=f"{name}_se")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return net.relu(x, name=f"{name}_out")


def _check(depth, width_multiplier, sk_ratio, se_ratio, stem, channels):
    if depth not in tuple(DEPTHS):
        raise unknown_choice("depth", depth, DEPTHS)
    if stem not in STEMS:
        raise unknown_choice("stem", stem, STEMS)
    require(
        _is_number(width_multiplier) and 0 < width_multiplier < math.inf,
        "`width_multiplier` must be a finite number > 0.",
        width_multiplier=width_multiplier,
    )
    for name, ratio in (("sk_ratio", sk_ratio), ("se_ratio", se_ratio)):
        require(
            _is_number(ratio) and 0 <= ratio <= 1,
            f"`{name}` must be in [0, 1]; 0 switches it off.",
            **{name: ratio},
        )
    require(
        isinstance(channels, numbers.Integral) and channels >= 1,
        "`channels` must be a whole number >= 1.",
        channels=channels,
    )


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
