"""Heads: projections z of the features h, and predictions of another view's z."""

from __future__ import annotations

import numbers
from typing import Any

import tensorflow as tf

from simclr_tf._keras import keras
from simclr_tf.array_types import Tensor, TensorLike
from simclr_tf.errors import require, unknown_choice
from simclr_tf.models.conv_norm import batch_norm_class, batch_norm_options
from simclr_tf.models.initializers import HEAD_STREAM, PREDICTION_STREAM, kernel_seed

KINDS = ("nonlinear", "linear", "none")


@keras.utils.register_keras_serializable(package="simclr_tf")
class ProjectionHead(keras.layers.Layer):
    """z = g(h): an MLP with batch norm, a linear layer, or nothing.

    Nonlinear, n layers: h_0 = h; h_k = relu(bn(W_k h_(k-1))) for k < n; and
    z = bn(W_n h_(n-1)), whose batch norm has a scale and no offset. Dense layers have
    no bias (the batch norm's offset replaces it). Linear: only the last layer.
    None: z = h.

    The last layer and the identity compute in float32 under every policy:
    similarities of projections rounded to bfloat16 would be off by up to a percent.

    Args:
      num_layers: int >= 1, n of the nonlinear head (SimCLR: 2, SimCLRv2: 3).
      hidden_features: int >= 1, width of the hidden layers; None: that of h.
      out_features: int >= 1, width of z (paper: 128).
      kind: "nonlinear", "linear" or "none".
      batch_norm: bool; dense layers without batch norm have biases.
      final_batch_norm: bool, whether the last layer has batch norm too.
      synchronized: bool, batch norm over all replicas.
      batch_norm_momentum: float in [0, 1), decay of the moving statistics.
      batch_norm_epsilon: float > 0, added to the variance.
      seed: int or None; equal seeds give equal initial values.
      name: str, of the layer.

    Raises:
      ConfigError: an argument outside its range, or an unknown kind.

    Example:
      >>> head = ProjectionHead(num_layers=2, out_features=16)
      >>> head(tf.ones([4, 32])).shape.as_list()
      [4, 16]
      >>> [layer.shape[-1] for layer in head.layer_outputs(tf.ones([4, 32]))]
      [32, 32, 16]

    Source: Chen et al., SimCLR (2020), section 4.2; SimCLRv2 (2020), section 2.
    """

    def __init__(
        self,
        num_layers: int = 3,
        hidden_features: int | None = None,
        out_features: int = 128,
        kind: str = "nonlinear",
        batch_norm: bool = True,
        final_batch_norm: bool = True,
        synchronized: bool = False,
        batch_norm_momentum: float = 0.9,
        batch_norm_epsilon: float = 1e-5,
        seed: int | None = None,
        name: str = "projection_head",
        **kwargs: Any,
    ) -> None:
        # Without autocast the features keep their precision: float32 for `none`.
        super().__init__(name=name, **{**kwargs, "autocast": False})
        _check(kind, num_layers, hidden_features, out_features)
        self._norm_options = batch_norm_options(batch_norm_momentum, batch_norm_epsilon)
        self.num_layers = num_layers
        self.hidden_features = hidden_features
        self.out_features = out_features
        self.kind = kind
        self.batch_norm = batch_norm
        self.final_batch_norm = final_batch_norm
        self.synchronized = synchronized
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_epsilon = batch_norm_epsilon
        self.seed = seed
        # Filled by `build`. Without a final batch norm the norms are one fewer.
        self.dense_layers = []
        self.norm_layers = []

    def build(self, input_shape: Any) -> None:
        """Create the dense layers and batch norms for features `[N, F]`."""
        shape = tf.TensorShape(input_shape)
        require(
            shape.rank == 2 and shape[-1] is not None,
            "A projection head takes features of shape [N, F] with a known F.",
            features_shape=tuple(shape) if shape.rank is not None else None,
        )
        in_features = int(shape[-1])
        widths = self._widths(in_features)
        for index, width in enumerate(widths):
            is_last = index == len(widths) - 1
            dtype = "float32" if is_last else self.dtype_policy
            normalized = self.batch_norm and (self.final_batch_norm or not is_last)
            self._add_dense(index, in_features, width, dtype, use_bias=not normalized)
            if normalized:
                self._add_norm(index, width, dtype, center=not is_last)
            in_features = width
        super().build(input_shape)

    def _widths(self, in_features):
        """Return the output width of every dense layer."""
        if self.kind == "none":
            return []
        if self.kind == "linear":
            return [self.out_features]
        hidden = self.hidden_features or in_features
        return [hidden] * (self.num_layers - 1) + [self.out_features]

    def _add_dense(self, index, in_features, width, dtype, *, use_bias):
        layer = keras.layers.Dense(
            width,
            use_bias=use_bias,
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=0.01, seed=kernel_seed(self.seed, index, HEAD_STREAM)
            ),
            dtype=dtype,
            name=f"dense{index + 1}",
        )
        # Built here, not in the first call, so that weights can be loaded at once.
        with tf.name_scope(layer.name):
            layer.build((None, in_features))
        self.dense_layers.append(layer)

    def _add_norm(self, index, width, dtype, *, center):
        layer = batch_norm_class(self.synchronized)(
            center=center,
            dtype=dtype,
            name=f"bn{index + 1}",
            **self._norm_options,
        )
        with tf.name_scope(layer.name):
            layer.build((None, width))
        self.norm_layers.append(layer)

    @tf.autograph.experimental.do_not_convert
    def call(self, features: TensorLike, training: bool | None = None) -> Tensor:
        """Compute the projections.

        Args:
          features: float tensor `[N, F]`.
          training: bool, batch statistics instead of the moving ones.

        Returns:
          float32 tensor `[N, out_features]` (`[N, F]` for kind "none").
        """
        return tf.cast(self._forward(features, training)[-1], tf.float32)

    def layer_outputs(
        self, features: TensorLike, training: bool = False
    ) -> list[Tensor]:
        """Return the outputs of all layers, to fine-tune from the middle of the head.

        Args:
          features: float tensor `[N, F]`.
          training: bool, batch statistics instead of the moving ones.

        Returns:
          list of float32 tensors: h, then after each hidden layer (with its ReLU),
          then z. Kind "none": h alone.
        """
        if not self.built:
            self(features, training=False)
        outputs = self._forward(features, training)
        return [tf.cast(output, tf.float32) for output in outputs]

    def _forward(self, features, training):
        outputs = [features]
        for index, dense in enumerate(self.dense_layers):
            x = dense(outputs[-1])
            if index < len(self.norm_layers):
                x = self.norm_layers[index](x, training=training)
            if index < len(self.dense_layers) - 1:
                x = tf.nn.relu(x)
            outputs.append(x)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Map `[N, F]` to `[N, out_features]`, or to itself for kind "none"."""
        shape = tf.TensorShape(input_shape)
        return shape if self.kind == "none" else shape[:-1] + [self.out_features]

    def get_config(self) -> dict[str, Any]:
        """Return all arguments of `__init__`."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "hidden_features": self.hidden_features,
            "out_features": self.out_features,
            "kind": self.kind,
            "batch_norm": self.batch_norm,
            "final_batch_norm": self.final_batch_norm,
            "synchronized": self.synchronized,
            "batch_norm_momentum": self.batch_norm_momentum,
            "batch_norm_epsilon": self.batch_norm_epsilon,
            "seed": self.seed,
        }


@keras.utils.register_keras_serializable(package="simclr_tf")
class PredictionHead(keras.layers.Layer):
    """p = q(z): one hidden layer with batch norm, and a linear last layer.

    p = W_2 relu(bn(W_1 z)) + b, as wide as z. The hidden layer has no bias (the batch
    norm's offset replaces it); the last layer computes in float32 under every policy.

    Args:
      hidden_features: int >= 1.
      use_bias: bool, whether the last layer has one.
      synchronized: bool, batch norm over all replicas.
      batch_norm_momentum: float in [0, 1), decay of the moving statistics.
      batch_norm_epsilon: float > 0, added to the variance.
      seed: int or None; equal seeds give equal initial values.
      name: str, of the layer.

    Raises:
      ConfigError: an argument outside its range.

    Example:
      >>> PredictionHead(hidden_features=8)(tf.ones([4, 32])).shape.as_list()
      [4, 32]

    Source: Grill et al., BYOL (2020), section 3.2; Chen & He, SimSiam (2021), section
    3.
    """

    def __init__(
        self,
        hidden_features: int,
        use_bias: bool = True,
        synchronized: bool = False,
        batch_norm_momentum: float = 0.9,
        batch_norm_epsilon: float = 1e-5,
        seed: int | None = None,
        name: str = "prediction_head",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _require_width(hidden_features=hidden_features)
        self._norm_options = batch_norm_options(batch_norm_momentum, batch_norm_epsilon)
        self.hidden_features = hidden_features
        self.use_bias = use_bias
        self.synchronized = synchronized
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_epsilon = batch_norm_epsilon
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create the layers for projections `[N, D]`."""
        width = int(input_shape[-1])
        self.hidden = self._dense(
            0, self.hidden_features, use_bias=False, name="hidden"
        )
        self.norm = batch_norm_class(self.synchronized)(name="bn", **self._norm_options)
        self.last = self._dense(
            1, width, use_bias=self.use_bias, dtype="float32", name="last"
        )
        for layer, shape in (
            (self.hidden, width),
            (self.norm, self.hidden_features),
            (self.last, self.hidden_features),
        ):
            with tf.name_scope(layer.name):
                layer.build((None, shape))
        super().build(input_shape)

    def _dense(self, index, width, **kwargs):
        return keras.layers.Dense(
            width,
            kernel_initializer=keras.initializers.VarianceScaling(
                1 / 3,
                distribution="uniform",
                seed=kernel_seed(self.seed, index, PREDICTION_STREAM),
            ),
            **kwargs,
        )

    def call(self, projections: TensorLike, training: bool | None = None) -> Tensor:
        """Predict the projections of other views.

        Args:
          projections: float tensor `[N, D]`.
          training: bool, batch statistics instead of the moving ones.

        Returns:
          float32 tensor `[N, D]`.
        """
        x = self.norm(self.hidden(projections), training=training)
        return self.last(tf.nn.relu(x))

    def get_config(self) -> dict[str, Any]:
        """Return all arguments of `__init__`."""
        return {
            **super().get_config(),
            "hidden_features": self.hidden_features,
            "use_bias": self.use_bias,
            "synchronized": self.synchronized,
            "batch_norm_momentum": self.batch_norm_momentum,
            "batch_norm_epsilon": self.batch_norm_epsilon,
            "seed": self.seed,
        }


def _check(kind, num_layers, hidden_features, out_features):
    if kind not in KINDS:
        raise unknown_choice("kind", kind, KINDS)
    sizes = {"num_layers": num_layers, "out_features": out_features}
    if hidden_features is not None:
        sizes["hidden_features"] = hidden_features
    _require_width(**sizes)


def _require_width(**sizes):
    for name, value in sizes.items():
        require(
            isinstance(value, numbers.Integral) and value >= 1,
            f"`{name}` must be a whole number >= 1.",
            **{name: value},
        )
