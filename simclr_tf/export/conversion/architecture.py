"""The architecture that a set of variables belongs to, and its layers in order."""

from __future__ import annotations

import dataclasses

from simclr_tf.errors import received_text
from simclr_tf.export.conversion.account import ConversionError
from simclr_tf.models.resnet import DEPTHS, torchvision_words
from simclr_tf.models.selective_kernel import MIN_SELECTIVE_FEATURES

PAPER_SK_RATIO = 0.0625
WEIGHTS = {
    "conv": ("kernel",),
    "gate": ("kernel", "bias"),
    "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
}
GROUP4_CHANNELS = 512


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The properties of a network, found from its variables.

    Attributes:
      depth: int, of the ResNet.
      width_multiplier: float.
      sk_ratio, se_ratio: float, 0 for none.
      stem: "imagenet", "cifar" or "small".
      channels: int, of the images.
      input_normalization, symmetric_max_pool, identity_shortcuts, bottleneck_width: as
        in `simclr_tf.models.resnet`.
      head_layers: int, layers of the projection head; 0 for no head.
      head_hidden: int or None, width of its hidden layers.
      head_out: int or None, width of the projections.
      head_batch_norm: bool.
      num_classes: int or None, of the supervised head.
    """

    depth: int
    width_multiplier: float = 1
    sk_ratio: float = 0.0
    se_ratio: float = 0.0
    stem: str = "imagenet"
    channels: int = 3
    input_normalization: str = "none"
    symmetric_max_pool: bool = False
    identity_shortcuts: bool = False
    bottleneck_width: float = 1.0
    head_layers: int = 0
    head_hidden: int | None = None
    head_out: int | None = None
    head_batch_norm: bool = True
    num_classes: int | None = None

    def describe(self) -> str:
        """Describe the architecture in words.

        Example:
          >>> Architecture(50, 2, sk_ratio=0.0625, num_classes=10).describe()
          'ResNet-50 2x, selective kernels 0.0625, stem imagenet, no projection head, \
supervised head of 10 classes'
        """
        parts = [f"ResNet-{self.depth} {self.width_multiplier:g}x"]
        if self.sk_ratio:
            parts.append(f"selective kernels {self.sk_ratio:g}")
        if self.se_ratio:
            parts.append(f"squeeze-and-excitation {self.se_ratio:g}")
        parts += [f"stem {self.stem}", *torchvision_words(self)]
        if self.head_layers:
            hidden = f"{self.head_hidden}, " if self.head_layers > 1 else ""
            parts.append(
                f"projection head of {self.head_layers} layers "
                f"({hidden}{self.head_out})"
            )
        else:
            parts.append("no projection head")
        if self.num_classes:
            parts.append(f"supervised head of {self.num_classes} classes")
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of the encoder with variables.

    Attributes:
      name: str, ours.
      kind: "conv", "norm", or "gate" (a convolution with a bias).
      group, block: int, from 1; 0 in the stem.
      role: str, the name within the block, e.g. "conv2_sk_reduce".
    """

    name: str
    kind: str
    group: int
    block: int
    role: str


def encoder_layers(depth, *, sk, se, three_stem_convs, identity_shortcuts=False):
    """Return the encoder's layers in the order in which the reference creates them.

    The shortcut of a block comes before its branch.

    Args:
      depth: int.
      sk, se: bool, selective kernels (or ResNet-D) and squeeze-and-excitation.
      three_stem_convs: bool, the stem of ResNet-D.
      identity_shortcuts: bool, no shortcut with variables in the first group.

    Returns:
      list of Layer.

    Example:
      >>> layers = encoder_layers(50, sk=False, se=False, three_stem_convs=False)
      >>> [layer.name for layer in layers[:3]]
      ['initial_conv', 'initial_bn', 'block_group1_block1_shortcut_conv']
      >>> sum(layer.kind == "conv" for layer in layers)
      53
    """
    layers = []
    stem = ["initial_conv", "initial_bn"]
    if three_stem_convs:
        stem = ["stem_conv1", "stem_bn1", "stem_conv2", "stem_bn2", *stem]
    layers += [Layer(role, _kind(role), 0, 0, role) for role in stem]
    block_kind, blocks = DEPTHS[depth]
    branch = {
        ("basic", False): ("conv1", "bn1", "conv2", "bn2"),
        ("basic", True): ("conv1", "bn1", "conv2", "bn2"),
        ("bottleneck", False): ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),
        ("bottleneck", True): (
            "conv1",
            "bn1",
            "conv2",
            "conv2_sk_bn1",
            "conv2_sk_reduce",
            "conv2_sk_bn2",
            "conv2_sk_expand",
            "conv3",
            "bn3",
        ),
    }[block_kind, sk]
    for group, count in enumerate(blocks, start=1):
        for block in range(1, count + 1):
            shortcut = ("shortcut_conv", "shortcut_bn") if block == 1 else ()
            shortcut = () if identity_shortcuts and group == 1 else shortcut
            gate = ("se_reduce", "se_expand") if se else ()
            layers += [
                Layer(
                    f"block_group{group}_block{block}_{role}",
                    _kind(role),
                    group,
                    block,
                    role,
                )
                for role in (*shortcut, *branch, *gate)
            ]
    return layers


def depth_of(block_kind, blocks):
    """Find the depth of the ResNet with these blocks.

    Raises:
      ConversionError: no ResNet has these blocks.
    """
    for depth, (kind, counts) in DEPTHS.items():
        if kind == block_kind and counts == tuple(blocks):
            return depth
    raise ConversionError(
        "No known ResNet has these numbers of blocks in its groups: are some "
        f"variables missing? {received_text(blocks=tuple(blocks), kind=block_kind)}"
    )


def width_of(group4_filters):
    """Return the width multiplier; an int if it is a whole number."""
    width = group4_filters / GROUP4_CHANNELS
    return int(width) if width == int(width) else width


def sk_ratio_of(widths):
    """Find the ratio of selective kernels from the widths of the middle layers.

    Args:
      widths: list of (F, width of the middle layer).

    Returns:
      float: the paper's 0.0625 if it fits.

    Raises:
      ConversionError: no ratio fits.
    """
    return _ratio_of(
        widths, PAPER_SK_RATIO, MIN_SELECTIVE_FEATURES, "selective kernels"
    )


def se_ratio_of(widths):
    """Find the ratio as `sk_ratio_of` does, for squeeze-and-excitation."""
    return _ratio_of(widths, 0.25, 1, "squeeze-and-excitation")


def _ratio_of(widths, usual, least, what):
    filters, middle = max(widths)
    for ratio in (usual, middle / filters, (middle + 0.5) / filters):
        if 0 < ratio <= 1 and all(max(int(f * ratio), least) == m for f, m in widths):
            return ratio
    raise ConversionError(
        f"No ratio gives the widths of the middle layers of the {what}. "
        + received_text(widths=widths)
    )


def _kind(role):
    if role.startswith("se_"):
        return "gate"
    return "norm" if "bn" in role.split("_")[-1] else "conv"
