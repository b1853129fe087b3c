"""Rewriting of Keras networks into layers that every export format supports.

The networks of `keras.applications` contain nested models, operations of TensorFlow and
private layers. The rewriting works on the config of the network, which is plain data.
"""

import dataclasses
import itertools
import re

import numpy as np

from simclr_tf._keras import keras
from simclr_tf.models.fresh_copy import reseeded
from simclr_tf.models.initializers import ENCODER_STREAM, kernel_seed
from simclr_tf.models.synchronized_batch_norm import SynchronizedBatchNormalization

_RANDOM = ("Dropout", "SpatialDropout2D", "StochasticDepth")
_TWO_TENSORS = {"add": "Add", "multiply": "Multiply", "subtract": "Subtract"}
_STRIDED = (
    "Conv2D",
    "DepthwiseConv2D",
    "SeparableConv2D",
    "MaxPooling2D",
    "AveragePooling2D",
)


@dataclasses.dataclass
class _Node:
    """One layer and its call.

    Attributes:
      name: str, of the layer.
      entry: dict, the layer in a config: module, class_name, config, registered_name.
      call: list, the config of its inputs; references are [layer, node, tensor].
      origin: str or None, layer of the original network with its weights.
    """

    name: str
    entry: dict
    call: list
    origin: str | None = None

    @property
    def kind(self):
        return self.entry["class_name"]

    @property
    def options(self):
        return self.entry["config"]


def plain_network(
    network, *, scaling, momentum, seed, synchronized, keep_weights, name
):
    """Rewrite a network: plain layers, scaled input, marked stages, pooled output.

    A stage ends at the last single tensor of a resolution that all later layers depend
    on; layers `stage1`, `stage2`, ... mark the ends, and `final_avg_pool` is the mean
    over the last maps.

    Args:
      network: keras.Model from images to maps, each of whose layers is called once.
      scaling: for each channel of its input, (channel of the image, scale, offset).
      momentum: float, decay of the moving statistics.
      seed: int or None, of the initial values.
      synchronized: bool, batch norm over all replicas.
      keep_weights: bool, copy the weights of `network`.
      name: str, of the result.

    Returns:
      keras.Model: images `[N, H, W, 3]` in [0, 1] to float32 features `[N, F]`.
    """
    nodes = _nodes_of(network.get_config())
    kinds = {node.kind for node in nodes}
    nodes = _renamed(_replaced(nodes, network), kinds)
    nodes = _with_stages(_with_scaling(nodes, scaling))
    nodes.append(
        _node(
            "GlobalAveragePooling2D",
            "final_avg_pool",
            [nodes[-1].name],
            dtype="float32",
        )
    )
    for node in nodes:
        if node.kind == "BatchNormalization":
            node.options["momentum"] = momentum
            if synchronized:
                own = keras.saving.get_registered_name(SynchronizedBatchNormalization)
                node.entry.update(
                    module=None,
                    class_name=own.split(">")[-1],
                    registered_name=own,
                )
    seeds = (kernel_seed(seed, place, ENCODER_STREAM) for place in itertools.count())
    plain = keras.Model.from_config(reseeded(_config_of(nodes, name), seeds))
    if keep_weights:
        originals = {layer.name: layer for layer in _all_layers(network)}
        for node in nodes:
            if node.origin is not None:
                weights = originals[node.origin].get_weights()
                plain.get_layer(node.name).set_weights(weights)
    return plain


def _all_layers(network):
    """Yield layers, those of nested networks included."""
    for layer in network.layers:
        yield from _all_layers(layer) if hasattr(layer, "layers") else [layer]


def _nodes_of(config):
    """Return the layers of a config in forward order, nested ones too."""
    nodes, ends = [], {}
    for entry in config["layers"]:
        call = entry["inbound_nodes"][0] if entry["inbound_nodes"] else []
        call = _with_names(call, ends)
        if entry["class_name"] != "Sequential":
            nodes.append(_Node(entry["name"], dict(entry), call, entry["name"]))
            continue
        for inner in entry["config"]["layers"]:
            if inner["class_name"] != "InputLayer":
                name = inner["config"]["name"]
                nodes.append(_Node(name, dict(inner), call, name))
                call = _call([name])
        ends[entry["name"]] = nodes[-1].name
    return nodes


def _replaced(nodes, network):
    """Replace nodes by plain layers; leave out random layers."""
    layers = {layer.name: layer for layer in network.layers}
    done, ends = [], {}
    for node in nodes:
        node.call = _with_names(node.call, ends)
        if node.kind in _RANDOM:
            ends[node.name] = _inputs(node.call)[0]
            continue
        if node.kind == "Normalization":
            scale, offset = _fixed_scaling(layers[node.name])
            new = [
                _node(
                    "Rescaling", node.name, _inputs(node.call), **_both(scale, offset)
                )
            ]
        elif node.kind == "LayerScale":
            new = [_layer_scale(node)]
        elif node.kind == "CustomScaleLayer":
            x, branch = _inputs(node.call)
            scaled = f"{node.name}_branch"
            new = [
                _node("Rescaling", scaled, [branch], scale=node.options["scale"]),
                _node("Add", node.name, [x, scaled]),
            ]
        elif node.kind == "TFOpLambda":
            new = [_operation(node) or node]
        else:
            new = [node]
        done += new
    return done


def _operation(node):
    """Return a sum, difference or product as a layer; None for another operation."""
    function = node.options["function"].split(".")[-1]
    first, second = _operand(node.call), _operand(node.call[3].get("y"))
    tensors = [value for value in (first, second) if isinstance(value, str)]
    if len(tensors) == 2 and function in _TWO_TENSORS:
        return _node(_TWO_TENSORS[function], node.name, tensors)
    numbers = [v for v in (first, second) if isinstance(v, (int, float))]
    if len(tensors) != 1 or len(numbers) != 1:
        return None
    number, comes_first = numbers[0], isinstance(second, str)
    scale, offset = {
        "add": (1.0, number),
        "multiply": (number, 0.0),
        "subtract": (-1.0, number) if comes_first else (1.0, -number),
    }.get(function, (None, None))
    if scale is None:
        return None
    return _node("Rescaling", node.name, tensors, scale=scale, offset=offset)


def _operand(value):
    """Return the name of a tensor, or a number."""
    if isinstance(value, (list, tuple)):
        return value[2] if value[0] == "_CONSTANT_VALUE" else value[0]
    return value


def _layer_scale(node):
    """Return one learned factor a channel, with the shape of the original."""
    return _Node(
        node.name,
        _entry(
            "EinsumDense",
            node.name,
            equation="abcd,d->abcd",
            output_shape=[None, None, node.options["projection_dim"]],
            kernel_initializer={
                "module": "keras.initializers",
                "class_name": "Constant",
                "config": {"value": node.options["init_values"]},
                "registered_name": None,
            },
        ),
        node.call,
        node.origin,
    )


def _fixed_scaling(layer):
    """Scale and offset for each channel of a Normalization layer."""
    mean, variance = (
        layer.get_weights()[:2]
        if layer.weights
        else (layer.input_mean, layer.input_variance)
    )
    scale = 1.0 / np.maximum(np.sqrt(np.ravel(variance)), keras.backend.epsilon())
    return scale, -np.ravel(mean) * scale


def _both(scale, offset):
    """Return arguments of Rescaling: numbers where all channels have the same."""
    return {
        name: float(values[0]) if len(set(values)) == 1 else [float(v) for v in values]
        for name, values in (("scale", list(scale)), ("offset", list(offset)))
    }


def _renamed(nodes, kinds):
    """Return the nodes with names that do not depend on earlier models of the process.

    Keras numbers unnamed layers over the whole process, and Keras 3 does not allow a
    slash in names.

    Args:
      nodes: list of _Node.
      kinds: classes of the original's layers, from which Keras made the names.
    """
    unnamed = "|".join(map(_snake_case, kinds))
    names, counts = {}, {}
    for node in nodes:
        name = node.name.replace("/", "_")
        if node.kind == "InputLayer":
            name = "images"
        elif re.fullmatch(rf"({unnamed}|tf\..*)(_\d+)?(_branch)?", node.name):
            kind = _snake_case(node.kind)
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{kind}_{counts[kind]}"
        node.call = _with_names(node.call, names)
        names[node.name] = node.name = name
        node.options["name"] = name
    return nodes


def _snake_case(kind):
    """Return the name that Keras gives a layer of a class, such as `conv2d`."""
    words = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def _with_scaling(nodes, scaling):
    """Return the nodes with a network's own scaling behind the images."""
    channels, scales, offsets = zip(*scaling, strict=True)
    source, *others = nodes
    front, last = [], source.name
    if channels != tuple(range(len(channels))):
        for channel in channels:
            # Channels are cropped as `selective_kernel` does, without moving data.
            front.append(
                _node(
                    "Cropping2D",
                    f"channel{channel + 1}",
                    [source.name],
                    cropping=[[0, 0], [channel, len(channels) - 1 - channel]],
                    data_format="channels_first",
                )
            )
        front.append(_node("Concatenate", "channels", [node.name for node in front]))
        last = "channels"
    front.append(_node("Rescaling", "scaled_images", [last], **_both(scales, offsets)))
    for node in others:
        node.call = _with_names(node.call, {source.name: "scaled_images"})
    return [source, *front, *others]


def _with_stages(nodes):
    """Return the nodes with a layer `stageK` at the last cut of each resolution."""
    places = {node.name: place for place, node in enumerate(nodes)}
    last_use, reduction = {}, {}
    for node in nodes:
        inputs = _inputs(node.call)
        for name in inputs:
            last_use[name] = places[node.name]
        strides = node.options.get("strides", 1) if node.kind in _STRIDED else 1
        strides = max(strides) if isinstance(strides, (list, tuple)) else strides
        reduction[node.name] = strides * max(
            (reduction[name] for name in inputs), default=1
        )
    cuts, pending = (
        {},
        0,
    )  # Reduction to its last cut; the last use of what came before.
    for place, node in enumerate(nodes):
        is_cut = pending <= place
        pending = max(pending, last_use.get(node.name, 0))
        if is_cut and reduction[node.name] > 1 and node.kind != "ZeroPadding2D":
            cuts[reduction[node.name]] = node.name
    cuts.pop(max(reduction.values()), None)  # Followed by the pool alone.
    done, names = [], {}
    for node in nodes:
        node.call = _with_names(node.call, names)
        done.append(node)
        if node.name in cuts.values():
            stage = f"stage{len(names) + 1}"
            done.append(_node("Activation", stage, [node.name], activation="linear"))
            names[node.name] = stage
    return done


def _node(kind, name, inputs, **options):
    return _Node(name, _entry(kind, name, **options), _call(inputs))


def _entry(kind, name, **options):
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **options},
        "registered_name": None,
    }


def _call(names):
    return [[name, 0, 0, {}] for name in names]


def _is_reference(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) >= 3
        and isinstance(value[0], str)
        and value[0] != "_CONSTANT_VALUE"
    )


def _inputs(call):
    """Return the names of the layers that a call refers to, in order."""
    if isinstance(call, dict):
        return [name for value in call.values() for name in _inputs(value)]
    if not isinstance(call, (list, tuple)):
        return []
    own = [call[0]] if _is_reference(call) else []
    return own + [name for value in call for name in _inputs(value)]


def _with_names(call, names):
    """Return a call with other names for the layers it refers to."""
    if isinstance(call, dict):
        return {key: _with_names(value, names) for key, value in call.items()}
    if not isinstance(call, (list, tuple)):
        return call
    if _is_reference(call):
        rest = [_with_names(value, names) for value in call[3:]]
        return [names.get(call[0], call[0]), 0, call[2], *rest]
    return [_with_names(value, names) for value in call]


def _config_of(nodes, name):
    """Return the nodes as the config of a functional model."""
    return {
        "name": name,
        "trainable": True,
        "layers": [
            {
                **{
                    key: value
                    for key, value in node.entry.items()
                    if key != "build_config"
                },
                "name": node.name,
                "inbound_nodes": [node.call] if node.call else [],
            }
            for node in nodes
        ],
        "input_layers": [[nodes[0].name, 0, 0]],
        "output_layers": [[nodes[-1].name, 0, 0]],
    }
