"""The gradient of a kernel as a convolution over the batch, on processors.

With images x `[N, H, W, C]` and the gradient d `[N, h, w, O]` of the output, the
gradient of the kernel is sum over n, i, j of x[n, s i + a, s j + b, c] d[n, i, j, o]: a
convolution of x, with channels for images and images for channels, whose kernel is d.
oneDNN's own kernel for it loses time where the output is small; this form has the rate
of a forward pass. The sums are the same up to rounding, in float32 for both types.
`simclr-tf benchmark step` compares the two.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Layer, Tensor

# Type -> (pixels of the largest output, fewest channels of the input) where this form
# is faster. Found by timing single convolutions of 16 to 1,024 images on one core of an
# AMD EPYC with avx512_bf16; processors with other instructions may differ.
_FASTER = {
    tf.bfloat16: ((49, 1), (64, 64)),
    tf.float32: ((9, 1),),
}
NAME = "kernel_gradient"  # In the names of the operations.
_used = threading.local()


@contextlib.contextmanager
def kernel_gradients_over_batch(is_used: bool = True) -> Iterator[None]:
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
    """The `convolution_op` of a layer, with its gradient by one of the two ways."""

    def __init__(self, layer):
        self._layer = layer

    def __call__(self, inputs, kernel):
        layer = self._layer
        plain = type(layer).convolution_op
        kernel = tf.convert_to_tensor(kernel)
        if not getattr(_used, "here", False) or not self._is_faster(inputs):
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

    def _is_faster(self, inputs):
        shape = inputs.shape
        if shape.rank != 4 or None in shape[1:] or inputs.dtype not in _FASTER:
            return False
        output = self._layer.compute_output_shape(shape)
        return any(
            output[1] * output[2] <= pixels and shape[3] >= channels
            for pixels, channels in _FASTER[inputs.dtype]
        )


def kernel_gradient(
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
      >>> kernel_gradient(images, d_output, (3, 3), (1, 1), "same")[:, :, 0, 0].numpy()
      array([[18., 24., 18.],
             [24., 32., 24.],
             [18., 24., 18.]], dtype=float32)
    """
    paddings, ends = [], []
    for size, length, kernel, stride in zip(
        images.shape[1:3], d_output.shape[1:3], kernel_size, strides, strict=True
    ):
        added = kernel - 1 if padding == "same" else 0
        paddings += [added // 2, added - added // 2]
        # With a stride the last rows may be under no kernel.
        ends.append(min(size, (length - 1) * stride + kernel))
    d_kernel = tf.raw_ops.Conv2D(
        input=tf.transpose(images[:, : ends[0], : ends[1]], [3, 1, 2, 0]),
        filter=tf.transpose(d_output, [1, 2, 0, 3]),
        strides=[1, 1, 1, 1],
        dilations=[1, *strides, 1],
        padding="EXPLICIT",
        explicit_paddings=[0, 0, *paddings, 0, 0],
    )
    return tf.transpose(d_kernel, [1, 2, 0, 3])
