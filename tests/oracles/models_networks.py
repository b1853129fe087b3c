"""Residual networks and projection heads in NumPy loops, straight from the papers.

Weights come as a dict of layer name to a list of float64 arrays in Keras's order
(kernel[, bias]; gamma, beta, mean, variance). Everything is in inference mode.
"""

import numpy as np

EPSILON = 1e-5


def padded(x, before, after):
    return np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))


def conv(x, weights, stride=1):
    """Correlation; (k-1)//2 zeros before, the rest of k-1 after, at any stride."""
    kernel = weights[0]
    size = kernel.shape[0]
    x = padded(x, (size - 1) // 2, size - 1 - (size - 1) // 2)
    num, height, width, _ = x.shape
    rows = (height - size) // stride + 1
    columns = (width - size) // stride + 1
    out = np.zeros((num, rows, columns, kernel.shape[3]))
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            window = x[:, top : top + size, left : left + size, :]
            for n in range(num):
                for channel in range(kernel.shape[3]):
                    out[n, row, column, channel] = np.sum(
                        window[n] * kernel[..., channel]
                    )
    return out + weights[1] if len(weights) == 2 else out


def norm(x, weights):
    gamma, beta, mean, variance = weights
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def relu(x):
    return np.maximum(x, 0.0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def max_pool_3x3_stride_2(x):
    """Windows start at even rows and are cut off at the far end ("same")."""
    num, height, width, channels = x.shape
    # "same": ceil(size / 2) windows; what they lack goes to the end first.
    starts = []
    for size in (height, width):
        windows = -(-size // 2)
        missing = max((windows - 1) * 2 + 3 - size, 0)
        starts.append([2 * w - missing // 2 for w in range(windows)])
    out = np.zeros((num, len(starts[0]), len(starts[1]), channels))
    for i, top in enumerate(starts[0]):
        for j, left in enumerate(starts[1]):
            window = x[:, max(top, 0) : top + 3, max(left, 0) : left + 3]
            out[:, i, j] = window.max(axis=(1, 2))
    return out


def mean_pool_2x2(x, stride):
    """Stride 1: windows cut off at the end. Stride 2: one zero at each end."""
    num, height, width, channels = x.shape
    if stride == 2:
        x = padded(x, 0, 1)
        rows, columns = (height - 1) // 2 + 1, (width - 1) // 2 + 1
    else:
        rows, columns = height, width
    out = np.zeros((num, rows, columns, channels))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + 2, j * stride : j * stride + 2]
            out[:, i, j] = window.mean(axis=(1, 2))
    return out


def selective_kernel(x, w, name, stride):
    both = relu(norm(conv(x, w[name], stride), w[f"{name}_sk_bn1"]))
    filters = both.shape[-1] // 2
    out = np.zeros(both.shape[:3] + (filters,))
    for n in range(len(both)):
        streams = both[n, :, :, :filters], both[n, :, :, filters:]
        seen = (streams[0] + streams[1]).mean(axis=(0, 1))
        hidden = seen @ w[f"{name}_sk_reduce"][0][0, 0]
        hidden = relu(norm(hidden, w[f"{name}_sk_bn2"]))
        logits = hidden @ w[f"{name}_sk_expand"][0][0, 0]
        for channel in range(filters):
            pair = np.exp([logits[channel], logits[filters + channel]])
            share = pair / pair.sum()
            out[n, :, :, channel] = (
                share[0] * streams[0][..., channel]
                + share[1] * streams[1][..., channel]
            )
    return out


def squeeze_excitation(x, w, name):
    out = np.zeros_like(x)
    for n in range(len(x)):
        kernel, bias = w[f"{name}_reduce"]
        hidden = relu(x[n].mean(axis=(0, 1)) @ kernel[0, 0] + bias)
        kernel, bias = w[f"{name}_expand"]
        out[n] = x[n] * sigmoid(hidden @ kernel[0, 0] + bias)
    return out


def block(x, w, name, *, bottleneck, stride, sk, se):
    shortcut = x
    if f"{name}_shortcut_conv" in w:
        if sk:
            shortcut = mean_pool_2x2(x, stride)
        shortcut = conv(shortcut, w[f"{name}_shortcut_conv"], 1 if sk else stride)
        shortcut = norm(shortcut, w[f"{name}_shortcut_bn"])
    # The stride is in the first 3x3 convolution of either kind.
    x = conv(x, w[f"{name}_conv1"], 1 if bottleneck else stride)
    x = relu(norm(x, w[f"{name}_bn1"]))
    if bottleneck and sk:
        x = selective_kernel(x, w, f"{name}_conv2", stride)
    elif bottleneck:
        x = relu(norm(conv(x, w[f"{name}_conv2"], stride), w[f"{name}_bn2"]))
    last = 3 if bottleneck else 2
    x = norm(conv(x, w[f"{name}_conv{last}"]), w[f"{name}_bn{last}"])
    if se:
        x = squeeze_excitation(x, w, f"{name}_se")
    return relu(x + shortcut)


def resnet(images, w, *, blocks, bottleneck, stem, sk=False, se=False):
    """Images `[N, H, W, C]` to a dict of all endpoints."""
    x, out = images, {}
    if stem == "imagenet" and sk:
        x = relu(norm(conv(x, w["stem_conv1"], 2), w["stem_bn1"]))
        x = relu(norm(conv(x, w["stem_conv2"], 1), w["stem_bn2"]))
        x = conv(x, w["initial_conv"], 1)
    else:
        x = conv(x, w["initial_conv"], 1 if stem == "cifar" else 2)
    out["initial_conv"] = x
    x = relu(norm(x, w["initial_bn"]))
    out["initial_max_pool"] = x = max_pool_3x3_stride_2(x) if stem == "imagenet" else x
    for group, count in enumerate(blocks, start=1):
        for index in range(1, count + 1):
            x = block(
                x,
                w,
                f"block_group{group}_block{index}",
                bottleneck=bottleneck,
                stride=2 if group > 1 and index == 1 else 1,
                sk=sk,
                se=se,
            )
        out[f"block_group{group}"] = x
    out["final_avg_pool"] = x.mean(axis=(1, 2))
    return out


def projection_head(features, kernels, norms, training):
    """Outputs of all layers; `norms` are (gamma, beta or None, mean, variance)."""
    outputs = [features]
    for index, (kernel, (gamma, beta, mean, variance)) in enumerate(
        zip(kernels, norms, strict=True)
    ):
        x = np.zeros((len(features), kernel.shape[1]))
        for row in range(len(features)):
            for column in range(kernel.shape[1]):
                x[row, column] = np.sum(outputs[-1][row] * kernel[:, column])
        if training:
            mean = x.sum(axis=0) / len(x)
            variance = ((x - mean) ** 2).sum(axis=0) / len(x)
        x = gamma * (x - mean) / np.sqrt(variance + EPSILON)
        if beta is not None:
            x = x + beta
        outputs.append(x if index == len(kernels) - 1 else relu(x))
    return outputs
