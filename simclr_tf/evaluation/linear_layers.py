"""Many linear classifiers trained at once, each with its own learning rate."""

import numpy as np
import tensorflow as tf

from simclr_tf.errors import require, unknown_choice
from simclr_tf.optim import LARS, WarmupCosine

OPTIMIZERS = ("sgd", "lars")
_KERNEL_STDDEV = 0.01


class LinearLayers:
    """L softmax classifiers on the same features, one a learning rate.

    The logits of all layers are one product, X [N, F] with W [L, F, C]; the loss is the
    sum of the layers' mean cross-entropies, so the layers are independent.
    With g the gradient plus `weight_decay * W` and s the schedule, half a cosine from
    1 to 0 without warm-up:

      "sgd":   v <- m v + lr_l s g            W <- W - (m v + lr_l s g)  with the new v
      "lars":  v <- m v + lr_l s trust_l g    W <- W - v
               trust_l = 0.001 |W_l| / |g_l|, the norms of each layer by itself

    "sgd" has Nesterov momentum; "lars" is `LARS` as in pretraining. Biases start at 0
    without decay and adaptation; all kernels start from the same normal draws.

    Args:
      num_features: int F.
      num_classes: int C >= 2.
      learning_rates: floats > 0, the L peak learning rates.
      total_steps: int >= 1, the length of the schedule.
      optimizer: "sgd" or "lars".
      momentum: float in [0, 1).
      weight_decay: float >= 0.
      seed: int, of the kernels' start.

    Attributes:
      kernels: float32 variable `[L, F, C]`.
      biases: float32 variable `[L, C]`.

    Raises:
      ConfigError: an argument outside its range.

    Example:
      >>> layers = LinearLayers(1, 2, [0.1, 1.0], total_steps=20)
      >>> x, y = np.array([[-1.0], [1.0]], np.float32), np.array([0, 1])
      >>> for _ in range(20):
      ...     layers.train_step(x, y)
      >>> layers.logits(x).argmax(axis=-1).tolist()
      [[0, 1], [0, 1]]

    Source: Chen et al., SimCLR (2020), sections B.5 and B.6: Nesterov momentum 0.9,
    no weight decay, no warm-up; or LARS with the settings of pretraining.
    """

    def __init__(
        self,
        num_features,
        num_classes,
        learning_rates,
        *,
        total_steps,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=0.0,
        seed=0,
    ):
        require(
            len(learning_rates) > 0 and all(0 < r < np.inf for r in learning_rates),
            "All `learning_rates` must be > 0 and finite.",
            learning_rates=list(learning_rates),
        )
        if optimizer not in OPTIMIZERS:
            raise unknown_choice("optimizer", optimizer, OPTIMIZERS)
        num_layers = len(learning_rates)
        # Drawn by NumPy: the same with every version of TensorFlow.
        draws = np.random.default_rng(seed).normal(size=[num_features, num_classes])
        start = np.broadcast_to(_KERNEL_STDDEV * draws, [num_layers, *draws.shape])
        self.kernels = tf.Variable(start, dtype=tf.float32, name="kernels")
        self.biases = tf.Variable(tf.zeros([num_layers, num_classes]), name="biases")
        self._optimizer = _StackedLARS(
            learning_rates,
            WarmupCosine(1.0, 0, total_steps),
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=optimizer == "sgd",
        )
        unadapted = [self.biases] if optimizer == "lars" else self._variables
        self._optimizer.exclude_from_weight_decay([self.biases])
        self._optimizer.exclude_from_layer_adaptation(unadapted)
        self._optimizer.build(self._variables)
        self._step = tf.function(
            self._update,
            input_signature=[
                tf.TensorSpec([None, num_features], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
        )

    @property
    def _variables(self):
        return [self.kernels, self.biases]

    def train_step(self, features, class_indices):
        """Update all layers once.

        Args:
          features: float32 `[N, F]`, array or tensor.
          class_indices: int `[N]` in [0, C), array or tensor.
        """
        self._step(features, tf.cast(class_indices, tf.int32))

    def logits(self, features):
        """Compute float32 NumPy logits `[L, N, C]` of features `[N, F]`."""
        features = tf.convert_to_tensor(features, tf.float32)
        return self._logits(features).numpy()

    def _logits(self, features):
        products = tf.einsum("nf,lfc->lnc", features, self.kernels)
        return products + self.biases[:, tf.newaxis]

    def _update(self, features, class_indices):
        with tf.GradientTape() as tape:
            logits = self._logits(features)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.broadcast_to(class_indices, tf.shape(logits)[:2]), logits
            )
            # The mean over the images, the sum over the layers.
            loss = tf.reduce_sum(tf.reduce_mean(losses, axis=1))
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))


class _StackedLARS(LARS):
    """LARS for variables `[L, ...]` that hold L layers.

    Each layer has its own trust ratio and learning rate; the optimizer's learning rate
    multiplies all of them. Without adaptation it is momentum SGD.
    """

    def __init__(self, learning_rates, schedule, **kwargs):
        super().__init__(schedule, **kwargs)
        self._layer_rates = np.asarray(learning_rates, np.float32)

    def trust_ratio(self, direction, variable):
        """Return the factor of each direction, `[L, 1, ...]`: rate times trust."""
        axes = list(range(1, variable.shape.rank))
        rates = self._layer_rates.reshape([-1] + [1] * len(axes))
        if self._var_key(variable) in self._unadapted:
            return tf.constant(rates)
        norms, direction_norms = (
            tf.sqrt(tf.reduce_sum(tf.square(x), axes, keepdims=True))
            for x in (tf.convert_to_tensor(variable), direction)
        )
        ratios = tf.math.divide_no_nan(norms, direction_norms)
        return rates * tf.where(ratios > 0, self.trust_coefficient * ratios, 1.0)
