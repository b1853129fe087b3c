"""Squeeze-and-excitation: channels scaled by weights from the whole image."""

from simclr_tf.lazy import keras


def squeeze_excitation(net, x, filters, se_ratio, *, name):
    """Scale every channel by a gate in (0, 1) computed from the whole image.

    gate = sigmoid(W2 relu(W1 mean_hw(x) + b1) + b2); the output is gate * x.

    Args:
      net: `ConvNorm` of the network.
      x: symbolic tensor `[N, H, W, C]`.
      filters: int, F of the block (not its expanded width C).
      se_ratio: float in (0, 1]; W1 has max(int(F se_ratio), 1) outputs.
      name: str, the beginning of the layers' names.

    Returns:
      Symbolic tensor of the shape of `x`.

    Source: Hu et al., Squeeze-and-Excitation Networks (2018).
    """
    layers = keras.layers
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    reduced = max(int(filters * se_ratio), 1)
    gate = net.conv(gate, reduced, 1, 1, name=f"{name}_reduce", use_bias=True)
    gate = net.relu(gate, name=f"{name}_relu")
    gate = net.conv(gate, channels, 1, 1, name=f"{name}_expand", use_bias=True)
    gate = layers.Activation("sigmoid", name=f"{name}_gate")(gate)
    return layers.Multiply(name=f"{name}_out")([x, gate])
