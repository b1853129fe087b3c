"""Checkpoints and SavedModels of google-research/simclr, TensorFlow 2.

Variables are matched by their path of attributes, never by order: the order of BN and
dense layers of the projection head differs between versions of Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simclr_tf.array_types import StrPath
from simclr_tf.errors import DataError
from simclr_tf.export.conversion.account import kernel_shape, missing_variables
from simclr_tf.export.conversion.architecture import (
    WEIGHTS,
    Architecture,
    depth_of,
    encoder_layers,
    se_ratio_of,
    sk_ratio_of,
    width_of,
)
from simclr_tf.export.conversion.networks import PROBE, PROBE_WEIGHTS, head_names
from simclr_tf.export.conversion.source_model import source_model
from simclr_tf.training.stored_variables import (
    VALUE,
    ObjectTree,
    StoredVariables,
    find_prefix,
)

if TYPE_CHECKING:
    from simclr_tf.export.conversion.account import SourceModel


_GROUPS = "resnet_model/block_groups"
_STEM = "resnet_model/initial_conv_relu_max_pool"
_HEAD = "_projection_head/linear_layers"
_PROBE = "supervised_head/linear_layer/dense"
# Layers of a block's branch: our role to the reference's path in the block.
_BASIC = {
    "conv1": "conv2d_bn_layers/0/conv2d",
    "bn1": "conv2d_bn_layers/1/bn",
    "conv2": "conv2d_bn_layers/2/conv2d",
    "bn2": "conv2d_bn_layers/3/bn",
    "se_reduce": "se_layer/se_reduce",
    "se_expand": "se_layer/se_expand",
}
_LIST = "conv_relu_dropblock_layers"
_BOTTLENECK = {
    "conv1": f"{_LIST}/0/conv2d",
    "bn1": f"{_LIST}/1/bn",
    "conv2": f"{_LIST}/3/conv2d",
    "bn2": f"{_LIST}/4/bn",
    "conv3": f"{_LIST}/6/conv2d",
    "bn3": f"{_LIST}/7/bn",
    "se_reduce": f"{_LIST}/9/se_reduce",
    "se_expand": f"{_LIST}/9/se_expand",
}
_BOTTLENECK_SK = {
    "conv1": f"{_LIST}/0/conv2d",
    "bn1": f"{_LIST}/1/bn",
    "conv2": f"{_LIST}/3/conv2d_fixed_padding/conv2d",
    "conv2_sk_bn1": f"{_LIST}/3/batch_norm_relu/bn",
    "conv2_sk_reduce": f"{_LIST}/3/conv2d_0",
    "conv2_sk_bn2": f"{_LIST}/3/batch_norm_relu_1/bn",
    "conv2_sk_expand": f"{_LIST}/3/conv2d_1",
    "conv3": f"{_LIST}/5/conv2d",
    "bn3": f"{_LIST}/6/bn",
    "se_reduce": f"{_LIST}/8/se_reduce",
    "se_expand": f"{_LIST}/8/se_expand",
}
_ONE_STEM_CONV = {"initial_conv": "0/conv2d", "initial_bn": "2/bn"}
_THREE_STEM_CONVS = {
    "stem_conv1": "0/conv2d",
    "stem_bn1": "1/bn",
    "stem_conv2": "2/conv2d",
    "stem_bn2": "3/bn",
    "initial_conv": "4/conv2d",
    "initial_bn": "6/bn",
}


def read_google_tf2(
    path: StrPath, *, probe_layer: int = 0, leave_out: Sequence[str] = ()
) -> SourceModel:
    """Read a network of the reference's TensorFlow 2 code, with all its variables.

    Args:
      path: prefix of a training checkpoint, its folder, or a SavedModel's folder. No
        program in it is run.
      probe_layer: int, the layer of the projection head that feeds the supervised head;
        checkpoints do not record it. 0 is the features; with others the supervised head
        is left out.
      leave_out: beginnings of names in the file, of variables to leave out.

    Returns:
      SourceModel.

    Raises:
      ConversionError: missing, surplus or misshapen variables.
      DataError: no checkpoint, or an unreadable one.
    """
    stored = StoredVariables(find_prefix(path))
    reference = Reference(stored)
    architecture = reference.architecture()
    names = {
        here: reference.tree.key(there) or f"{there}/{VALUE}"
        for here, there in reference.paths(architecture).items()
    }
    return source_model(
        "google_tf2",
        stored,
        architecture,
        names,
        not_weights=_not_weights,
        step=stored.step(f"global_step/{VALUE}"),
        probe_layer=probe_layer,
        leave_out=leave_out,
        describe=reference.describe,
    )


def _not_weights(name):
    """Return why a variable is not a part of the network, or None."""
    if "/.OPTIMIZER_SLOT/" in name:
        return "optimizer slot"
    top = name.split("/")[0]
    reasons = {
        "optimizer": "optimizer",
        "global_step": "step counter",
        "save_counter": "step counter",
    }
    return reasons.get(top)


class Reference:
    """The reference's model in an object tree.

    Args:
      stored: StoredVariables.

    Raises:
      DataError: the tree has no such model.
    """

    def __init__(self, stored):
        self.stored, self.tree = stored, ObjectTree(stored)
        self.root = "model/" if "resnet_model" in self.tree.children("model") else ""
        if not self.root and "resnet_model" not in self.tree.children(""):
            raise DataError(
                f"{stored.prefix} is not a checkpoint of the reference's TensorFlow 2 "
                "code: it has no `model/resnet_model`. Is it --source=google_tf1?"
            )

    def readable(self, path):
        return f"{self.root}{path}/{VALUE}"

    def describe(self, name):
        full = self.tree.full_names.get(name)
        return f"{name} ({full})" if full and full not in name else name

    def kernel(self, path, here, rank=4):
        """Return the shape of a kernel, by its layer's path in the source and here."""
        path = f"{path}/kernel"
        key = self.tree.key(self.root + path)
        if key not in self.stored.shapes:
            raise missing_variables(1, self.readable(path), f"{here}/kernel")
        return kernel_shape(self.describe(key), self.stored.shapes[key], rank)

    def holds(self, path):
        """Tell whether a layer has variables: a layer may not have been built."""
        return any(
            self.tree.key(f"{self.root}{path}/{weight}") is not None
            for weight in ("kernel", "bias", *WEIGHTS["norm"])
        )

    def children(self, path):
        return self.tree.children(self.root + path)

    def architecture(self):
        """Find the architecture from the paths and shapes."""
        blocks = [
            sum(name.isdecimal() for name in self.children(f"{_GROUPS}/{group}/layers"))
            for group in range(4)
        ]
        first = f"{_GROUPS}/0/layers/0"
        kind = "bottleneck" if _LIST in self.children(first) else "basic"
        depth = depth_of(kind, blocks)
        sk = self._has_resnet_d_shortcut()
        stem_kernel = self.kernel(f"{_STEM}/0/conv2d", "encoder/initial_conv")
        widths = self._middle_widths(kind, depth, sk)
        filters = self._filters(kind, 3, 0)
        return Architecture(
            depth=depth,
            width_multiplier=width_of(filters),
            sk_ratio=0.0 if not sk else sk_ratio_of(widths["sk"] or [(512, 32)]),
            se_ratio=se_ratio_of(widths["se"]) if widths["se"] else 0.0,
            stem="imagenet"
            if stem_kernel[0] == 7 or self._three_stem_convs()
            else "cifar",
            channels=stem_kernel[2],
            **self._heads(),
        )

    def _three_stem_convs(self):
        return bool(self.children(f"{_STEM}/4/conv2d"))

    def _shortcut(self, group):
        """Return (path of the list, index of the convolution) of a group's shortcut."""
        block = f"{_GROUPS}/{group}/layers/0"
        for name in ("shortcut_layers", "projection_layers"):
            for index in sorted(self.children(f"{block}/{name}")):
                if "conv2d" in self.children(f"{block}/{name}/{index}"):
                    return name, int(index)
        raise missing_variables(
            1,
            self.readable(f"{block}/projection_layers/0/conv2d/kernel"),
            f"encoder/block_group{group + 1}_block1_shortcut_conv/kernel",
        )

    def _has_resnet_d_shortcut(self):
        """Tell whether a pooling layer precedes the convolution of the shortcut."""
        return self._shortcut(0)[1] > 0

    def _filters(self, kind, group, block):
        path = _BOTTLENECK["conv1"] if kind == "bottleneck" else _BASIC["conv1"]
        return self.kernel(
            f"{_GROUPS}/{group}/layers/{block}/{path}",
            f"encoder/block_group{group + 1}_block{block + 1}_conv1",
        )[-1]

    def _middle_widths(self, kind, depth, sk):
        """Return (F, width) of the middle layers of SK and SE, first blocks only."""
        table = _block_paths(kind, sk)
        found = {"sk": [], "se": []}
        for group in range(4):
            for which, role in (("sk", "conv2_sk_reduce"), ("se", "se_reduce")):
                if role not in table:
                    continue
                path = f"{_GROUPS}/{group}/layers/0/{table[role]}"
                if which == "se" and not self.children(path):
                    continue
                width = self.kernel(
                    path, f"encoder/block_group{group + 1}_block1_{role}"
                )[-1]
                found[which].append((self._filters(kind, group, 0), width))
        return found

    def _heads(self):
        """Return the arguments of Architecture that describe both heads."""
        layers = [
            name
            for name in self.children(_HEAD)
            if name.isdecimal()
            and (
                self.holds(f"{_HEAD}/{name}/dense")
                or self.holds(f"{_HEAD}/{name}/bn_relu/bn")
            )
        ]
        found = {"num_classes": None}
        if self.holds(_PROBE):
            found["num_classes"] = self.kernel(_PROBE, PROBE, rank=2)[-1]
        if layers:
            last = len(layers) - 1
            kernels = [
                self.kernel(
                    f"{_HEAD}/{index}/dense",
                    f"projection_head/dense{index + 1}",
                    rank=2,
                )
                for index in (0, last)
            ]
            found |= {
                "head_layers": len(layers),
                "head_out": kernels[-1][-1],
                "head_hidden": kernels[0][-1] if last else None,
                "head_batch_norm": any(
                    self.holds(f"{_HEAD}/{index}/bn_relu/bn") for index in layers
                ),
            }
        return found

    def paths(self, architecture):
        """Map our names to paths in the tree, for all variables of the network."""
        sk, se = architecture.sk_ratio > 0, architecture.se_ratio > 0
        three = sk and architecture.stem == "imagenet"
        kind = "bottleneck" if architecture.depth >= 50 else "basic"
        stem = _THREE_STEM_CONVS if three else _ONE_STEM_CONV
        block = _block_paths(kind, sk)
        found = {}
        for layer in encoder_layers(
            architecture.depth, sk=sk, se=se, three_stem_convs=three
        ):
            if layer.group == 0:
                path = f"{_STEM}/{stem[layer.role]}"
            else:
                path = f"{_GROUPS}/{layer.group - 1}/layers/{layer.block - 1}/"
                path += (
                    self._shortcut_path(layer)
                    if layer.role.startswith("shortcut")
                    else block[layer.role]
                )
            for weight in WEIGHTS[layer.kind]:
                found[f"encoder/{layer.name}/{weight}"] = f"{self.root}{path}/{weight}"
        for (index, part, weight), here in head_names(architecture):
            part = {"dense": "dense", "bn": "bn_relu/bn"}[part]
            found[here] = f"{self.root}{_HEAD}/{index}/{part}/{weight}"
        if architecture.num_classes:
            for weight in PROBE_WEIGHTS:
                found[f"{PROBE}/{weight}"] = f"{self.root}{_PROBE}/{weight}"
        return found

    def _shortcut_path(self, layer):
        name, index = self._shortcut(layer.group - 1)
        if layer.role == "shortcut_conv":
            return f"{name}/{index}/conv2d"
        return f"{name}/{index + 1}/bn"


def _block_paths(kind, sk):
    if kind == "basic":
        return _BASIC
    return _BOTTLENECK_SK if sk else _BOTTLENECK
