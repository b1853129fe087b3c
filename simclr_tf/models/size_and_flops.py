"""The size of a network in parameters, and its cost in operations."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from simclr_tf.array_types import Layer, Model
from simclr_tf.config.image_size import ImageSize, as_size
from simclr_tf.errors import require


def count_parameters(model: Layer) -> tuple[int, int]:
    """Count the trainable and the other parameters of a model.

    Args:
      model: built keras.Model or layer.

    Returns:
      (trainable, non_trainable): ints; the second are moving statistics and frozen
      weights.

    Example:
      >>> from simclr_tf.models import ProjectionHead
      >>> head = ProjectionHead(num_layers=1, out_features=4)
      >>> _ = head(tf.ones([1, 8]))
      >>> count_parameters(head)
      (36, 8)
    """
    return (
        sum(math.prod(weight.shape) for weight in model.trainable_weights),
        sum(math.prod(weight.shape) for weight in model.non_trainable_weights),
    )


def flops_per_image(
    model: Model, image_size_pixels: ImageSize, channels: int = 3
) -> int:
    """Count the floating-point operations of a forward pass on one image.

    Args:
      model: keras.Model, an encoder.
      image_size_pixels: int >= 1, or a pair (height, width).
      channels: int >= 1.

    Returns:
      int, as in `flops_per_example`.

    Example:
      >>> from simclr_tf._keras import keras
      >>> images = keras.Input((None, None, 3))
      >>> model = keras.Model(images, keras.layers.Conv2D(5, 3, 2, "same")(images))
      >>> flops_per_image(model, 8) == 2 * (4 * 4 * 5) * (3 * 3 * 3)
      True
    """
    require(
        channels >= 1,
        "`channels` must be >= 1.",
        channels=channels,
    )
    return flops_per_example(model, (*as_size(image_size_pixels), channels))


def flops_per_example(model: Layer, example_shape: tuple[int, ...]) -> int:
    """Count the floating-point operations of one forward pass on one example.

    A multiplication and its addition count as two. Convolutions and products of
    matrices are counted; elementwise operations and pooling are not: they are below 1 %
    in these networks. A training step costs about
    three times as much, forward and backward together.

    The model is traced once on a symbolic batch of one, so that every kind of model
    (nested, subclassed) is counted as it runs; nothing is computed.

    Args:
      model: built keras.Model or layer.
      example_shape: tuple of ints, the input's shape without the batch.

    Returns:
      int.

    Raises:
      ConfigError: the size of a product is not known.
    """
    return cost_per_example(model, example_shape).flops


class Cost(NamedTuple):
    """The cost of one example.

    Attributes:
      flops: int, floating-point operations of a forward pass.
      kept_bytes: int, what a forward pass keeps for the backward pass.
      largest_bytes: int, the largest activation.
    """

    flops: int
    kept_bytes: int
    largest_bytes: int


def cost_per_example(model: Layer, example_shape: tuple[int, ...]) -> Cost:
    """Count operations and memory of one example, from one trace of the model.

    Kept are the tensors that the gradients of the operations read: the inputs of
    convolutions, products and batch norm, the outputs of activations. A tensor that
    several operations read is kept once.

    Args:
      model, example_shape: as for `flops_per_example`.

    Returns:
      Cost.

    Raises:
      ConfigError: as for `flops_per_example`.

    Example:
      >>> from simclr_tf._keras import keras
      >>> images = keras.Input((None, None, 3))
      >>> model = keras.Model(images, keras.layers.Conv2D(5, 1)(images))
      >>> cost_per_example(model, (8, 8, 3)).kept_bytes == 8 * 8 * 3 * 4
      True
    """
    example = tf.TensorSpec([1, *example_shape], tf.float32)
    operations = traced_operations(model, example)
    flops = 2 * sum(
        _MULTIPLICATIONS[operation.type](operation)
        for operation in operations
        if operation.type in _MULTIPLICATIONS
    )
    kept, largest = _activations(operations)
    return Cost(flops, sum(kept.values()), largest)


def _activations(operations):
    """Return ({tensor kept for the backward pass: bytes}, bytes of the largest)."""
    placeholders = (op for op in operations if op.type == "Placeholder")
    examples = {next(placeholders).outputs[0].ref()}  # Others hold the weights.
    buffers, kept, largest = {}, {}, 0
    for operation in operations:
        inputs = [tensor for tensor in operation.inputs if tensor.ref() in examples]
        if not inputs:
            continue
        outputs = [tensor for tensor in operation.outputs if tensor.dtype.is_floating]
        examples.update(tensor.ref() for tensor in outputs)
        largest = max([largest, *map(_bytes_of, outputs)])
        if operation.type in _SAME_BUFFER and outputs:
            source = inputs[0].ref()
            buffers[outputs[0].ref()] = buffers.get(source, source)
        read = inputs if operation.type in _READ_INPUTS else []
        read = [*read, *(outputs[:1] if operation.type in _READ_OUTPUTS else [])]
        for tensor in read:
            kept[buffers.get(tensor.ref(), tensor.ref())] = _bytes_of(tensor)
    return kept, largest


def _bytes_of(tensor):
    """Count the bytes of a tensor; 0 where its shape is not known."""
    known = tensor.shape.is_fully_defined()
    return math.prod(tensor.shape.as_list()) * tensor.dtype.size if known else 0


def traced_operations(model, example):
    """Trace one inference call and return its operations, in one flat graph.

    Args:
      model: built keras.Model or layer.
      example: tf.TensorSpec of its input.

    Returns:
      list of tf.Operation.
    """
    trace = tf.function(lambda x: model(x, training=False))
    # Functions inside the model (Keras compiles grouped convolutions) would be one
    # opaque call each; run "eagerly" inside a trace, they are traced in place.
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        return trace.get_concrete_function(example).graph.get_operations()
    finally:
        tf.config.run_functions_eagerly(before)


def _conv(operation):
    """Count: every output number sums over the kernel's height, width and inputs."""
    kernel_height, kernel_width, in_channels, _ = _shape(operation.inputs[1])
    return _size(operation.outputs[0]) * kernel_height * kernel_width * in_channels


def _depthwise_conv(operation):
    """Count: every output number sums over the kernel's height and width."""
    kernel_height, kernel_width, _, _ = _shape(operation.inputs[1])
    return _size(operation.outputs[0]) * kernel_height * kernel_width


def _matrix_product(operation):
    """Count: every output number sums over the axis that the factors share."""
    transposed = operation.get_attr(
        "transpose_a" if operation.type == "MatMul" else "adj_x"
    )
    shared = _shape(operation.inputs[0])[-2 if transposed else -1]
    return _size(operation.outputs[0]) * shared


def _einsum(operation):
    """Count one product for every combination of the indices."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    sizes = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        sizes.update(zip(term, _shape(tensor), strict=True))
    return math.prod(sizes.values())


_MULTIPLICATIONS = {
    "Conv2D": _conv,
    "DepthwiseConv2dNative": _depthwise_conv,
    "MatMul": _matrix_product,
    "BatchMatMulV2": _matrix_product,
    "Einsum": _einsum,
}
# What the gradient of an operation reads, and what makes no tensor of its own.
_READ_INPUTS = {
    *_MULTIPLICATIONS,
    *("FusedBatchNormV3", "Mul", "RealDiv", "Square", "SquaredDifference", "Pow"),
    *("Erf", "Log", "Softplus", "Abs", "MaxPool", "LeakyRelu", "Maximum", "Minimum"),
}
_READ_OUTPUTS = {
    *("Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh", "Softmax", "LogSoftmax"),
    *("Exp", "Sqrt", "Rsqrt", "MaxPool", "Max"),
}
_SAME_BUFFER = {"Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient"}


def _shape(tensor):
    require(
        tensor.shape.is_fully_defined(),
        "The size of a product in the model is not known: its cost cannot be counted.",
        tensor=tensor.name,
        shape=tensor.shape,
    )
    return tensor.shape.as_list()


def _size(tensor):
    return math.prod(_shape(tensor))
