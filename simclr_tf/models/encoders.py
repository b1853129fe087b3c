"""Encoders by name: `ENCODERS` maps the values of `--encoder` to families.

Each family has a file (`resnet.py`, `vision_transformer.py`, `keras_networks.py`);
`family.py` has the interface. TensorFlow is imported only when a network is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simclr_tf.config.schema import find_guest
from simclr_tf.models.family import Custom
from simclr_tf.models.keras_networks import KerasNetworks
from simclr_tf.models.resnet import DEPTHS, ResNet
from simclr_tf.models.vision_transformer import SIZES, VisionTransformer

if TYPE_CHECKING:
    from simclr_tf.models.family import EncoderOptions, Family


ENCODERS = {
    **dict.fromkeys((f"resnet{depth}" for depth in DEPTHS), ResNet()),
    **dict.fromkeys(SIZES, VisionTransformer()),
    "keras:": KerasNetworks(),
    "custom": Custom(),
}


def family_of(options: EncoderOptions) -> Family:
    """Return the family of an encoder.

    Args:
      options: EncoderOptions, such as `config.encoder`.

    Returns:
      Family.

    Example:
      >>> from simclr_tf.config import Config
      >>> family_of(Config().encoder).describe(Config().encoder)
      'ResNet-50 (1x)'
    """
    return find_guest(f"{__name__}:ENCODERS", options.name)


def family_among(names):
    """Return the family whose endpoints a network has.

    Args:
      names: names of the network's layers.

    Returns:
      Family; the family of custom networks if no other has these endpoints.

    Example:
      >>> type(family_among(["images", "block_group1", "final_avg_pool"])).__name__
      'ResNet'
    """
    for family in dict.fromkeys(ENCODERS.values()):
        if len(family.endpoints_among(names)) > 1:
            return family
    return ENCODERS["custom"]
