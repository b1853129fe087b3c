"""ResNets of PyTorch, found in a state dict by torchvision's names.

The encoder stands under a prefix that the method gave it (`module.encoder_q.`,
`teacher.backbone.`): it is where `conv1`, `bn1` and `layer1.0.conv1` are together.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simclr_tf.array_types import StrPath
from simclr_tf.errors import DataError
from simclr_tf.export.conversion.account import (
    ConversionError,
    kernel_shape,
    missing_variables,
)
from simclr_tf.export.conversion.architecture import Architecture, depth_of, width_of
from simclr_tf.export.conversion.source_model import source_model
from simclr_tf.export.conversion.torch_file import StateDict
from simclr_tf.export.conversion.torchvision import torchvision_names

if TYPE_CHECKING:
    from simclr_tf.export.conversion.account import SourceModel


# Of several networks of a method, the one that its authors evaluate.
_EVALUATED = ("encoder_q", "base_encoder", "teacher", "online_encoder")
# Parts of names: the first two are what a method has beside its encoder.
_NOT_ENCODER = {
    "a head of the method": (
        *("fc", "head", "heads", "classifier", "linear", "bn", "projector"),
        *("projection", "projection_head", "prototypes", "predictor"),
        *("prediction_head", "contrastive_head"),
    ),
    "the memory of the method": (
        "queue",
        "queue_ptr",
        "memory",
        "lemniscate",
        "center",
    ),
    "the state of the optimizer": ("optimizer",),
}
_STEMS = {7: "imagenet", 3: "cifar"}


def read_torch(
    path: StrPath,
    *,
    input_normalization: str = "imagenet",
    leave_out: Sequence[str] = (),
) -> SourceModel:
    """Read a ResNet of PyTorch, with all its variables.

    Args:
      path: path of a `.safetensors` file, or of a `.pth` file (which needs PyTorch).
      input_normalization: "imagenet" or "none", the scaling of the images that the
        network was trained with; no file records it.
      leave_out: beginnings of names in the file, of variables to leave out.

    Returns:
      SourceModel of the encoder alone.

    Raises:
      ConversionError: missing, surplus or misshapen variables, or several networks.
      DataError: no such network in the file, or an unreadable file.
      ConfigError: a `.pth` file, and PyTorch is missing.
    """
    stored = StateDict(path)
    prefix, others = find_prefix_of_encoder(stored, leave_out)
    architecture = find_torch_architecture(stored, prefix, input_normalization)
    names = {
        here: f"{prefix}{there}"
        for here, there in torchvision_names(architecture).items()
    }
    found = source_model(
        "torch",
        stored,
        architecture,
        names,
        not_weights=lambda name: _not_weights(name, prefix, others),
        step=0,
        probe_layer=0,
        leave_out=leave_out,
        describe=lambda name: _with_layout(name, stored),
    )
    return dataclasses.replace(
        found,
        left_out=[
            (name, stored.torch_shapes[name], reason)
            for name, _, reason in found.left_out
        ],
    )


def find_prefix_of_encoder(stored, leave_out=()):
    """Find the beginning of the encoder's names, and those of other networks.

    Args:
      stored: StateDict.
      leave_out: beginnings of names that are no candidates.

    Returns:
      (str, list of str).

    Raises:
      DataError: no ResNet.
      ConversionError: several, of which none is known to be the evaluated one.
    """
    together = ("bn1.weight", "layer1.0.conv1.weight")
    candidates = []
    for name in stored.shapes:
        prefix = name.removesuffix("conv1.weight")
        if prefix != name and all(
            prefix + other in stored.shapes for other in together
        ):
            candidates.append(prefix)
    left = [prefix for prefix in candidates if not prefix.startswith(tuple(leave_out))]
    if not left:
        first = ", ".join(name[:80] for name in list(stored.shapes)[:3]) or "none"
        raise DataError(
            f"{stored.prefix} holds no ResNet in torchvision's names (conv1, bn1, "
            f"layer1.0.conv1); the first names: {first}."
        )
    if len(left) > 1:
        evaluated = [
            prefix for prefix in left if set(prefix.split(".")) & set(_EVALUATED)
        ]
        if len(evaluated) != 1:
            raise ConversionError(
                f"{stored.prefix} holds {len(left)} networks: {', '.join(left)}. Leave "
                f"out all but one, e.g. --leave_out={','.join(left[1:])}. Nothing was "
                "written."
            )
        left = evaluated
    return left[0], [prefix for prefix in candidates if prefix != left[0]]


def find_torch_architecture(stored, prefix, input_normalization="imagenet"):
    """Find the architecture from names and shapes.

    Args:
      stored: StateDict.
      prefix: str, the beginning of the encoder's names.
      input_normalization: "imagenet" or "none".

    Returns:
      Architecture.

    Raises:
      ConversionError: the network is not a known ResNet.
    """

    def kernel(layer):
        name = f"{prefix}{layer}.weight"
        if name not in stored.shapes:
            raise missing_variables(1, name, "the encoder")
        return kernel_shape(name, stored.shapes[name], 4)

    is_bottleneck = f"{prefix}layer1.0.conv3.weight" in stored.shapes
    blocks = [_count(stored, f"{prefix}layer{group}") for group in range(1, 5)]
    depth = depth_of("bottleneck" if is_bottleneck else "basic", blocks)
    size, _, channels, _ = kernel("conv1")
    if size not in _STEMS:
        raise ConversionError(
            f"The first convolution must be 3x3 or 7x7: {prefix}conv1.weight is "
            f"{kernel('conv1')}, as [height, width, in, out]. Nothing was written."
        )
    filters, bottleneck_width = kernel("layer4.0.conv2")[-1], 1.0
    if is_bottleneck:
        filters, inner = kernel("layer4.0.conv3")[-1] / 4, filters
        bottleneck_width = inner / filters
    return Architecture(
        depth=depth,
        width_multiplier=width_of(filters),
        stem=_STEMS[size],
        channels=channels,
        input_normalization=input_normalization,
        symmetric_max_pool=_STEMS[size] == "imagenet",
        identity_shortcuts=not is_bottleneck
        and f"{prefix}layer1.0.downsample.0.weight" not in stored.shapes,
        bottleneck_width=bottleneck_width,
    )


def _count(stored, group):
    """Return the number of blocks of a group before the first gap."""
    number = 0
    while f"{group}.{number}.conv1.weight" in stored.shapes:
        number += 1
    return number


def _not_weights(name, prefix, others):
    """Return why a tensor is not a variable of the encoder, or None."""
    if name.endswith("num_batches_tracked"):
        return "a counter of batch norm"
    own = name.removeprefix(prefix) if name.startswith(prefix) else None
    if own and re.match(r"(conv1|bn1|layer\d+)\.", own):
        return None
    if name.startswith(tuple(others)):
        return "another network of the method"
    parts = {part.rstrip("0123456789") for part in name.split(".")}
    for reason, words in _NOT_ENCODER.items():
        if parts & set(words):
            return reason
    return None


def _with_layout(name, stored):
    if len(stored.shapes.get(name, ())) == 4:
        return f"{name}, as [height, width, in, out],"
    return name
