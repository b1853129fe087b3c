"""The networks of google-research/simclr by their published names, and what they do.

One pass over a network both invents its variables, under the names that the reference
gives them, and computes its features from them: with tf.nn, in float64, knowing
nothing of this project. TensorFlow 2's names are the paths of attributes, written at
each place; TensorFlow 1's are running numbers in the order in which layers are created.
"""

import numpy as np
import tensorflow as tf

EPSILON = 1e-5
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class Names:
    """Variables by name, drawn when they are first asked for."""

    def __init__(self, tf1, seed, prefix, draw):
        self.tf1, self.prefix, self.draw = tf1, prefix, draw
        self.variables = {}
        self.counts = {"conv2d": 0, "batch_normalization": 0}
        self.rng = np.random.default_rng(seed)

    def layer(self, kind, path):
        """The name of the next layer of a kind; `path` is TensorFlow 2's."""
        if not self.tf1:
            return f"model/{path}"
        number = self.counts[kind]
        self.counts[kind] += 1
        return f"{self.prefix}base_model/{kind}" + (f"_{number}" if number else "")

    def get(self, name, shape, kind="kernel"):
        if not self.tf1:
            name += "/.ATTRIBUTES/VARIABLE_VALUE"
        if not self.draw:
            value = np.broadcast_to(np.float32(0), shape)  # Takes no memory.
        elif kind == "positive":
            value = self.rng.uniform(0.5, 1.5, shape)
        elif kind == "kernel":
            value = self.rng.normal(0, (1 / np.prod(shape[:-1])) ** 0.5, shape)
        else:
            value = self.rng.normal(0, 0.2, shape)
        self.variables[name] = value if not self.draw else value.astype(np.float32)
        return tf.constant(self.variables[name], tf.float64) if self.draw else None


class Network:
    """A ResNet of the reference.

    Args:
      images: float array `[N, H, W, C]`, or None: only names and shapes.
      tf1: bool, whose names.
      prefix: str, before TensorFlow 1's names.
      head: (layers, out) of the projection head, or None.
      classes: int or None, of the supervised head.
    """

    def __init__(
        self,
        images,
        depth,
        *,
        width=1,
        sk=0.0,
        se=0.0,
        cifar=False,
        tf1=False,
        prefix="",
        head=(3, 128),
        classes=None,
        seed=0,
        channels=3,
    ):
        self.names = Names(tf1, seed, prefix, images is not None)
        self.sk, self.se, self.depth, self.tf1 = sk, se, depth, tf1
        self.x = None if images is None else tf.constant(images, tf.float64)
        self.channels = channels
        x = (self.x, channels)
        x = self.stem(x, int(64 * width), cifar)
        for group, count in enumerate(BLOCKS[depth]):
            filters = int((64, 128, 256, 512)[group] * width)
            for block in range(count):
                path = f"resnet_model/block_groups/{group}/layers/{block}"
                x = self.block(
                    x, path, filters, 2 if group and not block else 1, block == 0
                )
        self.features = None if x[0] is None else tf.reduce_mean(x[0], [1, 2])
        self.projections = self.head(self.features, x[1], head, prefix)
        self.logits = self.classifier(x[1], classes, prefix)

    @property
    def variables(self):
        return self.names.variables

    # A tensor goes with its number of channels: without images there is only that.
    def conv(self, x, path, out, size, stride=1, bias=False):
        name = self.names.layer("conv2d", path)
        kernel = self.names.get(f"{name}/kernel", (size, size, x[1], out))
        offset = self.names.get(f"{name}/bias", (out,), "offset") if bias else None
        if x[0] is None:
            return None, out
        if stride > 1:
            first = (size - 1) // 2
            ends = [first, size - 1 - first]
            y = tf.nn.conv2d(
                tf.pad(x[0], [[0, 0], ends, ends, [0, 0]]), kernel, stride, "VALID"
            )
        else:
            y = tf.nn.conv2d(x[0], kernel, 1, "SAME")
        return (y if offset is None else y + offset), out

    def norm(self, x, path):
        return self.norm_of(x, self.names.layer("batch_normalization", path))

    def norm_of(self, x, name, center=True):
        gamma = self.names.get(f"{name}/gamma", (x[1],), "positive")
        beta = self.names.get(f"{name}/beta", (x[1],), "offset") if center else 0.0
        mean = self.names.get(f"{name}/moving_mean", (x[1],), "offset")
        variance = self.names.get(f"{name}/moving_variance", (x[1],), "positive")
        if x[0] is None:
            return x
        return gamma * (x[0] - mean) / tf.sqrt(variance + EPSILON) + beta, x[1]

    @staticmethod
    def relu(x):
        return x if x[0] is None else (tf.nn.relu(x[0]), x[1])

    def stem(self, x, filters, cifar):
        path = "resnet_model/initial_conv_relu_max_pool"
        if cifar:
            x = self.conv(x, f"{path}/0/conv2d", filters, 3)
            return self.relu(self.norm(x, f"{path}/2/bn"))
        if self.sk:
            x = self.conv(x, f"{path}/0/conv2d", filters // 2, 3, 2)
            x = self.relu(self.norm(x, f"{path}/1/bn"))
            x = self.conv(x, f"{path}/2/conv2d", filters // 2, 3)
            x = self.relu(self.norm(x, f"{path}/3/bn"))
            x = self.conv(x, f"{path}/4/conv2d", filters, 3)
            x = self.relu(self.norm(x, f"{path}/6/bn"))
        else:
            x = self.conv(x, f"{path}/0/conv2d", filters, 7, 2)
            x = self.relu(self.norm(x, f"{path}/2/bn"))
        return x if x[0] is None else (tf.nn.max_pool2d(x[0], 3, 2, "SAME"), filters)

    def block(self, x, path, filters, stride, first):
        bottleneck = self.depth >= 50
        shortcut = x
        if first:
            name = "projection_layers" if bottleneck else "shortcut_layers"
            out = filters * 4 if bottleneck else filters
            shortcut = self.shortcut(x, f"{path}/{name}", out, stride)
        if bottleneck:
            name = f"{path}/conv_relu_dropblock_layers"
            x = self.bottleneck(x, name, filters, stride)
            gate = f"{name}/{8 if self.sk else 9}"
        else:
            name = f"{path}/conv2d_bn_layers"
            x = self.conv(x, f"{name}/0/conv2d", filters, 3, stride)
            x = self.relu(self.norm(x, f"{name}/1/bn"))
            x = self.norm(self.conv(x, f"{name}/2/conv2d", filters, 3), f"{name}/3/bn")
            gate = f"{path}/se_layer"
        if self.se:
            x = self.gate(x, gate, filters)
        return x if x[0] is None else (tf.nn.relu(x[0] + shortcut[0]), x[1])

    def shortcut(self, x, path, out, stride):
        index = 0
        if self.sk:
            index = 2 if stride > 1 else 1
            if x[0] is not None:
                y = x[0]
                if stride > 1:
                    y = tf.pad(y, [[0, 0], [0, 1], [0, 1], [0, 0]])
                y = tf.nn.avg_pool2d(y, 2, stride, "VALID" if stride > 1 else "SAME")
                x = (y, x[1])
            stride = 1
        x = self.conv(x, f"{path}/{index}/conv2d", out, 1, stride)
        return self.norm(x, f"{path}/{index + 1}/bn")

    def bottleneck(self, x, path, filters, stride):
        x = self.conv(x, f"{path}/0/conv2d", filters, 1)
        x = self.relu(self.norm(x, f"{path}/1/bn"))
        if self.sk:
            x = self.selective(x, f"{path}/3", filters, stride)
        else:
            x = self.conv(x, f"{path}/3/conv2d", filters, 3, stride)
            x = self.relu(self.norm(x, f"{path}/4/bn"))
        last = (5, 6) if self.sk else (6, 7)
        x = self.conv(x, f"{path}/{last[0]}/conv2d", filters * 4, 1)
        return self.norm(x, f"{path}/{last[1]}/bn")

    def selective(self, x, path, filters, stride):
        x = self.conv(x, f"{path}/conv2d_fixed_padding/conv2d", 2 * filters, 3, stride)
        x = self.relu(self.norm(x, f"{path}/batch_norm_relu/bn"))
        middle = (None, filters)
        if x[0] is not None:
            streams = tf.stack(tf.split(x[0], 2, axis=3))
            seen = tf.reduce_mean(tf.reduce_sum(streams, 0), [1, 2], keepdims=True)
            middle = (seen, filters)
        reduced = max(int(filters * self.sk), 32)
        middle = self.conv(middle, f"{path}/conv2d_0", reduced, 1)
        middle = self.relu(self.norm(middle, f"{path}/batch_norm_relu_1/bn"))
        mixing, _ = self.conv(middle, f"{path}/conv2d_1", 2 * filters, 1)
        if x[0] is None:
            return None, filters
        weights = tf.nn.softmax(tf.stack(tf.split(mixing, 2, axis=3)), axis=0)
        return tf.reduce_sum(streams * weights, 0), filters

    def gate(self, x, path, filters):
        middle = (
            None if x[0] is None else tf.reduce_mean(x[0], [1, 2], keepdims=True),
            x[1],
        )
        reduced = max(1, int(filters * self.se))
        middle = self.conv(middle, f"{path}/se_reduce", reduced, 1, bias=True)
        middle = self.conv(self.relu(middle), f"{path}/se_expand", x[1], 1, bias=True)
        return x if x[0] is None else (tf.sigmoid(middle[0]) * x[0], x[1])

    def head(self, features, width, head, prefix):
        if head is None:
            return None
        x, (layers, out) = (features, width), head
        for index in range(layers):
            last = index == layers - 1
            name = f"model/_projection_head/linear_layers/{index}"
            dense, norm = f"{name}/dense", f"{name}/bn_relu/bn"
            if self.tf1:
                name = f"{prefix}head_contrastive/nl_{index}"
                dense, norm = f"{name}/dense", f"{name}/batch_normalization"
            kernel = self.names.get(f"{dense}/kernel", (width, out if last else width))
            x = (None if x[0] is None else x[0] @ kernel, out if last else width)
            x = self.norm_of(x, norm, center=not last)
            x = x if last else self.relu(x)
        return x[0]

    def classifier(self, width, classes, prefix):
        if classes is None:
            return None
        name = f"{prefix}head_supervised/linear_layer/dense"
        if not self.tf1:
            name = "model/supervised_head/linear_layer/dense"
        kernel = self.names.get(f"{name}/kernel", (width, classes))
        bias = self.names.get(f"{name}/bias", (classes,), "offset")
        return None if self.features is None else self.features @ kernel + bias
