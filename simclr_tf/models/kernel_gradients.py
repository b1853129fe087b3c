"""The gradient of a kernel by sums that are faster than oneDNN's own, on processors.

With images x `[N, H, W, C]` and the gradient d `[N, h, w, O]` of the output, the
gradient of the kernel is sum over n, i, j of x[n, s i + a, s j + b, c] d[n, i, j, o].
oneDNN's own kernel for it loses time where the output is small. The same sums are a
convolution of x over the batch, with channels for images and images for channels, whose
kernel is d; and, for each place (a, b) of the kernel, a matrix product of x, shifted,
with d. They are the same up to rounding, in float32 for both types.
`simclr-tf benchmark step` compares them with oneDNN's.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Layer, Tensor
from simclr_tf.machine import processor_fields

NAME = "kernel_gradient"  # In the names of the operations.
_used = threading.local()


@contextlib.contextmanager
def faster_kernel_gradients(is_used: bool = True) -> Iterator[None]:
    """Let prepared convolutions compute their kernels' gradients in this way here.

    Applies to what this thread computes or traces: what is traced elsewhere, such as an
    export, holds plain convolutions.

    Args:
      is_used: bool; False changes nothing.
    """
    before = getattr(_used, "here", False)
    _used.here = before or is_used
    try:
        yield
    finally:
        _used.here = before


def prepare_kernel_gradients(network: Layer) -> None:
    """Prepare all plain convolutions of a network; their config stays the same.

    Args:
      network: keras layer or model.
    """
    for layer in network.submodules:
        if type(layer) is keras.layers.Conv2D and _is_plain(layer):
            layer.convolution_op = _Convolution(layer)


def _is_plain(layer):
    return (
        layer.groups == 1
        and layer.data_format == "channels_last"
        and layer.dilation_rate == (1, 1)
        and max(layer.kernel_size) > 1
        and (layer.padding == "valid" or layer.strides == (1, 1))
    )


class _Convolution:
    """The `convolution_op` of a layer, with a faster gradient of its kernel."""

    def __init__(self, layer):
        self._layer = layer

    def __call__(self, inputs, kernel):
        layer = self._layer
        plain = type(layer).convolution_op
        kernel = tf.convert_to_tensor(kernel)
        kernel_gradient = (
            self._faster(inputs) if getattr(_used, "here", False) else None
        )
        if kernel_gradient is None:
            return plain(layer, inputs, kernel)

        @tf.custom_gradient
        def convolve(x, kernel):
            def gradient(d_output):
                d_input = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x),
                    filter=kernel,
                    out_backprop=d_output,
                    strides=[1, *layer.strides, 1],
                    padding=layer.padding.upper(),
                )
                with tf.name_scope(NAME):
                    d_kernel = kernel_gradient(
                        x, d_output, layer.kernel_size, layer.strides, layer.padding
                    )
                return d_input, d_kernel

            return plain(layer, x, kernel), gradient

        return convolve(inputs, kernel)

    def _faster(self, inputs):
        """Choose the function for the gradient of the kernel; None: TensorFlow's."""
        shape = inputs.shape
        if shape.rank != 4 or None in shape[1:]:
            return None
        output = self._layer.compute_output_shape(shape)
        for pixels, channels, function in _faster_functions(inputs.dtype):
            if output[1] * output[2] <= pixels and shape[3] >= channels:
                return function
        return None


def by_batch(
    images: Tensor,
    d_output: Tensor,
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
) -> Tensor:
    """Compute the gradient of a kernel by a convolution over the batch.

    Args:
      images: `[N, H, W, C]`, the input of the convolution; H, W and C are known.
      d_output: `[N, h, w, O]`, the gradient of its output, of the same type.
      kernel_size, strides: (int, int).
      padding: "valid", or "same" with strides of 1.

    Returns:
      `[*kernel_size, C, O]`, of the same type; the sums are in float32.

    Example:
      >>> images, d_output = tf.ones([2, 4, 4, 1]), tf.ones([2, 4, 4, 1])
      >>> by_batch(images, d_output, (3, 3), (1, 1), "same")[:, :, 0, 0].numpy()
      array([[18., 24., 18.],
             [24., 32., 24.],
             [18., 24., 18.]], dtype=float32)
    """
    paddings = _same_paddings(kernel_size, padding)
    # With a stride the last rows may be under no kernel.
    ends = [
        min(size, (length - 1) * stride + kernel)
        for size, length, kernel, stride in zip(
            images.shape[1:3], d_output.shape[1:3], kernel_size, strides, strict=True
        )
    ]
    d_kernel = tf.raw_ops.Conv2D(
        input=tf.transpose(images[:, : ends[0], : ends[1]], [3, 1, 2, 0]),
        filter=tf.transpose(d_output, [1, 2, 0, 3]),
        strides=[1, 1, 1, 1],
        dilations=[1, *strides, 1],
        padding="EXPLICIT",
        explicit_paddings=[0, 0, *paddings[0], *paddings[1], 0, 0],
    )
    return tf.transpose(d_kernel, [1, 2, 0, 3])


def by_shifts(
    images: Tensor,
    d_output: Tensor,
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
) -> Tensor:
    """Compute the gradient of a kernel by a matrix product for each of its places.

    Arguments and result are those of `by_batch`.

    Example:
      >>> images, d_output = tf.ones([2, 4, 4, 1]), tf.ones([2, 4, 4, 1])
      >>> by_shifts(images, d_output, (3, 3), (1, 1), "same")[0, :, 0, 0].numpy()
      array([18., 24., 18.], dtype=float32)
    """
    images = tf.pad(images, [(0, 0), *_same_paddings(kernel_size, padding), (0, 0)])
    channels, features = images.shape[3], d_output.shape[3]
    rows, columns = (
        [
            slice(begin, begin + (length - 1) * stride + 1, stride)
            for begin in range(kernel)
        ]
        for length, kernel, stride in zip(
            d_output.shape[1:3], kernel_size, strides, strict=True
        )
    )
    d_output = tf.reshape(d_output, [-1, features])
    products = [
        tf.matmul(
            tf.reshape(images[:, row, column], [-1, channels]),
            d_output,
            transpose_a=True,
        )
        for row in rows
        for column in columns
    ]
    return tf.reshape(tf.stack(products), [*kernel_size, channels, features])


def _same_paddings(kernel_size, padding):
    """Return the zeros before and after each side: two pairs of int."""
    added = [kernel - 1 if padding == "same" else 0 for kernel in kernel_size]
    return [(number // 2, number - number // 2) for number in added]


# Type -> (pixels of the largest output, fewest channels of the input, function), the
# first that fits. Found by timing single convolutions of 16 to 1,024 images on one core
# of an AMD EPYC with avx512_bf16; other processors may differ.
_FASTER = {
    tf.bfloat16: ((49, 1, by_batch), (64, 64, by_batch)),
    tf.float32: ((9, 1, by_batch),),
}
# The same of 64 and 256 images on one core of an Intel Xeon with amx_bf16.
_FASTER_WITH_TILES = {**_FASTER, tf.bfloat16: ((64, 256, by_shifts), (49, 1, by_batch))}


@functools.cache
def _faster_functions(dtype):
    has_tiles = "amx_bf16" in processor_fields().get("flags", "").split()
    return (_FASTER_WITH_TILES if has_tiles else _FASTER).get(dtype, ())
