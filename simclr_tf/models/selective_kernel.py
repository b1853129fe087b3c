"""Selective kernels: two streams of a convolution, mixed by weights from the input."""

from simclr_tf.lazy import keras

MIN_SELECTIVE_FEATURES = 32


def selective_kernel(net, x, filters, strides, sk_ratio, *, name):
    """Mix two streams of a 3x3 convolution by a softmax over the streams.

    s = relu(bn(conv3x3(x))) has 2 F channels: stream 0, then stream 1.
    m = softmax over streams of W2 relu(bn(W1 mean_hw(s_0 + s_1)));
    the output is m_0 s_0 + m_1 s_1.

    Args:
      net: `ConvNorm` of the network.
      x: symbolic tensor `[N, H, W, C]`.
      filters: int, F.
      strides: int, of the 3x3 convolution.
      sk_ratio: float in (0, 1]; W1 has max(int(F sk_ratio), 32) outputs.
      name: str, the 3x3 convolution's name; the mixing layers append to it.

    Returns:
      Symbolic tensor `[N, H', W', F]`.

    Source: Li et al., Selective Kernel Networks (2019), in the simplified form of
      Chen et al., Big Self-Supervised Models (2020).
    """
    layers = keras.layers
    prefix = f"{name}_sk"
    x = net.conv(x, 2 * filters, 3, strides, name=name)
    x = net.norm(x, name=f"{prefix}_bn1")
    streams = net.relu(x, name=f"{prefix}_relu1")
    # The mean is linear, so pooling before the sum needs far fewer operations.
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}_pool")(
        streams
    )
    pooled = _sum_streams(pooled, filters, name=f"{prefix}_pool")
    features = max(int(filters * sk_ratio), MIN_SELECTIVE_FEATURES)
    mixing = net.conv(pooled, features, 1, 1, name=f"{prefix}_reduce")
    mixing = net.norm(mixing, name=f"{prefix}_bn2")
    mixing = net.relu(mixing, name=f"{prefix}_relu2")
    mixing = net.conv(mixing, 2 * filters, 1, 1, name=f"{prefix}_expand")
    mixing = layers.Reshape((2, filters), name=f"{prefix}_logits")(mixing)
    mixing = layers.Softmax(axis=1, name=f"{prefix}_softmax")(mixing)
    mixing = layers.Reshape((1, 1, 2 * filters), name=f"{prefix}_mixing")(mixing)
    weighted = layers.Multiply(name=f"{prefix}_weighted")([streams, mixing])
    return _sum_streams(weighted, filters, name=f"{prefix}_out")


def _sum_streams(x, filters, *, name):
    """Sum `[N, H, W, 2 F]` to `[N, H, W, F]`: the first F channels plus the others."""
    return keras.layers.Add(name=f"{name}_sum")(
        [
            _crop_channels(x, 0, filters, name=f"{name}_stream1"),
            _crop_channels(x, filters, 0, name=f"{name}_stream2"),
        ]
    )


def _crop_channels(x, before, after, *, name):
    """Drop the first `before` and the last `after` channels.

    Keras has no layer that splits channels, and slices and Lambda layers cannot be
    loaded by other programs. `Cropping2D` in the format [N, C, H, W] takes the last
    axis of [N, H, W, C] for the width and crops it without moving data.
    """
    return keras.layers.Cropping2D(
        ((0, 0), (before, after)), data_format="channels_first", name=name
    )(x)
