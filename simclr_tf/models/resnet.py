"""Residual networks of any width, with selective kernels or squeeze-excitation.

The network of the SimCLR papers, down to its constants: stride in the 3x3
convolution (v1.5), a projection shortcut in the first block of *every* group,
padding that does not depend on the image size, kernels drawn with variance
1 / fan_in, and a zero gamma at the end of each residual branch, so that a new block
returns its shortcut. Four options, off by default, make it the network of torchvision
and of the weights that are published for PyTorch.
"""

from __future__ import annotations

import functools
import math
import numbers
from dataclasses import dataclass
from typing import Literal, get_args

from simclr_tf.array_types import Model
from simclr_tf.config.schema import option, require_fraction
from simclr_tf.errors import require, unknown_choice
from simclr_tf.lazy import keras
from simclr_tf.models.conv_norm import ConvNorm
from simclr_tf.models.family import EncoderOptions, Family
from simclr_tf.models.resnet_parts import (
    GROUP_CHANNELS,
    basic_block,
    bottleneck_block,
    normalized,
    scaled_channels,
    stem_of,
)

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
Normalization = Literal["none", "imagenet"]
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
    input_normalization: Normalization = option(
        "none",
        "imagenet: the network subtracts ImageNet's mean from images in [0, 1] and "
        "divides by its standard deviation, as published PyTorch weights expect.",
    )
    symmetric_max_pool: bool = option(
        False, "Pad the max pool of the stem at both ends, as torchvision does."
    )
    identity_shortcuts: bool = option(
        False,
        "No convolution in the first shortcut of ResNet-10, 18 and 34, whose size and "
        "width stay, as in torchvision.",
    )
    bottleneck_width: float = option(
        1.0,
        "Factor of the width inside bottleneck blocks (torchvision's wide ResNets: 2).",
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
        check_torchvision_options(
            self.depth,
            self.stem,
            symmetric_max_pool=self.symmetric_max_pool,
            identity_shortcuts=self.identity_shortcuts,
            bottleneck_width=self.bottleneck_width,
        )

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
            input_normalization=options.input_normalization,
            symmetric_max_pool=options.symmetric_max_pool,
            identity_shortcuts=options.identity_shortcuts,
            bottleneck_width=options.bottleneck_width,
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
        parts += torchvision_words(options)
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
    input_normalization: str = "none",
    symmetric_max_pool: bool = False,
    identity_shortcuts: bool = False,
    bottleneck_width: float = 1.0,
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
      input_normalization: "none", or "imagenet": the first layer subtracts the mean and
        divides by the standard deviation of ImageNet's pixels; needs 3 channels.
      symmetric_max_pool: bool, pad the max pool of the stem "imagenet" by one pixel at
        both ends; else as Keras's "same" does, for an even size at the end only.
      identity_shortcuts: bool, the identity in the first block of depths 10, 18 and
        34, whose input has the size and width of its output.
      bottleneck_width: float > 0, factor of the width of the first two convolutions of
        bottleneck blocks.

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
    check_torchvision_options(
        depth,
        stem,
        symmetric_max_pool=symmetric_max_pool,
        identity_shortcuts=identity_shortcuts,
        bottleneck_width=bottleneck_width,
    )
    net = ConvNorm(
        seed=seed,
        synchronized=synchronized,
        momentum=batch_norm_momentum,
        epsilon=batch_norm_epsilon,
    )
    kind, blocks_per_group = DEPTHS[depth]
    block = basic_block
    if kind == "bottleneck":
        block = functools.partial(bottleneck_block, width=bottleneck_width)

    images = keras.Input((None, None, channels), name="images")
    x = normalized(images, input_normalization, channels)
    x = stem_of(
        net,
        x,
        stem,
        width_multiplier,
        resnet_d=sk_ratio > 0,
        symmetric_max_pool=symmetric_max_pool,
    )
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
                projection=index == 1 and not (identity_shortcuts and group == 1),
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


def check_torchvision_options(
    depth, stem, *, symmetric_max_pool, identity_shortcuts, bottleneck_width
):
    """Refuse options of torchvision's networks that would change nothing here.

    Raises:
      ConfigError: no max pool to pad, or blocks of the other kind.
    """
    require(
        not symmetric_max_pool or stem == "imagenet",
        "`symmetric_max_pool` needs the stem `imagenet`: the others have no max pool.",
        stem=stem,
    )
    is_basic = DEPTHS.get(depth, ("unknown",))[0] == "basic"
    require(
        not identity_shortcuts or is_basic,
        "`identity_shortcuts` is for ResNet-10, 18 and 34: the first shortcut of "
        "deeper networks changes the width.",
        depth=depth,
    )
    require(
        _is_number(bottleneck_width) and 0 < bottleneck_width <= _WIDEST,
        f"`bottleneck_width` must be > 0 and at most {_WIDEST:,}.",
        bottleneck_width=bottleneck_width,
    )
    require(
        bottleneck_width == 1 or not is_basic,
        "`bottleneck_width` is for ResNet-50 and deeper: this network has no "
        "bottleneck blocks; use `width_multiplier`.",
        depth=depth,
    )


def torchvision_words(options):
    """List the words for those options of torchvision's networks that are on."""
    words = []
    if options.bottleneck_width != 1:
        words.append(f"bottleneck width {options.bottleneck_width:g}x")
    if options.symmetric_max_pool:
        words.append("symmetric max pool")
    if options.identity_shortcuts:
        words.append("identity shortcuts")
    if options.input_normalization != "none":
        words.append(f"{options.input_normalization} normalization")
    return words


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
