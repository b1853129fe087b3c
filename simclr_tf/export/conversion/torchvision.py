"""Conversion to the names and layouts of torchvision's ResNets, for PyTorch.

The convolutions are equal: torchvision pads a 3x3 by 1 and a 7x7 by 3 on both ends, as
we do, and has the stride in the 3x3 convolution (v1.5). Differences are corrected by
lines of PyTorch, or the network is refused: see `pytorch_differences`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING

import numpy as np

from simclr_tf.array_types import Array, StrPath
from simclr_tf.errors import require
from simclr_tf.export.conversion.account import account_markdown, account_record
from simclr_tf.export.conversion.architecture import WEIGHTS, encoder_layers
from simclr_tf.export.conversion.converted_run import JSON_FILE, MARKDOWN_FILE
from simclr_tf.export.publication import new_folder
from simclr_tf.models.resnet import DEPTHS
from simclr_tf.models.resnet_parts import NORMALIZATIONS

if TYPE_CHECKING:
    from simclr_tf.export.conversion.account import SourceModel


STATE_FILE = "state_dict.npz"
_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def write_torchvision(source: SourceModel, output: StrPath) -> dict[str, Array]:
    """Write state_dict.npz, and conversion.md with the lines that load it in PyTorch.

    Args:
      source: SourceModel; its heads are left out.
      output: path of the folder to make.

    Returns:
      dict of torchvision's name to array, as written.

    Raises:
      ConfigError: torchvision has no such network.
      WorkdirError: the folder exists, or cannot be written; nothing is left behind.
    """
    architecture = source.architecture
    state, names = state_dict(source)
    left_out = [
        *source.left_out,
        *(
            (source.names[here], tuple(value.shape), "not a part of the encoder")
            for here, value in source.variables.items()
            if not here.startswith("encoder/")
        ),
    ]
    written = dataclasses.replace(
        source,
        variables={name: state[name] for name in names.values()},
        objects={},
        names={there: source.names[here] for here, there in names.items()},
        left_out=left_out,
        architecture=dataclasses.replace(
            architecture,
            head_layers=0,
            head_hidden=None,
            head_out=None,
            num_classes=None,
        ),
    )
    notes = [
        "## Loading",
        "```python\n" + pytorch_loading_lines(architecture) + "\n```",
        *pytorch_differences(architecture),
        "Kernels are transposed from [height, width, in, out] to [out, in, "
        "height, width]; nothing else is changed. " + _input_words(architecture),
    ]
    with new_folder(output) as folder:
        with (folder / STATE_FILE).open("wb") as file:
            np.savez(file, **state)
        record = account_record(written) | {
            "loading": pytorch_loading_lines(architecture)
        }
        text = json.dumps(record, indent=1) + "\n"
        (folder / JSON_FILE).write_text(text, encoding="utf-8")
        text = account_markdown(written, title="In torchvision's names", notes=notes)
        (folder / MARKDOWN_FILE).write_text(text, encoding="utf-8")
    return state


def state_dict(source):
    """Return the encoder in torchvision's names.

    Args:
      source: SourceModel.

    Returns:
      (state, names): dict of torchvision's name to array, with the counters
      `num_batches_tracked` that its batch norms carry; dict of our name to
      torchvision's.

    Raises:
      ConfigError: torchvision has no such network.
    """
    check_in_torchvision(source.architecture)
    names = torchvision_names(source.architecture)
    state = {}
    for here, there in names.items():
        value = source.variables[here].numpy()
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        state[there] = np.ascontiguousarray(value)
        if here.endswith("/moving_variance"):
            layer = there.removesuffix(_NORM["moving_variance"])
            state[f"{layer}num_batches_tracked"] = np.array(0, np.int64)
    return state, names


def torchvision_names(architecture):
    """Map our names of the encoder's variables to torchvision's, in their order.

    Args:
      architecture: Architecture without selective kernels, squeeze-and-excitation and
        the stem of ResNet-D.

    Returns:
      dict of str to str, "encoder/initial_bn/gamma" to "bn1.weight".
    """
    layers = encoder_layers(
        architecture.depth,
        sk=False,
        se=False,
        three_stem_convs=False,
        identity_shortcuts=architecture.identity_shortcuts,
    )
    return {
        f"encoder/{layer.name}/{weight}": (
            f"{torchvision_layer(layer.name)}.{_NORM.get(weight, 'weight')}"
        )
        for layer in layers
        for weight in WEIGHTS[layer.kind]
    }


def torchvision_layer(name):
    """Return our layer's name in torchvision.

    Example:
      >>> torchvision_layer("block_group2_block1_shortcut_bn")
      'layer2.0.downsample.1'
      >>> torchvision_layer("block_group4_block3_bn2")
      'layer4.2.bn2'
    """
    stem = {"initial_conv": "conv1", "initial_bn": "bn1"}
    if name in stem:
        return stem[name]
    group, block, role = re.fullmatch(
        r"block_group(\d+)_block(\d+)_(.+)", name
    ).groups()
    role = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}.get(
        role, role
    )
    return f"layer{group}.{int(block) - 1}.{role}"


def check_in_torchvision(architecture):
    """Raise unless torchvision's ResNet class can be this network.

    Raises:
      ConfigError: selective kernels, squeeze-and-excitation or another width.
    """
    rule = "torchvision's ResNets have no {}: this encoder cannot be converted to them."
    require(
        architecture.sk_ratio == 0,
        rule.format("selective kernels, nor ResNet-D"),
        sk_ratio=architecture.sk_ratio,
    )
    require(
        architecture.se_ratio == 0,
        rule.format("squeeze-and-excitation"),
        se_ratio=architecture.se_ratio,
    )
    require(
        architecture.width_multiplier == 1,
        rule.format("other widths (its wide ResNets widen the 3x3 convolutions alone)"),
        width_multiplier=architecture.width_multiplier,
    )
    require(
        _width_per_group(architecture) == 64 * architecture.bottleneck_width,
        rule.format("such widths inside bottlenecks (64 times it is a whole number)"),
        bottleneck_width=architecture.bottleneck_width,
    )


def _width_per_group(architecture):
    return int(64 * architecture.bottleneck_width)


def _has_first_shortcut(architecture):
    """Tell whether `layer1.0` has a convolution that torchvision's has not."""
    is_basic = DEPTHS[architecture.depth][0] == "basic"
    return is_basic and not architecture.identity_shortcuts


def _input_words(architecture):
    if architecture.input_normalization == "none":
        return (
            "Images are in [0, 1]: there is no normalization by mean and standard "
            "deviation."
        )
    mean, deviation = NORMALIZATIONS[architecture.input_normalization]
    return (
        "This network normalizes images in [0, 1] itself; torchvision's does not: "
        f"`torchvision.transforms.Normalize({list(mean)}, {list(deviation)})`."
    )


def pytorch_differences(architecture):
    """Describe the differences to torchvision's network, in paragraphs."""
    found = []
    if _has_first_shortcut(architecture):
        found.append(
            "torchvision has the identity as the shortcut of `layer1.0`; this network "
            "has a convolution there, which the lines above put in."
        )
    if architecture.symmetric_max_pool:
        return found
    if architecture.stem == "imagenet":
        found.append(
            "The max pool of this network pads at the end only where the image's half "
            "is even (224 pixels: 112), torchvision's at both ends. Without the line "
            "on `maxpool`, which is for such images, every window is one pixel "
            "further up and left and the features differ by some percent. For images "
            "whose half is odd, torchvision's own `maxpool` is the right one."
        )
    else:
        found.append(
            f"The stem `{architecture.stem}` has a 3x3 convolution and no max pool; "
            "the lines above make torchvision do the same."
        )
    return found


def pytorch_loading_lines(architecture):
    """Return the Python lines that load state_dict.npz into torchvision's network."""
    depth = architecture.depth
    width = ""
    if architecture.bottleneck_width != 1:
        width = f"width_per_group={_width_per_group(architecture)}"
    model = f"torchvision.models.resnet{depth}({width})"
    if depth in (
        10,
        200,
    ):  # torchvision has the class, but no function for these depths.
        kind, blocks = DEPTHS[depth]
        block = {"basic": "BasicBlock", "bottleneck": "Bottleneck"}[kind]
        model = (
            f"torchvision.models.ResNet(torchvision.models.resnet.{block}, "
            f"{list(blocks)}{', ' * bool(width)}{width})"
        )
    lines = [
        "import numpy as np, torch, torchvision",
        f"model = {model}",
        "model.fc = torch.nn.Identity()",
    ]
    if architecture.stem == "imagenet":
        if not architecture.symmetric_max_pool:
            lines.append("model.maxpool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)")
    else:
        lines.append("model.maxpool = torch.nn.Identity()")
    kernel, stride = {"imagenet": (7, 2), "cifar": (3, 1), "small": (3, 2)}[
        architecture.stem
    ]
    if architecture.stem != "imagenet" or architecture.channels != 3:
        lines.append(
            f"model.conv1 = torch.nn.Conv2d({architecture.channels}, 64, {kernel}, "
            f"{stride}, {(kernel - 1) // 2}, bias=False)"
        )
    if _has_first_shortcut(architecture):
        lines.append(
            "model.layer1[0].downsample = torch.nn.Sequential(torch.nn.Conv2d("
            "64, 64, 1, bias=False), torch.nn.BatchNorm2d(64))"
        )
    return "\n".join(
        [
            *lines,
            f'state = np.load("{STATE_FILE}")',
            "model.load_state_dict({name: torch.from_numpy(state[name]) "
            "for name in state})",
            "model.eval()",
        ]
    )
