"""Copying of a Keras 3 network's config, with nothing in it that could run.

As `checked_config.py` does for the Keras 2 API, and with its lists. Keras 3 writes
calls in another form, and the arithmetic between layers as operations of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from simclr_tf.errors import DataError
from simclr_tf.limits import LONGEST_TEXT, MOST_CALLS, MOST_LAYERS, is_number
from simclr_tf.models.checked_config import (
    ConfigCopy,
    is_of_keras,
    made_entry,
    network_name,
    shown,
)
from simclr_tf.models.closed_lists import ACTIVATIONS, LAYERS

_NETWORKS = ("Functional", "Model")
_ACTIVATIONS = frozenset(
    """
    celu glu hard_shrink hard_silu hard_swish hard_tanh leaky_relu log_sigmoid
    soft_shrink sparse_plus sparsemax squareplus tanh_shrink threshold
    """.split()
)
_LAYERS = LAYERS | {"RMSNormalization"}
# Layers of Keras's own networks, which have no public name, and their modules.
_OF_APPLICATIONS = {
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
}
# Operations on outputs of layers and numbers; none has a function among its options.
_OPERATIONS = {
    "keras.src.ops.numpy": frozenset(
        """
        Absolute Add Clip Concatenate Divide Exp ExpandDims Flip Log Max Maximum Mean
        Min Minimum Moveaxis Multiply Negative Power Reshape Sqrt Square Squeeze Stack
        Subtract Sum Swapaxes Tanh Transpose TrueDivide
        """.split()
    ),
    "keras.src.ops.nn": frozenset(
        """
        AveragePool Elu Gelu HardSigmoid LeakyRelu LogSoftmax MaxPool Relu Relu6 Selu
        Sigmoid Silu Softmax Softplus Softsign
        """.split()
    ),
}
_POLICIES = frozenset({"float32", "mixed_bfloat16", "bfloat16", "float64"})
_OF_EVERY_LAYER = ("name", "trainable", "dtype")
_MOST_PASSES = 5  # Keras goes through a network until all calls are made.


def checked_keras3(entry: Any, known: Mapping[str, type], kind: type) -> dict[str, Any]:
    """Copy the config of a Keras 3 network, with nothing but what is on the lists.

    Args:
      entry: anything; what `keras.saving.serialize_keras_object` makes of a network,
        from anyone's file.
      known: dict of name to class, the users' classes of this process.
      kind: class of Keras 3 that every layer and operation has.

    Returns:
      dict, to be built by Keras 3.

    Raises:
      DataError: something else is in it; the text has no subject: "its class ...".
    """
    copy = CopyOfKeras3(known, kind)
    name = entry.get("class_name") if isinstance(entry, dict) else None
    if name not in (*_NETWORKS, "Sequential") and copy.own_class(entry) is None:
        raise DataError("it describes no network of layers")
    return copy.layer(entry)


class CopyOfKeras3(ConfigCopy):
    """Copying of one config; counts its layers and calls.

    Args:
      known, kind: as for `checked_keras3`.
    """

    activations = ACTIVATIONS | _ACTIVATIONS

    def __init__(self, known, kind):
        super().__init__(_LAYERS, known.get, nested=True)
        self._known, self._kind = known, kind

    def layer(self, entry, calls=None):
        """Copy the entry of one layer, operation or network."""
        if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
            raise DataError("it has a layer without a config")
        self.count += 1
        if self.count > MOST_LAYERS:
            raise DataError(f"it has more than {MOST_LAYERS} layers")
        before, self.cost = self.cost, 1
        made = self._layer_of_kind(entry, entry.get("class_name"), entry["config"])
        build = entry.get("build_config")
        if isinstance(build, dict) and self.own_class(entry) is None:
            made["build_config"] = self.data(build)
        if calls is not None:
            made.update(calls)
            self.cost *= max(1, len(calls["inbound_nodes"]))
        self.cost += before
        if self.cost > MOST_CALLS:
            raise DataError(f"it calls its layers more than {MOST_CALLS} times")
        return made

    def _layer_of_kind(self, entry, kind, config):
        own = self.own_class(entry)
        if own is not None:
            if not issubclass(own, self._kind):
                raise DataError(f"its class {shown(kind)} is no layer")
            return self.registered_entry(entry, own)
        if not isinstance(kind, str) or not is_of_keras(entry):
            raise DataError(self.refusal(entry))
        if kind in _NETWORKS:
            return made_entry("keras", "Model", self.functional(config))
        if kind == "Sequential":
            return made_entry("keras", kind, self.sequential(config))
        module = entry.get("module")
        if kind in _OPERATIONS.get(module, ()):
            return made_entry(module, kind, self.data(config))
        if kind in _OF_APPLICATIONS and module == _OF_APPLICATIONS[kind]:
            return made_entry(module, kind, self.options(config))
        if kind in self.layers:
            return made_entry("keras.layers", kind, self.options(config))
        raise DataError(self.refusal(entry))

    def registered_entry(self, entry, own):
        """Copy an object of a class that this process has."""
        name = next(n for n, found in self._known.items() if found is own)
        config = _accepted(own, entry["config"])
        is_graph = {"layers", "input_layers", "output_layers"} <= set(config)
        graph = self.functional(config) if is_graph else {}
        others = {key: value for key, value in config.items() if key not in graph}
        made = made_entry(None, own.__name__, {**self.data(others), **graph})
        return {**made, "registered_name": name}

    def functional(self, config):
        """Copy the config of a graph of layers."""
        entries = config.get("layers")
        if not isinstance(entries, list) or len(entries) > MOST_LAYERS:
            raise DataError("it has a network without a list of layers")
        calls = _calls_of(entries, self.data)
        copied = [
            self.layer(entry, {"name": entry["name"], "inbound_nodes": nodes})
            for entry, (nodes, _) in zip(entries, calls, strict=True)
        ]
        names = {entry["name"] for entry in entries}
        _check_order(entries, [needs for _, needs in calls])
        return {
            "name": network_name(config),
            "trainable": config.get("trainable", True) is not False,
            "layers": copied,
            **{
                end: _ends(config.get(end), names)
                for end in ("input_layers", "output_layers")
            },
        }

    def value(self, value, module, names):
        """Copy an initializer, a regularizer, a constraint or a policy."""
        if module != "keras.mixed_precision":
            return super().value(value, module, names)
        config = value.get("config") if isinstance(value, dict) else None
        name = config.get("name") if isinstance(config, dict) else None
        if value.get("class_name") != "DTypePolicy" or name not in _POLICIES:
            raise DataError(f"it computes in {shown(name)}, which is not on the list")
        return made_entry("keras", "DTypePolicy", {"name": name})

    def object(self, value):
        """Copy an object where a user's class may hold one."""
        if value.get("class_name") == "DTypePolicy":
            return self.value(value, "keras.mixed_precision", ())
        return super().object(value)


def _accepted(kind, config):
    """Leave out what Keras 3 writes for every layer, if the class does not take it."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return config
    taken = {parameter.name for parameter in parameters}
    return {k: v for k, v in config.items() if k in taken or k not in _OF_EVERY_LAYER}


def _calls_of(entries, data):
    """Copy the calls of each layer: [(its calls, the names that each call needs)]."""
    names = set()
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_TEXT:
            raise DataError("it has a layer without a name, or with an endless one")
        if name in names:
            raise DataError(f"it has two layers called {name[:80]!r}")
        names.add(name)
    calls = []
    for entry in entries:
        nodes = entry.get("inbound_nodes")
        if not isinstance(nodes, list) or not all(isinstance(n, dict) for n in nodes):
            raise DataError(f"its layer {entry['name'][:80]!r} has no list of calls")
        copied, needed = [], []
        for node in nodes:
            needs = set()
            copied.append(
                {
                    "args": _argument(node.get("args", []), names, needs, data),
                    "kwargs": _argument(node.get("kwargs", {}), names, needs, data),
                }
            )
            if not needs:
                raise DataError(
                    f"its layer {entry['name'][:80]!r} is called on constants"
                )
            needed.append(needs)
        calls.append((copied, needed))
    return calls


def _argument(value, names, needs, data):
    """Copy an argument of a call: outputs of layers, plain values, and structures."""
    if isinstance(value, list):
        return [_argument(inner, names, needs, data) for inner in value]
    if not isinstance(value, dict):
        return data(value)
    if "class_name" not in value:
        return {
            data(key): _argument(inner, names, needs, data)
            for key, inner in value.items()
        }
    config = value.get("config")
    history = config.get("keras_history") if isinstance(config, dict) else None
    if value["class_name"] != "__keras_tensor__" or not _is_reference(history, names):
        raise DataError("it has a layer that is called on something else than outputs")
    needs.add(history[0])
    return {
        "class_name": "__keras_tensor__",
        "config": {
            "shape": _plain_shape(config.get("shape")),
            "dtype": data(config.get("dtype")),
            "keras_history": history,
        },
    }


def _plain_shape(shape):
    if not isinstance(shape, list) or len(shape) > 8:
        raise DataError("it has an output without a shape")
    if not all(side is None or (is_number(side) and side >= 0) for side in shape):
        raise DataError("it has an output without a shape")
    return list(shape)


def _is_reference(value, names):
    """Tell whether a value is [layer, call, output] of the network."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and value[0] in names
        and all(
            type(number) is int and 0 <= number < MOST_CALLS for number in value[1:]
        )
    )


def _ends(value, names):
    """Copy the inputs or outputs of a network: references, in any structure."""
    if _is_reference(value, names):
        return list(value)
    if isinstance(value, list) and value:
        return [_ends(inner, names) for inner in value]
    if isinstance(value, dict) and value:
        return {key: _ends(inner, names) for key, inner in value.items()}
    raise DataError("it has a network without inputs or outputs")


def _check_order(entries, needed):
    """Raise DataError unless all calls can be made, in few passes over the layers."""
    sources = {entry["name"] for entry in entries if not entry["inbound_nodes"]}
    waiting = {
        entry["name"]: list(needs)
        for entry, needs in zip(entries, needed, strict=True)
        if needs
    }
    for _ in range(_MOST_PASSES):
        for name, calls in list(waiting.items()):
            while calls and calls[0] <= sources:
                calls.pop(0)
                sources.add(name)
            if not calls:
                del waiting[name]
        if not waiting:
            return
    name = next(iter(waiting))
    raise DataError(f"its layer {name[:80]!r} waits for an output for ever")
