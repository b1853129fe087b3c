"""The encoders by name, each with the family that builds it.

`ENCODERS` maps a name (`--encoder=resnet18`) to its family: what options it has, and
how it is built. A family imports TensorFlow only when it builds.
"""

from dataclasses import dataclass
from typing import Literal

from simclr_tf.config.schema import (
    GuestOptions,
    option,
    require_fraction,
    require_positive,
)
from simclr_tf.errors import ConfigError, received_text, require


@dataclass(frozen=True)
class EncoderOptions(GuestOptions):
    """What every encoder has: its name, and the batch norm that its head shares."""

    batch_norm_momentum: float = option(
        0.9, "Decay of the moving statistics, in encoder and projection head."
    )
    batch_norm_epsilon: float = option(1e-5, "Added to the variance.")

    def check(self):
        require_positive(batch_norm_epsilon=self.batch_norm_epsilon)
        require(
            0 <= self.batch_norm_momentum < 1,
            "`batch_norm_momentum` must lie in [0, 1).",
            batch_norm_momentum=self.batch_norm_momentum,
        )


@dataclass(frozen=True)
class ResNetOptions(EncoderOptions):
    """The ResNets of SimCLR and SimCLRv2; the depth is in the name."""

    name: str = option("resnet50", "Network f that is kept, by its name.")
    width_multiplier: float = option(1.0, "Width of every layer, times this.")
    sk_ratio: float = option(
        0.0, "Selective kernels' reduction; 0 switches them off (paper: 0.0625)."
    )
    se_ratio: float = option(0.0, "Squeeze-and-excitation's reduction; 0: off.")
    stem: Literal["imagenet", "cifar", "small"] = option(
        "imagenet", "imagenet: 7x7/2 and max pool; cifar: 3x3/1; small: 3x3/2."
    )

    def check(self):
        super().check()
        require_positive(width_multiplier=self.width_multiplier)
        require_fraction("sk_ratio", self.sk_ratio)
        require_fraction("se_ratio", self.se_ratio)

    @property
    def depth(self):
        """int, layers of the network."""
        return int(self.name.removeprefix("resnet"))


@dataclass(frozen=True)
class CustomOptions(EncoderOptions):
    """A keras.Model that was handed in from Python."""

    name: str = option("custom", "Network f that is kept, by its name.")


class ResNet:
    """The ResNets."""

    Options = ResNetOptions

    def build(self, options, *, channels, synchronized=False, seed=None):
        """The untrained network; equal seeds give equal weights."""
        from simclr_tf.models.resnet import resnet

        return resnet(
            options.depth,
            width_multiplier=options.width_multiplier,
            sk_ratio=options.sk_ratio,
            se_ratio=options.se_ratio,
            stem=options.stem,
            channels=channels,
            synchronized=synchronized,
            batch_norm_momentum=options.batch_norm_momentum,
            batch_norm_epsilon=options.batch_norm_epsilon,
            seed=seed,
        )


class Custom:
    """A network of the user's own, which no config can build."""

    Options = CustomOptions

    def build(self, options, *, channels, synchronized=False, seed=None):
        """Refuse: only Python has the network."""
        raise ConfigError(
            "This run's encoder was handed in from Python, so it must be handed in "
            "again there: load_encoder(workdir, encoder=...), "
            "evaluate_and_report(workdir, encoder=...). "
            + received_text(encoder=options.name)
        )


_RESNET = ResNet()
ENCODERS = {
    **{f"resnet{depth}": _RESNET for depth in (10, 18, 34, 50, 101, 152, 200)},
    "custom": Custom(),
}
