"""A network of Keras 3 as a layer of the Keras 2 API.

From TensorFlow 2.16 on, the package `keras` is Keras 3. The layer calls the user's own
network; its variables are TensorFlow variables, which the layer lists, so
that they are trained, saved, restored and undone like all others.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tensorflow as tf

from simclr_tf._keras import is_of_keras3, keras, keras3
from simclr_tf.array_types import Array, Model, Tensor, TensorLike, Variable
from simclr_tf.distribution import num_replicas
from simclr_tf.errors import ConfigError, DataError, received_text, require
from simclr_tf.limits import parse_json
from simclr_tf.models.checked_keras3 import checked_keras3

_NORMALIZATIONS = (
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
)
# The users' classes in networks that this process has wrapped, by their names in
# configs; their networks are copied with them, as if they were registered.
_KNOWN: dict[str, type] = {}


class _Hidden:
    """A holder in which Keras 2 does not look for layers and variables."""

    def __init__(self, content):
        self.content = content


@keras.utils.register_keras_serializable("simclr_tf")
class Keras3Network(keras.layers.Layer):
    """Call a network of Keras 3, and list its variables.

    Batch norm, dropout and the regularizers of the network act as in Keras 3. The
    layer shares the network's variables: training the layer trains the network. While
    the layer is frozen, the network computes as in inference.

    Args:
      network: keras.Model of Keras 3, built, images `[N, H, W, C]` to `[N, F]` or
        `[N, H, W, F]`.
      image_shape: (H, W, C), None for free sides; the shape that it was built for.
      synchronized: bool, batch norm over all replicas; changes the network's layers.
      name: str, of the layer.
    """

    checked_in_from_config = ("network",)  # Read by `checked_config.py`.

    def __init__(
        self,
        network: Any,
        image_shape: tuple[int | None, ...],
        synchronized: bool = False,
        name: str | None = None,
        trainable: bool = True,
        dtype: str = "float32",
    ) -> None:
        super().__init__(name=name or network.name, trainable=trainable, dtype=dtype)
        self._hidden = _Hidden(network)
        self._image_shape = tuple(image_shape)
        self.synchronized = synchronized
        if synchronized and num_replicas() > 1:
            for layer in batch_norms(network):
                layer.synchronized = True
        # In the network's order: names hold counters of the process.
        self.state = [variable.value for variable in network.variables]
        for variable in network.trainable_variables:
            if variable.regularizer is not None:
                self.add_loss(_Penalty(variable))
        _KNOWN.update(_own_classes(network))
        self.built = True

    @property
    def network(self) -> Any:
        """keras.Model of Keras 3: the user's own object, or a copy of it."""
        return self._hidden.content

    @tf.autograph.experimental.do_not_convert
    def call(self, images: TensorLike, training: bool | None = None) -> Tensor:
        """Call the network on images; it is Keras 3 that casts them."""
        outputs = self.network(images, training=bool(training and self.trainable))
        count = sum(
            variable.regularizer is not None
            for variable in self.network.trainable_variables
        )
        losses = self.network.losses  # Penalties of weights are the last ones.
        for loss in losses[: len(losses) - count]:
            self.add_loss(loss)
        return outputs

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that Keras 3 would train."""
        if not self.trainable:
            return []
        return [variable.value for variable in self.network.trainable_variables]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """All others: moving statistics, seeds, frozen layers."""
        trained = {id(variable) for variable in self.trainable_weights}
        return [variable for variable in self.state if id(variable) not in trained]

    @property
    def roles_of_variables(self) -> list[tuple[Variable, str]]:
        """The variables that neither decay nor adapt: [(variable, role)]."""
        found = []
        for layer in _layers_of(self.network):
            if _is_normalization(layer):
                found += [(v.value, "normalization") for v in layer.variables]
            elif hasattr(getattr(layer, "bias", None), "value"):
                found.append((layer.bias.value, "bias"))
        return found

    @property
    def random_layers(self) -> list[str]:
        """Names of layers that draw random numbers in training."""
        return [
            layer.name for layer in _layers_of(self.network) if layer._seed_generators
        ]

    def get_config(self) -> dict[str, Any]:
        """Describe the network by its own config, which is data.

        Raises:
          ConfigError: the network cannot be rebuilt from its config.
        """
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": "float32",
            "network": network_config(self.network),
            "image_shape": list(self._image_shape),
            "synchronized": self.synchronized,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Keras3Network:
        """Build the network anew; its config may be from anyone."""
        config = dict(config)
        shape = _checked_shape(config.pop("image_shape", None))
        network = network_from_config(config.pop("network", None), shape)
        return cls(network, shape, **config)

    def save_own_variables(self, store: Any) -> None:
        """Save the variables by their order: names hold counters of the process."""
        for index, variable in enumerate(self.state):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Load what `save_own_variables` saved."""
        if len(store) != len(self.state):
            raise ValueError(f"{self.name} has {len(self.state)} variables")
        for index, variable in enumerate(self.state):
            variable.assign(store[str(index)])


class _Penalty:
    """The regularizer of one variable, computed when Keras 2 asks for it."""

    def __init__(self, variable):
        self._variable = variable

    def __call__(self):
        return self._variable.regularizer(self._variable)


def keras3_encoder(network: Any, image_shape: tuple[int | None, ...]) -> Model:
    """Put a network of Keras 3 into a model of the Keras 2 API.

    Args:
      network: keras.Model of Keras 3; it is built if it is not yet.
      image_shape: (H, W, C) of the images, for networks without an input shape of
        their own; H and W may be None.

    Returns:
      keras.Model of the Keras 2 API with one layer, `Keras3Network`; it shares the
      network's variables.

    Raises:
      ConfigError: another backend than TensorFlow, or the network cannot be called on
        such images.
    """
    backend = keras3().config.backend()
    require(
        backend == "tensorflow",
        "A network of Keras 3 is trained as it is on Keras's TensorFlow backend only: "
        "start Python with KERAS_BACKEND=tensorflow.",
        backend=backend,
    )
    policies = sorted(
        {
            layer.dtype_policy.name
            for layer in _layers_of(network)
            if layer.dtype_policy.name.endswith("float16")
            and not layer.dtype_policy.name.endswith("bfloat16")
        }
    )
    require(
        not policies,
        "float16 needs loss scaling, which is not done here: build the network with "
        "the policy mixed_bfloat16 or float32.",
        encoder=network.name,
        policy=", ".join(policies),
    )
    shape = _build(network, image_shape)
    images = keras.Input(shape, name="images")
    layer = Keras3Network(network, shape, name=_layer_name(network))
    return keras.Model(images, layer(images), name=network.name)


def network_of(encoder: Model) -> Keras3Network | None:
    """Return the layer with the Keras 3 network of an encoder, or None."""
    for layer in getattr(encoder, "layers", ()):
        if isinstance(layer, Keras3Network):
            return layer
    return None


def network_config(network: Any) -> dict[str, Any]:
    """Return the config of a network of Keras 3, as plain JSON data.

    Raises:
      ConfigError: it holds something else than data, or cannot be rebuilt from it.
    """
    try:
        config = keras3().saving.serialize_keras_object(network)
        config = parse_json(json.dumps({**config, "compile_config": None}))
        return checked_keras3(config, known_classes(), keras3().Operation)
    except (DataError, NotImplementedError, TypeError, ValueError) as error:
        raise ConfigError(
            "The network cannot be rebuilt from its config: give its classes a "
            "`get_config` that holds all arguments, and no functions. "
            f"{' '.join(str(error).split())[:200]} "
            + received_text(encoder=network.name)
        ) from error


def network_from_config(config: Any, image_shape: tuple[int | None, ...]) -> Any:
    """Build a network of Keras 3 from a config of anyone, with new weights.

    Args:
      config: anything; a dict of `network_config`.
      image_shape: (H, W, C), for networks that are built when they are called.

    Returns:
      keras.Model of Keras 3, built.

    Raises:
      DataError: something else is in it than layers and data.
    """
    module = keras3()
    if module is None:
        raise DataError(
            "it holds a network of Keras 3, which needs TensorFlow 2.16 or later"
        )
    known = known_classes()
    checked = checked_keras3(config, known, module.Operation)
    try:
        network = module.saving.deserialize_keras_object(
            checked, custom_objects=known, safe_mode=True
        )
        if not isinstance(network, module.Model):
            raise DataError("it describes no network of layers")
        _build(network, image_shape)
    except DataError:
        raise
    except Exception as error:  # Whatever Keras does with a damaged network.
        # Keras shows the whole config first, and then what was wrong.
        reason = " ".join(str(error).split())[-200:] or type(error).__name__
        raise DataError(f"its network cannot be rebuilt: {reason}") from error
    return network


def check_rebuilt(layer: Keras3Network) -> None:
    """Make sure that a network's config describes all of it.

    Keras 3 leaves out arguments that it cannot write, such as functions. So the network
    is rebuilt, and computes the features of noise.

    Args:
      layer: Keras3Network.

    Raises:
      ConfigError: the rebuilt network differs.
    """
    config = {**layer.get_config(), "synchronized": False}
    try:
        copy = Keras3Network.from_config(config)
    except DataError as error:
        raise ConfigError(f"The encoder {layer.name} cannot be copied: {error}.") from (
            error
        )
    shape = [side or 64 for side in config["image_shape"]]
    images = tf.random.stateless_uniform([2, *shape], [1, 2])
    same = [v.shape for v in copy.state] == [v.shape for v in layer.state]
    if same:
        set_network_weights(copy.network, [v.numpy() for v in layer.state])
        one, two = (np.asarray(net(images, training=False)) for net in (layer, copy))
        same = one.shape == two.shape and np.allclose(one, two, 1e-3, 1e-3)
    require(
        same,
        "The network cannot be rebuilt from its config, which leaves something out: "
        "give its classes a `get_config` that holds all arguments, and no functions.",
        encoder=layer.name,
    )


def batch_norms(network: Any) -> list[Any]:
    """List the batch norms inside a network of Keras 3."""
    return [
        layer
        for layer in _layers_of(network)
        if isinstance(layer, keras3().layers.BatchNormalization)
    ]


def set_network_weights(network: Any, values: list[Array]) -> None:
    """Give a network of Keras 3 the values of all its variables, seeds too."""
    for variable, value in zip(network.variables, values, strict=True):
        variable.assign(value)


def _build(network, image_shape):
    """Build the network; return the shape (H, W, C) of its images."""
    shape = getattr(network, "input_shape", None) if network.built else None
    if isinstance(shape, tuple) and len(shape) == 4 and shape[-1] is not None:
        image_shape = shape[1:]  # Its own.
    images = keras3().KerasTensor((None, *image_shape))
    try:
        network(images)  # Symbolic: makes the variables, computes nothing.
    except Exception as error:
        # Any error of the user's `call`, which Keras spreads over many lines.
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"The encoder could not be called on images {tuple(image_shape)} (height, "
            f"width, channels). {type(error).__name__}: {reason} "
            + received_text(encoder=network.name)
        ) from error
    return tuple(image_shape)


def _layer_name(network):
    """Return the network's name, without what TensorFlow refuses in a scope."""
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in network.name)


def _layers_of(network):
    return network._flatten_layers()


def _is_normalization(layer):
    return any(kind.__name__ in _NORMALIZATIONS for kind in type(layer).__mro__)


def _own_classes(network):
    """Return the users' classes in a network, by their names in configs."""
    saving = keras3().saving
    kinds = {type(part) for part in _layers_of(network)}
    kinds |= {type(part) for part in getattr(network, "operations", ())}
    return {
        saving.get_registered_name(kind): kind
        for kind in kinds
        if kind.__module__.split(".")[0] != "keras"
    }


def known_classes() -> dict[str, type]:
    """Return the users' classes of Keras 3 in this process, by their names in configs.

    They are those registered with Keras 3, and those in networks that were trained.
    """
    registered = keras3().saving.get_custom_objects()
    return {
        **_KNOWN,
        **{name: kind for name, kind in registered.items() if isinstance(kind, type)},
    }


def _checked_shape(shape):
    is_shape = isinstance(shape, (list, tuple)) and len(shape) == 3
    if not is_shape or not all(n is None or type(n) is int for n in shape):
        raise DataError("it has a network without the shape of its images")
    return tuple(shape)


def is_keras3_network(value: Any) -> bool:
    """Tell whether a value is a model of Keras 3."""
    return is_of_keras3(value) and isinstance(value, keras3().Model)
