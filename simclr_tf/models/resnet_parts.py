"""The parts of residual networks: scaling of the input, stem, and blocks."""

import math

from simclr_tf.errors import require, unknown_choice
from simclr_tf.lazy import keras
from simclr_tf.models.conv_norm import fixed_padding
from simclr_tf.models.selective_kernel import selective_kernel
from simclr_tf.models.squeeze_excitation import squeeze_excitation

GROUP_CHANNELS = (64, 128, 256, 512)
# Mean and standard deviation of ImageNet's pixels in [0, 1], for red, green and blue.
NORMALIZATIONS = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


def scaled_channels(base, width_multiplier):
    """Return the whole number nearest to base * width_multiplier, at least 1.

    Example:
      >>> [scaled_channels(base, 0.25) for base in GROUP_CHANNELS]
      [16, 32, 64, 128]
    """
    return max(1, math.floor(base * width_multiplier + 0.5))


def normalized(images, normalization, channels):
    """Subtract the mean and divide by the deviation, in float32 under every policy."""
    if normalization == "none":
        return images
    if normalization not in NORMALIZATIONS:
        raise unknown_choice(
            "input_normalization", normalization, ("none", *NORMALIZATIONS)
        )
    mean, deviation = NORMALIZATIONS[normalization]
    require(
        channels == len(mean),
        f"`input_normalization={normalization}` is for colour images with "
        f"{len(mean)} channels.",
        channels=channels,
    )
    return keras.layers.Rescaling(
        scale=[1 / d for d in deviation],
        offset=[-m / d for m, d in zip(mean, deviation, strict=True)],
        dtype="float32",
        name="normalized_images",
    )(images)


def stem_of(net, x, stem, width_multiplier, *, resnet_d, symmetric_max_pool):
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
        padding = "same"
        if symmetric_max_pool:  # After a ReLU no zero is larger than its neighbours.
            padding, x = "valid", fixed_padding(x, 3, name="initial_max_pool_pad")
        return keras.layers.MaxPooling2D(3, 2, padding, name="initial_max_pool")(x)
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


def bottleneck_block(
    net, x, filters, *, strides, projection, sk_ratio, se_ratio, name, width=1.0
):
    """Apply 1x1, 3x3 with the stride, and 1x1 to 4 F (ResNet-50 and deeper).

    Args: as in `basic_block`; with `sk_ratio` above 0 the 3x3 convolution becomes
      a selective kernel. `width` is a factor of the channels of the first two.

    Returns:
      Symbolic tensor `[N, H / strides, W / strides, 4 * filters]`.
    """
    shortcut = x
    if projection:
        shortcut = _shortcut(net, x, 4 * filters, strides, sk_ratio > 0, name=name)
    inner = scaled_channels(filters, width)
    x = net.conv(x, inner, 1, 1, name=f"{name}_conv1")
    x = net.norm(x, name=f"{name}_bn1")
    x = net.relu(x, name=f"{name}_relu1")
    if sk_ratio > 0:
        x = selective_kernel(net, x, inner, strides, sk_ratio, name=f"{name}_conv2")
    else:
        x = net.conv(x, inner, 3, strides, name=f"{name}_conv2")
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
