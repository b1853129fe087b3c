"""Checkpoints of google-research/simclr, TensorFlow 1: numbered variables.

Convolutions and batch norms are numbered in the order in which they were created: in
each block the shortcut first, in a selective kernel the 3x3 convolution first.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simclr_tf.array_types import StrPath
from simclr_tf.errors import DataError, unknown_choice
from simclr_tf.export.conversion.account import (
    ConversionError,
    kernel_shape,
    missing_variables,
)
from simclr_tf.export.conversion.architecture import (
    WEIGHTS,
    Architecture,
    encoder_layers,
    sk_ratio_of,
    width_of,
)
from simclr_tf.export.conversion.networks import PROBE, PROBE_WEIGHTS, head_names
from simclr_tf.export.conversion.source_model import source_model
from simclr_tf.models.resnet import DEPTHS
from simclr_tf.training.stored_variables import StoredVariables, find_prefix

if TYPE_CHECKING:
    from simclr_tf.export.conversion.account import SourceModel


COPIES = {"raw": "", "ema": "ema_model/"}
_TYPES = {"conv": "conv2d", "norm": "batch_normalization"}
_SLOTS = ("Momentum", "Adam", "Adam_1")
_COUNTERS = ("global_step", "beta1_power", "beta2_power")


def read_google_tf1(
    path: StrPath,
    *,
    copy: str = "raw",
    probe_layer: int = 0,
    leave_out: Sequence[str] = (),
) -> SourceModel:
    """Read a network of the reference's TensorFlow 1 code, with all its variables.

    Args:
      path: prefix of a checkpoint, its folder, or the folder of a Hub module.
      copy: "raw", the trained weights, or "ema", their moving average under
        `ema_model/` (of the momentum encoder); the other copy is left out.
      probe_layer, leave_out: as in `read_google_tf2`.

    Returns:
      SourceModel.

    Raises:
      ConversionError: missing, surplus or misshapen variables.
      DataError: no checkpoint, or an unreadable one.
    """
    if copy not in COPIES:
        raise unknown_choice("copy", copy, COPIES)
    stored = StoredVariables(find_prefix(path))
    prefix = COPIES[copy]
    if f"{prefix}base_model/conv2d/kernel" not in stored.shapes:
        raise _not_there(stored, copy)
    architecture, layers = find_architecture(stored, prefix)
    names = {
        f"encoder/{layer.name}/{weight}": f"{prefix}base_model/{numbered}/{weight}"
        for layer, numbered in layers
        for weight in WEIGHTS[layer.kind]
    }
    for (index, part, weight), here in head_names(architecture):
        part = {"dense": "dense", "bn": "batch_normalization"}[part]
        names[here] = f"{prefix}head_contrastive/nl_{index}/{part}/{weight}"
    if architecture.num_classes:
        for weight in PROBE_WEIGHTS:
            names[f"{PROBE}/{weight}"] = f"{prefix}{_PROBE}/{weight}"
    return source_model(
        "google_tf1",
        stored,
        architecture,
        names,
        step=stored.step("global_step"),
        not_weights=lambda name: _not_weights(name, prefix, stored.shapes),
        probe_layer=probe_layer,
        leave_out=leave_out,
    )


_PROBE = "head_supervised/linear_layer/dense"


def _not_weights(name, prefix, shapes):
    """Return why a variable is not in the chosen copy of the network, or None."""
    variable, _, last = name.rpartition("/")
    if last in _SLOTS and variable in shapes:
        return "optimizer slot"
    if name in _COUNTERS:
        return "step counter"
    if prefix == "" and name.startswith(COPIES["ema"]):
        return "the moving average (--copy=ema takes it)"
    if prefix and not name.startswith(prefix):
        return "the raw weights (--copy=raw takes them)"
    return None


def find_architecture(stored, prefix=""):
    """Find the architecture from the running numbers and the shapes.

    Args:
      stored: StoredVariables.
      prefix: str, before the names of the chosen copy.

    Returns:
      (Architecture, list of (Layer, numbered name)).

    Raises:
      ConversionError: the network is not a known ResNet.
    """
    counts = {
        kind: _count(stored, f"{prefix}base_model/{of_type}")
        for kind, of_type in _TYPES.items()
    }
    depth, sk, three = _network_with(stored, prefix, counts)
    layers = _numbered(encoder_layers(depth, sk=sk, se=False, three_stem_convs=three))

    def width(name):
        (numbered,) = [there for layer, there in layers if layer.name == name]
        return _kernel(stored, f"{prefix}base_model/{numbered}", f"encoder/{name}")[-1]

    sk_ratio = 0.0
    if sk and DEPTHS[depth][0] == "bottleneck":
        sk_ratio = sk_ratio_of(
            [
                (
                    width(f"block_group{group}_block1_conv1"),
                    width(f"block_group{group}_block1_conv2_sk_reduce"),
                )
                for group in range(1, 5)
            ]
        )
    elif sk:
        sk_ratio = sk_ratio_of([(512, 32)])
    first = _kernel(stored, f"{prefix}base_model/conv2d", "encoder/initial_conv")
    architecture = Architecture(
        depth=depth,
        width_multiplier=width_of(width("block_group4_block1_conv1")),
        sk_ratio=sk_ratio,
        stem="imagenet" if three or first[0] == 7 else "cifar",
        channels=first[2],
        **_heads(stored, prefix),
    )
    return architecture, layers


def _network_with(stored, prefix, counts):
    """Find (depth, sk, three_stem_convs) from the numbers of layers.

    No two networks have the same numbers of convolutions and batch norms.
    """
    first = _kernel(stored, f"{prefix}base_model/conv2d", "encoder/initial_conv")
    known = {}
    for depth in DEPTHS:
        for sk in (False, True):
            for three in (False, True) if sk else (False,):
                layers = encoder_layers(depth, sk=sk, se=False, three_stem_convs=three)
                numbers = tuple(
                    sum(layer.kind == kind for layer in layers) for kind in _TYPES
                )
                # Without selective kernels both stems have the same number of layers.
                known.setdefault(numbers, (depth, sk, three))
    found = known.get((counts["conv"], counts["norm"]))
    if found is None:
        near = sorted(
            known, key=lambda n: abs(n[0] - counts["conv"]) + abs(n[1] - counts["norm"])
        )[:2]
        nearest = ", ".join(
            f"ResNet-{known[n][0]}{' with SK' * known[n][1]} has {n[0]} and {n[1]}"
            for n in near
        )
        raise ConversionError(
            f"{stored.prefix} numbers {counts['conv']} convolutions and "
            f"{counts['norm']} batch norms in {prefix}base_model, which no ResNet has "
            f"({nearest}). Nothing was written."
        )
    if first[0] not in (3, 7):
        raise ConversionError(
            f"The first convolution must be 3x3 or 7x7: {prefix}base_model/conv2d/"
            f"kernel is {first}. Nothing was written."
        )
    return found


def _kernel(stored, there, here, rank=4):
    """Return the shape of a layer's kernel, by its names in the source and here."""
    name = f"{there}/kernel"
    if name not in stored.shapes:
        raise missing_variables(1, name, f"{here}/kernel")
    return kernel_shape(name, stored.shapes[name], rank)


def _count(stored, of_type):
    """Return one more than the highest running number of a type of layer."""
    pattern = re.compile(re.escape(of_type) + r"(?:_(\d+))?/[^/]+$")
    found = [int(match[1] or 0) for match in map(pattern.match, stored.shapes) if match]
    return 1 + max(found, default=-1)


def _numbered(layers):
    counts = dict.fromkeys(_TYPES, 0)
    found = []
    for layer in layers:
        number = counts[layer.kind]
        counts[layer.kind] += 1
        found.append((layer, _TYPES[layer.kind] + (f"_{number}" if number else "")))
    return found


def _heads(stored, prefix):
    """Return the arguments of Architecture that describe both heads."""
    found = {}
    probe = f"{prefix}{_PROBE}"
    if any(f"{probe}/{weight}" in stored.shapes for weight in PROBE_WEIGHTS):
        found["num_classes"] = _kernel(stored, probe, PROBE, rank=2)[-1]
    pattern = re.compile(re.escape(f"{prefix}head_contrastive/nl_") + r"(\d+)/")
    indices = {int(match[1]) for match in map(pattern.match, stored.shapes) if match}
    if indices:
        # The first gap ends the head; later layers are reported as surplus.
        last = next(n for n in itertools.count(1) if n not in indices) - 1
        kernels = [
            _kernel(
                stored,
                f"{prefix}head_contrastive/nl_{index}/dense",
                f"projection_head/dense{index + 1}",
                rank=2,
            )
            for index in (0, last)
        ]
        found |= {
            "head_layers": last + 1,
            "head_out": kernels[-1][-1],
            "head_hidden": kernels[0][-1] if last else None,
        }
    return found


def _not_there(stored, copy):
    other = {"raw": "ema", "ema": "raw"}[copy]
    if f"{COPIES[other]}base_model/conv2d/kernel" in stored.shapes:
        return DataError(
            f"{stored.prefix} holds no {copy} copy of the weights, only the {other} "
            f"one: use --copy={other}."
        )
    return DataError(
        f"{stored.prefix} is not a checkpoint of the reference's TensorFlow 1 code: it "
        f"has no {COPIES[copy]}base_model/conv2d/kernel. Is it --source=google_tf2?"
    )
