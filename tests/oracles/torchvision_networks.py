"""torchvision's ResNets in NumPy, from a state dict in PyTorch's names and layouts.

Images `[N, H, W, C]` become `[N, C, H, W]`; everything is float64, in inference mode.
"""

import numpy as np

BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


def windows(x, size, stride):
    """`[N, C, H', W', size, size]`, every window of a map."""
    found = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return found[:, :, ::stride, ::stride]


def padded(x, before, after, value=0.0):
    return np.pad(x, ((0, 0), (0, 0), before, after), constant_values=value)


def conv(x, kernel, stride):
    """Conv2d(padding=k // 2, bias=False)."""
    size = kernel.shape[-1]
    x = padded(x, (size // 2, size // 2), (size // 2, size // 2))
    out = np.tensordot(windows(x, size, stride), kernel, ((1, 4, 5), (1, 2, 3)))
    return out.transpose(0, 3, 1, 2)


def norm(x, state, name):
    gamma, beta, mean, variance = (
        state[f"{name}.{part}"][:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def max_pool(x, mode):
    """MaxPool2d(3, 2, padding=1), or MaxPool2d(3, 2, ceil_mode=True)."""
    if mode == "padding=1":
        x = padded(x, (1, 1), (1, 1), -np.inf)
    else:
        more = [(0, -(-(side - 3) // 2) * 2 + 3 - side) for side in x.shape[2:]]
        x = padded(x, *more, -np.inf)
    return windows(x, 3, 2).max((4, 5))


def torchvision_features(
    images, state, blocks, *, bottleneck, maxpool, mean=0.0, deviation=1.0
):
    """The features of torchvision's ResNet.

    Args:
      images: float array `[N, H, W, C]`.
      state: dict of torchvision's name to array.
      blocks: blocks in each layer.
      bottleneck: bool, else basic blocks.
      maxpool: "padding=1", torchvision's own; "ceil_mode"; or "none".
      mean, deviation: of transforms.Normalize.

    Returns:
      float64 array `[N, F]`.
    """
    state = {name: np.asarray(value, np.float64) for name, value in state.items()}
    x = (np.asarray(images, np.float64) - mean) / deviation
    x = x.transpose(0, 3, 1, 2)
    stride = 2 if state["conv1.weight"].shape[-1] == 7 else 1
    x = np.maximum(norm(conv(x, state["conv1.weight"], stride), state, "bn1"), 0)
    if maxpool != "none":
        x = max_pool(x, maxpool)
    for group, count in enumerate(blocks, start=1):
        for block in range(count):
            name = f"layer{group}.{block}"
            stride = 2 if group > 1 and block == 0 else 1
            shortcut = x
            if f"{name}.downsample.0.weight" in state:
                shortcut = conv(x, state[f"{name}.downsample.0.weight"], stride)
                shortcut = norm(shortcut, state, f"{name}.downsample.1")
            # The strides of the branch; v1.5: that of a bottleneck is in the 3x3.
            strides = (1, stride, 1) if bottleneck else (stride, 1)
            for index, step in enumerate(strides, start=1):
                x = conv(x, state[f"{name}.conv{index}.weight"], step)
                x = norm(x, state, f"{name}.bn{index}")
                x = np.maximum(x, 0) if index < len(strides) else x
            x = np.maximum(x + shortcut, 0)
    return x.mean((2, 3))


def state_shapes(depth, *, width=1.0, bottleneck_width=1.0, stem=7, classes=1000):
    """The names and shapes of torchvision's ResNet, `num_batches_tracked` included."""
    bottleneck, shapes = depth >= 50, {}
    expansion = 4 if bottleneck else 1
    base = int(64 * width)

    def add(conv_name, norm_name, out, inputs, size):
        shapes[f"{conv_name}.weight"] = (out, inputs, size, size)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm_name}.{part}"] = (out,)
        shapes[f"{norm_name}.num_batches_tracked"] = ()

    add("conv1", "bn1", base, 3, stem)
    inputs = base
    for group, count in enumerate(BLOCKS[depth], start=1):
        planes = base * 2 ** (group - 1)
        out, inner = planes * expansion, int(planes * bottleneck_width)
        for block in range(count):
            name = f"layer{group}.{block}"
            sizes = (
                ((inner, 1), (inner, 3), (out, 1)) if bottleneck else ((out, 3),) * 2
            )
            before = inputs
            for index, (channels, size) in enumerate(sizes, start=1):
                add(f"{name}.conv{index}", f"{name}.bn{index}", channels, before, size)
                before = channels
            if block == 0 and (group > 1 or inputs != out):
                add(f"{name}.downsample.0", f"{name}.downsample.1", out, inputs, 1)
            inputs = out
    if classes:
        shapes |= {"fc.weight": (classes, inputs), "fc.bias": (classes,)}
    return shapes


def random_state(shapes, seed=0):
    """Random values for a state dict, so that no zero or one hides a mistake."""
    rng, state = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = np.array(7, np.int64)
        elif len(shape) == 4:
            scale = np.sqrt(2 / np.prod(shape[1:]))
            state[name] = rng.normal(0, scale, shape).astype(np.float32)
        elif name.endswith(("running_var", ".weight")) and len(shape) == 1:
            state[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            state[name] = rng.normal(0, 0.2, shape).astype(np.float32)
    return state
