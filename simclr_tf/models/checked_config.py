"""Copying of a network's config from elsewhere, with nothing in it that could run.

Keras finds classes and functions by the names in a config, wherever they are, and calls
layers while it builds the network. So the config of a stranger is copied before: the
copy has only layers, initializers, regularizers, constraints and activations of the
closed lists, and classes that were registered in this process; modules are filled in
here, never taken from the file. Layers are called on outputs of layers.
"""

import re

from simclr_tf._keras import KERAS_PACKAGES, keras
from simclr_tf.errors import DataError
from simclr_tf.limits import (
    LONGEST_TEXT,
    MOST_CALLS,
    MOST_LAYERS,
    is_number,
)
from simclr_tf.models.closed_lists import (
    ACTIVATION_LAYERS,
    ACTIVATIONS,
    LAYERS,
    OPERATIONS,
    VALUES,
    registered_class,
)
from simclr_tf.models.graph_calls import Calls

_NETWORKS = ("Functional", "Model")
_LAYER_OPTIONS = ("layer", "backward_layer", "cell")
_OBJECT_KEYS = {"class_name", "module", "registered_name"}


def checked_network(entry):
    """Copy the config of a network, with nothing in it but what is on the lists.

    Args:
      entry: anything; a dict with "class_name" and "config" from anyone's file.

    Returns:
      dict, to be built by Keras.

    Raises:
      DataError: something else is in it; the text has no subject: "its class ...".
    """
    copy = ConfigCopy(LAYERS, registered_class, nested=True)
    kind = entry.get("class_name") if isinstance(entry, dict) else None
    if kind not in (*_NETWORKS, "Sequential") and copy.own_class(entry) is None:
        raise DataError("it describes no network of layers")
    return copy.layer(entry)


def checked_graph(config, layers, registered):
    """Copy the config of a graph of layers without nested networks and operations.

    Args:
      config: anything; the config of a functional network from anyone's file.
      layers: names of Keras's layers that it may hold.
      registered: names of the registered classes that it may hold.

    Returns:
      dict, for `keras.Model.from_config`.

    Raises:
      DataError: as `checked_network`.
    """
    if not isinstance(config, dict):
        raise DataError("it describes no network of layers")
    known = {name: registered_class(name) for name in registered}
    return ConfigCopy(layers, known.get, nested=False).functional(config)


class ConfigCopy:
    """Copying of one config; counts its layers and calls."""

    activations = ACTIVATIONS

    def __init__(self, layers, registered, nested):
        self.layers, self.registered, self.nested = layers, registered, nested
        self.count = 0  # Of layers.
        self.cost = 0  # Of inputs of calls, as often as Keras will make them.

    def own_class(self, entry):
        """Return the registered class that an entry names, or None."""
        if not isinstance(entry, dict):
            return None
        name = entry.get("registered_name") or entry.get("class_name")
        return self.registered(name) if isinstance(name, str) else None

    def layer(self, entry, calls=None):
        """Copy the entry of one layer or network."""
        if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
            if not (
                isinstance(entry, dict) and entry.get("class_name") == "Sequential"
            ):
                raise DataError("it has a layer without a config")
        self.count += 1
        if self.count > MOST_LAYERS:
            raise DataError(f"it has more than {MOST_LAYERS} layers")
        kind, config, own = entry.get("class_name"), entry["config"], None
        before, self.cost = self.cost, 1
        if self.nested and kind in _NETWORKS and not self.own_class(entry):
            made = made_entry("keras", "Model", self.functional(config))
        elif self.nested and kind == "Sequential" and not self.own_class(entry):
            made = made_entry("keras", kind, self.sequential(config))
        elif (own := self.own_class(entry)) is not None:
            if not issubclass(own, keras.layers.Layer):
                raise DataError(f"its class {shown(kind)} is no layer")
            made = self.registered_entry(entry, own)
        elif not is_of_keras(entry):
            raise DataError(self.refusal(entry))
        elif self.nested and kind == "TFOpLambda":
            made = made_entry("keras.layers", kind, self.operation(config))
        elif isinstance(kind, str) and kind in self.layers:
            made = made_entry("keras.layers", kind, self.options(config))
        else:
            raise DataError(self.refusal(entry))
        if isinstance(entry.get("shared_object_id"), int):
            made["shared_object_id"] = entry["shared_object_id"]
        if isinstance(entry.get("build_config"), dict):
            build = self.data(entry["build_config"])
            if own is None:
                build = {key: build[key] for key in ("input_shape",) if key in build}
            made["build_config"] = build
        if calls is not None:
            made.update(calls.of(entry, is_operation=kind == "TFOpLambda" and not own))
            self.cost *= max(1, calls.count_inputs(entry["name"]))
        self.cost += before
        if self.cost > MOST_CALLS:
            raise DataError(f"it calls its layers with more than {MOST_CALLS} inputs")
        return made

    def functional(self, config):
        """Copy the config of a graph of layers."""
        entries = config.get("layers")
        if not isinstance(entries, list) or len(entries) > MOST_LAYERS:
            raise DataError("it has a network without a list of layers")
        calls = Calls(entries, self.data)
        copied = [self.layer(entry, calls) for entry in entries]
        calls.check_order()
        return {
            "name": network_name(config),
            "trainable": config.get("trainable", True) is not False,
            "layers": copied,
            "input_layers": calls.ends(config.get("input_layers")),
            "output_layers": calls.ends(config.get("output_layers")),
        }

    def sequential(self, config):
        """Copy the config of a stack of layers; Keras has written lists, too."""
        entries = config.get("layers") if isinstance(config, dict) else config
        if not isinstance(entries, list) or not entries:
            raise DataError("it has a network without a list of layers")
        copied = [self.layer(entry) for entry in entries]
        if isinstance(config, list):
            return {"name": "sequential", "layers": copied}
        others = {key: config[key] for key in ("build_input_shape",) if key in config}
        return {"name": network_name(config), **self.data(others), "layers": copied}

    def operation(self, config):
        """Copy the config of arithmetic on outputs of layers."""
        function = config.get("function")
        if not isinstance(function, str) or function not in OPERATIONS:
            raise DataError(
                f"its operation {shown(function)} is no arithmetic. "
                "Only its maker can save it without one"
            )
        others = {key: value for key, value in config.items() if key != "function"}
        return {**self.options(others), "function": function}

    def registered_entry(self, entry, own):
        """Copy an object of a class that was registered in this process."""
        config, name = entry["config"], keras.utils.get_registered_name(own)
        asked = entry.get("registered_name") or entry["class_name"]
        if entry["class_name"] not in (asked, own.__name__, name.split(">")[-1]):
            raise DataError(self.refusal(entry))
        if self.registered(name) is not own:  # It stands under another in a scope.
            name = asked
        is_graph = {"layers", "input_layers", "output_layers"} <= set(config)
        graph = self.functional(config) if is_graph else {}
        # What the class itself checks before it builds anything.
        checked = {
            key: config[key]
            for key in getattr(own, "checked_in_from_config", ())
            if key in config
        }
        graph = {**graph, **checked}
        others = {key: value for key, value in config.items() if key not in graph}
        made = made_entry(None, name, {**self.data(others), **graph})
        return {**made, "registered_name": name}

    def options(self, config):
        """Copy the options of one of Keras's layers."""
        made = {}
        for key, value in config.items():
            kind = key.rpartition("_")[2]
            if value is None:
                made[key] = None
            elif key in _LAYER_OPTIONS:
                made[key] = self.layer(value)
            elif key == "cells" and isinstance(value, list):
                made[key] = [self.layer(cell) for cell in value]
            elif kind == "activation":
                made[key] = self.activation(value)
            elif kind in VALUES and not (key == "dtype" and isinstance(value, str)):
                made[key] = self.value(value, *VALUES[kind])
            else:
                made[key] = self.data(value)
        return made

    def value(self, value, module, names):
        """Copy an initializer, a regularizer, a constraint or a policy."""
        if isinstance(value, str):
            if value in names:
                return value
        elif isinstance(value, dict) and isinstance(
            value.get("config"), (dict, type(None))
        ):
            config, own = value.get("config") or {}, self.own_class(value)
            if own is not None:
                return self.registered_entry({**value, "config": config}, own)
            kind = value.get("class_name")
            if isinstance(kind, str) and kind in names and is_of_keras(value):
                return made_entry(module, kind, self.data(config))
        raise DataError(self.refusal(value))

    def activation(self, value):
        if isinstance(value, dict) and value.get("class_name") == "function":
            function = value.get("config")
            if value.get("module") == "builtins" and function in self.activations:
                return function
        elif isinstance(value, dict):
            if value.get("class_name") in ACTIVATION_LAYERS or self.own_class(value):
                return self.layer(value)
        elif isinstance(value, str) and value in self.activations:
            return value
        raise DataError(self.refusal(value))

    def refusal(self, value):
        """Return why a class or function is refused, and what its owner can do."""
        if isinstance(value, str):
            return f"it names the function {shown(value)}, which is not on the list"
        if not isinstance(value, dict):
            return f"it holds {shown(value)} where Keras writes a name"
        kind = value.get("class_name")
        if self.nested and kind in ("Lambda", "__lambda__"):
            return (
                "it holds Python code, of a Lambda layer, which would run. Only its "
                "maker can save it without one"
            )
        name = ".".join(shown(part) for part in (value.get("module"), kind) if part)
        return f"it names {name}, which is not on the list of layers that are only " + (
            "data, nor registered. If it is yours, import it before, with "
            "`@keras.utils.register_keras_serializable()`"
            if self.nested
            else "data"
        )

    def data(self, value):
        """Copy numbers, texts, and lists and dicts of them; objects too."""
        if value is None or isinstance(value, bool) or is_number(value):
            return value
        if isinstance(value, str) and len(value) <= LONGEST_TEXT:
            return value
        if isinstance(value, list):
            return [self.data(inner) for inner in value]
        if isinstance(value, dict):
            if not _OBJECT_KEYS & set(value):
                self.data(list(value))
                return {key: self.data(inner) for key, inner in value.items()}
            return self.object(value)
        raise DataError(f"it holds {shown(value)}, which is no usable value")

    def object(self, value):
        """Copy an object of any kind, where a registered class may hold one."""
        kind = value.get("class_name")
        if kind in ("__tensor__", "__numpy__"):
            config = value.get("config")
            config = config if isinstance(config, dict) else {}
            dtype = config.get("dtype")
            if dtype in ("float16", "float32", "float64", "int32", "int64", "bool"):
                array = {"value": self.data(config.get("value")), "dtype": dtype}
                return {"class_name": kind, "config": array}
        elif kind in ("__tuple__", "TensorShape"):
            return {"class_name": kind, "items": self.data(value.get("items"))}
        elif kind == "function":
            return self.activation(value)
        elif self.own_class(value) is not None:
            config = value.get("config")
            config = config if isinstance(config, dict) else {}
            return self.registered_entry(
                {**value, "config": config}, self.own_class(value)
            )
        else:
            for module, names in VALUES.values():
                if isinstance(kind, str) and kind in names:
                    return self.value(value, module, names)
            return self.layer(value)
        raise DataError(self.refusal(value))


def made_entry(module, kind, config):
    """Return the entry of an object of Keras's own."""
    return {
        "module": module,
        "class_name": kind,
        "config": config,
        "registered_name": None,
    }


def is_of_keras(entry):
    """Tell whether an entry claims to be a class of Keras's own."""
    module, registered = entry.get("module"), entry.get("registered_name")
    package = module.split(".")[0] if isinstance(module, str) else module
    return package in (None, *KERAS_PACKAGES) and registered in (
        None,
        entry.get("class_name"),
    )


def network_name(config):
    """Return the name of a network; None lets Keras choose one."""
    name = config.get("name")
    if name is not None and not (isinstance(name, str) and len(name) <= LONGEST_TEXT):
        raise DataError(f"it has a network with the name {shown(name)}")
    return name if name is None else _scope_name(name)


def _scope_name(name):
    """Replace what TensorFlow refuses in the name of a scope; nothing is found by it.

    Example:
      >>> _scope_name("my net"), _scope_name("/dev/zero"), _scope_name("conv2d_1")
      ('my_net', 'n/dev/zero', 'conv2d_1')
    """
    name = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name)
    return name if re.match("[A-Za-z0-9.]", name) else f"n{name}"


def shown(value):
    """Return what a stranger wrote, in a form that is safe to print."""
    text = value if isinstance(value, str) else repr(value)
    is_plain = all(part.isidentifier() for part in text.split(".")) and len(text) < 80
    return text if is_plain else repr(text[:80])
